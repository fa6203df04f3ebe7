"""swaks, msmtp and smtplib send through the running suite; poplib shows that what arrives is what was sent."""

import poplib
import re
import smtplib
import ssl
import subprocess
import time

import dkim
import pytest

pytestmark = pytest.mark.interop

PASSWORD = "correct horse battery"
DOMAIN = "smtp.example"


@pytest.fixture(scope="module")
def ann_and_bob(suite):
    suite.add_domain(DOMAIN)
    for name in ("ann", "bob"):
        suite.add_mailbox(f"{name}@{DOMAIN}", PASSWORD)
    suite.add_alias(f"team@{DOMAIN}", f"ann@{DOMAIN}", f"bob@{DOMAIN}")
    return f"ann@{DOMAIN}", f"bob@{DOMAIN}"


@pytest.fixture
def tls(suite):
    return ssl.create_default_context(cafile=suite.certificate)


def swaks(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False)


def newest(suite, tls: ssl.SSLContext, address: str) -> bytes:
    """The newest message of a mailbox, without the fields that the delivery put in front."""
    client = poplib.POP3_SSL("localhost", suite.port("POP3S"), context=tls, timeout=30)
    try:
        client.user(address)
        client.pass_(PASSWORD)
        count, _ = client.stat()
        return b"".join(line + b"\r\n" for line in client.retr(count)[1])
    finally:
        client.quit()


def test_swaks_reaches_the_mx_in_clear_text_and_by_starttls(suite, ann_and_bob, tls, require_program):
    program = require_program("swaks")
    for number, option in enumerate(("--helo", "--tls")):
        arguments = ["--server", f"127.0.0.1:{suite.port('SMTP')}", "--to", ann_and_bob[0], "--from", "x@remote.test"]
        mark = f"mark-{number}-{time.time_ns()}"
        extra = ["--helo", "client.remote.test", *(["--tls"] if option == "--tls" else [])]
        done = swaks(program, *arguments, *extra, "--header", f"Subject: {mark}")
        assert done.returncode == 0, done.stdout
        assert re.search(r"<[~-]  250 2\.0\.0 queued as 0[0-9a-z]{12}", done.stdout)
        assert mark.encode() in newest(suite, tls, ann_and_bob[0])


REFUSED = [
    (["--to", "x@elsewhere.test"], 24, "550 5.7.1 "),
    (["--to", f"nobody@{DOMAIN}"], 24, "550 5.1.1 "),
    (["--to", f"ann@{DOMAIN}", "--auth", "PLAIN", "--auth-user", "a", "--auth-password", "b"], 28, ""),
]


@pytest.mark.parametrize(("arguments", "code", "reply"), REFUSED)
def test_swaks_is_refused_by_the_mx(suite, ann_and_bob, require_program, arguments, code, reply):
    server = f"127.0.0.1:{suite.port('SMTP')}"
    done = swaks(require_program("swaks"), "--server", server, "--from", "x@remote.test", *arguments)
    assert done.returncode == code
    assert reply in done.stdout


SUBMISSIONS = [
    ("SUBMISSION", ["--tls", "--auth", "PLAIN"]),
    ("SUBMISSION", ["--tls", "--auth", "LOGIN"]),
    ("SUBMISSIONS", ["--tls-on-connect", "--auth", "PLAIN"]),
    ("SUBMISSIONS", ["--tls-on-connect", "--auth", "LOGIN"]),
]


@pytest.mark.parametrize(("listener", "arguments"), SUBMISSIONS)
def test_swaks_submits(suite, ann_and_bob, tls, require_program, listener, arguments):
    ann, bob = ann_and_bob
    done = swaks(
        require_program("swaks"),
        *("--server", f"127.0.0.1:{suite.port(listener)}", "--from", ann, "--to", bob),
        *("--auth-user", ann, "--auth-password", PASSWORD, *arguments),
    )
    assert done.returncode == 0, done.stdout
    assert b"DKIM-Signature: " in newest(suite, tls, bob)


def test_swaks_is_refused_by_submission(suite, ann_and_bob, require_program):
    program, (ann, bob) = require_program("swaks"), ann_and_bob
    common = ["--server", f"127.0.0.1:{suite.port('SUBMISSION')}", "--to", bob]
    login = ["--auth", "PLAIN", "--auth-user", ann, "--auth-password", PASSWORD]
    assert "530 5.7.0 " in swaks(program, *common, "--from", ann).stdout
    assert "530 5.7.0 " in swaks(program, *common, "--from", ann, "--tls").stdout
    assert swaks(program, *common, "--from", ann, *login).returncode == 28  # no AUTH before TLS
    assert "550 5.7.1 " in swaks(program, *common, "--tls", *login, "--from", bob).stdout
    forged = swaks(program, *common, "--tls", *login, "--from", ann, "--h-From", f"From: {bob}")
    assert "550 5.7.1 " in forged.stdout
    wrong = [*login[:-1], "wrong password"]
    assert "535 5.7.8 " in swaks(program, *common, "--tls", *wrong, "--from", ann).stdout


@pytest.mark.parametrize(("listener", "starttls"), [("SUBMISSION", "on"), ("SUBMISSIONS", "off")])
def test_msmtp_submits(suite, ann_and_bob, tls, require_program, tmp_path, listener, starttls):
    ann, bob = ann_and_bob
    settings = tmp_path / "msmtprc"
    settings.write_text(
        f"account default\nhost localhost\nport {suite.port(listener)}\nfrom {ann}\nauth on\nuser {ann}\n"
        f"password {PASSWORD}\ntls on\ntls_starttls {starttls}\ntls_trust_file {suite.certificate}\n"
    )
    settings.chmod(0o600)
    message = f"From: {ann}\nTo: {bob}\nBcc: {ann}\nSubject: by msmtp\n\n.dot\nlast\n"
    program = require_program("msmtp")
    done = subprocess.run(
        [program, "-C", str(settings), bob], input=message, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    got = newest(suite, tls, bob)
    assert got.endswith(b"\r\n\r\n.dot\r\nlast\r\n")
    assert b"\r\nBcc:" not in got
    assert b"\r\nDate: " in got
    assert b"\r\nMessage-ID: <" in got


# Without it they would be junk.
AUTHOR = b"From: x@remote.test\r\n"
SHAPES = {
    "empty body": AUTHOR + b"\r\n",
    "dot lines": AUTHOR + b"Subject: x\r\n\r\n.\r\n..\r\n.a\r\n",
    "long line": AUTHOR + b"Subject: x\r\n\r\n" + b"y" * 998 + b"\r\n",
    "8-bit": AUTHOR + b"Subject: x\r\n\r\n" + bytes(range(128, 256)) + b"\r\n",
    "header only": AUTHOR,
    "odd header": AUTHOR + b"no colon here\r\n\r\nbody\r\n",
    "large": AUTHOR + b"Subject: x\r\n\r\n" + b"".join(b"%076d\r\n" % n for n in range(130_000)),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_what_arrives_is_what_was_sent(suite, ann_and_bob, tls, shape):
    with smtplib.SMTP("127.0.0.1", suite.port("SMTP"), "client.remote.test", timeout=60) as client:
        client.sendmail("x@remote.test", [ann_and_bob[0]], SHAPES[shape])
    prefix, found, rest = newest(suite, tls, ann_and_bob[0]).partition(b"\r\n\tfor <" + ann_and_bob[0].encode() + b">;")
    assert found
    assert rest.partition(b"\r\n")[2] == SHAPES[shape]


def test_signature_stands(suite, ann_and_bob, tls):
    ann, bob = ann_and_bob
    with smtplib.SMTP_SSL("localhost", suite.port("SUBMISSIONS"), context=tls, timeout=60) as client:
        client.login(ann, PASSWORD)
        client.sendmail(ann, [f"team@{DOMAIN}"], f"From: {ann}\r\nSubject: signed\r\n\r\nhi \t there\r\n\r\n")
    records = suite.manage("domain", "records", DOMAIN)
    for address in (ann, bob):
        message = newest(suite, tls, address)
        checked = dkim.DKIM(message)
        assert checked.verify(dnsfunc=lambda name, timeout=5: dkim_record(records))
        assert checked.signature_fields[b"d"] == DOMAIN.encode()


def dkim_record(records: str) -> bytes:
    """The RSA key among the records that the command prints."""
    public = re.search(r"k=rsa; p=([A-Za-z0-9+/=\" \n\t()]+)", records)
    assert public, records
    return b"v=DKIM1; k=rsa; p=" + re.sub(r"[^A-Za-z0-9+/=]", "", public[1]).encode()


def test_suspending_ends_an_open_session_but_mail_still_arrives(suite, ann_and_bob, tls):
    carol, bob = f"carol@{DOMAIN}", ann_and_bob[1]
    suite.add_mailbox(carol, PASSWORD)
    with smtplib.SMTP_SSL("localhost", suite.port("SUBMISSIONS"), context=tls, timeout=60) as client:
        client.login(carol, PASSWORD)
        client.sendmail(carol, [bob], f"From: {carol}\r\n\r\n")
        suite.manage("mailbox", "suspend", carol)
        code, text = client.mail(carol)
        assert (code, text[:6]) == (421, b"4.7.0 ")
    with smtplib.SMTP_SSL("localhost", suite.port("SUBMISSIONS"), context=tls, timeout=60) as client:
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login(carol, PASSWORD)
    with smtplib.SMTP("127.0.0.1", suite.port("SMTP"), "client.remote.test", timeout=60) as client:
        assert client.sendmail("x@remote.test", [carol], "Subject: kept\r\n\r\n") == {}


def test_full_mailbox_is_refused_until_there_is_room(suite, ann_and_bob):
    dave = f"dave@{DOMAIN}"
    suite.add_mailbox(dave, PASSWORD)
    suite.manage("mailbox", "quota", dave, "64K")
    with smtplib.SMTP("127.0.0.1", suite.port("SMTP"), "client.remote.test", timeout=60) as client:
        client.ehlo()
        client.sendmail("x@remote.test", [dave], b"Subject: x\r\n\r\n" + b"x" * 60_000 + b"\r\n")

        def answer() -> tuple[int, bytes]:
            client.rset()
            client.mail("x@remote.test", ["SIZE=10000"])
            return client.rcpt(dave)

        # What a mailbox holds is believed for some seconds.
        until = time.monotonic() + 30
        while (reply := answer())[0] == 250 and time.monotonic() < until:
            time.sleep(0.2)
        assert reply == (452, b"4.2.2 Mailbox is full (mailbox-full)")
        suite.manage("mailbox", "quota", dave, "1M")
        assert answer()[0] == 250


def test_queue_takes_what_an_alias_leads_elsewhere(suite, ann_and_bob):
    suite.add_alias(f"away@{DOMAIN}", "friend@else.invalid")
    with smtplib.SMTP("127.0.0.1", suite.port("SMTP"), "client.remote.test", timeout=60) as client:
        client.sendmail("x@remote.test", [f"away@{DOMAIN}"], "Subject: forwarded\r\n\r\n")
    listed = suite.manage("queue", "list", "--all", "friend@else.invalid")
    assert re.search(rf"SRS0=[^=]+=[A-Z2-7]{{2}}=remote\.test=x@{re.escape(DOMAIN)}", listed)


def test_no_session_tickets_come_before_the_client_speaks(suite, tls):
    """libesmtp (esmtp) waits for ever where one comes between its handshake and its EHLO."""
    with smtplib.SMTP("localhost", suite.port("SMTP"), timeout=30) as client:
        client.starttls(context=tls)
        client.ehlo()
        assert not client.sock.session.has_ticket
    with smtplib.SMTP_SSL("localhost", suite.port("SUBMISSIONS"), context=tls, timeout=30) as client:
        client.ehlo()
        assert not client.sock.session.has_ticket
