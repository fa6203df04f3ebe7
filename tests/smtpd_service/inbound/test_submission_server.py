"""Our users' side over real sockets: login, who may write as whom, what is done to a message, signing."""

import base64
import json
import subprocess

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from resolutions import resolved

from mailsuite.mailauth.dkim.sign import SigningKey

DATE = b"Date: Mon, 1 Jan 2024 00:00:00 +0000\r\n"
HEADER = b"From: Ann <ann@example.org>\r\n" + DATE + b"Message-ID: <1@example.org>\r\n"


def test_message_of_a_user(server):
    talk = server.log_in()
    content = HEADER + b"Subject: hi\r\n\r\nhi\r\n"
    assert talk.mail(content, "bob@example.org", "x@other.example", sender="ann@example.org").startswith("250 ")
    [(operation, octets)] = server.store.delivered
    assert octets == content
    [local], [outgoing] = operation.local, operation.outgoing
    assert local.address == "bob@example.org"
    [stranger] = outgoing.recipients
    assert (stranger.recipient.forward_path, stranger.destination) == ("x@other.example", "other.example")
    assert (outgoing.envelope.reverse_path, outgoing.sender_mailbox_id, outgoing.domain_id) == ("ann@example.org", 1, 1)
    assert b"127.0.0.1" not in outgoing.prefix
    assert b"client.example" not in outgoing.prefix
    assert outgoing.prefix.startswith(b"Received: from unspecified ([IPv6:::])\r\n\t(using TLSv1.3 with cipher ")
    assert b"with ESMTPSA id" in outgoing.prefix
    assert operation.story.kind == "submission"
    assert operation.story.sender_mailbox_id == 1
    data = json.loads(operation.story.data)
    assert data["user"] == "ann@example.org"
    assert data["tls"].startswith("TLSv1.3 ")


SPAMASSASSIN = """
my $none = {map {$_ => "/dev/null"} qw(rules_filename site_rules_filename userprefs_filename)};
my $filter = Mail::SpamAssassin->new({local_tests_only => 1, dont_copy_prefs => 1, %$none});
$filter->init(0);
my $mail = $filter->parse(\\*STDIN);
my $status = Mail::SpamAssassin::PerMsgStatus->new($filter, $mail);
$status->extract_message_metadata();
my $read = $mail->{metadata};
print $read->{relays_trusted_str}, $read->{relays_untrusted_str}, " odd: ", $read->{num_relays_unparseable};
"""
RSPAMD = """
local ok, task = require("rspamd_task").load_from_string(io.read("*a"), rspamd_config)
task:process_message()
local field = task:get_received_headers()[1]
print(tostring(field.real_ip), field.by_hostname, field.flags.authenticated)
"""


@pytest.mark.parametrize(("extension", "protocol"), [("", "ESMTPSA"), (" SMTPUTF8", "UTF8SMTPSA")])
def test_filters_read_our_received_field_as_one_of_an_authenticated_user(
    server, require_program, tmp_path, extension, protocol
):
    """Without an address it was one that SpamAssassin can't read; 0.0.0.0 would be an illegal one, for 1.3 points."""
    talk = server.log_in()
    content = HEADER + b"Subject: hi\r\n\r\nhi\r\n"
    talk.ask(f"MAIL FROM:<ann@example.org>{extension}"), talk.ask("RCPT TO:<x@other.example>"), talk.ask("DATA")
    assert talk.ask(content, b".\r\n").startswith("250 ")
    [(operation, octets)] = server.store.delivered
    message = operation.outgoing[0].prefix + octets
    require_program("spamassassin")
    command = ["perl", "-MMail::SpamAssassin", "-e", SPAMASSASSIN]
    read = subprocess.run(command, input=message, capture_output=True, check=True).stdout.decode()
    assert read.startswith("[ ip=:: rdns= helo=unspecified by=mx.example.org ") and read.endswith("odd: 0")
    assert f" auth={protocol} " in read
    (tmp_path / "read.lua").write_text(RSPAMD)
    command = [require_program("rspamadm", "rspamd"), "lua", str(tmp_path / "read.lua")]
    read = subprocess.run(command, input=message, capture_output=True, check=True).stdout.decode()
    # rspamd knows no UTF8SMTPSA (RFC 6531 §4.3), which says what is so all the same.
    assert read.split() == ["::", "mx.example.org", "false" if extension else "true"]


@pytest.mark.parametrize(
    ("extension", "header", "recipient", "needed"),
    [
        ("", "", "x@other.example", False),
        (" SMTPUTF8", "", "x@other.example", False),
        (" SMTPUTF8", "Subject: j\u00f6rg\r\n", "x@other.example", True),
        (" SMTPUTF8", "", "j\u00f6rg@other.example", True),
        ("", "Subject: j\u00f6rg\r\n", "x@other.example", False),
    ],
)
def test_only_what_needs_smtputf8_asks_the_next_host_for_it(server, extension, header, recipient, needed):
    """Large sites and some clients say it with all that they send; many hosts lack it (RFC 6531 §3.3)."""
    talk = server.log_in()
    talk.send(f"MAIL FROM:<ann@example.org>{extension}", f"RCPT TO:<{recipient}>", "DATA")
    assert [talk.reply()[:3] for _ in range(3)] == ["250", "250", "354"]
    content = HEADER + header.encode() + "\r\nj\u00f6rg\r\n".encode()
    assert talk.ask(content + b".\r\n").startswith("250 ")
    [outgoing] = server.store.delivered[0][0].outgoing
    assert outgoing.envelope.smtputf8 is needed


def test_no_stranger_gets_it_twice(server):
    server.directory.remote["out@example.org"] = resolved("out@example.org", remote=["x@other.example"])
    talk = server.log_in()
    recipients = ("x@other.example", "X@OTHER.example", "y@other.example", "out@example.org")
    assert talk.mail(HEADER + b"\r\n", *recipients, sender="ann@example.org").startswith("250 ")
    [outgoing] = server.store.delivered[0][0].outgoing
    assert [one.destination for one in outgoing.recipients] == ["other.example"] * 2


def test_starttls_then_login(server):
    talk = server.connect("SUBMISSION", hello="bogus name")
    assert talk.ask("AUTH PLAIN AGFubkBleGFtcGxlLm9yZwByaWdodA==").startswith("538 5.7.11 ")
    assert talk.ask("MAIL FROM:<ann@example.org>").startswith("530 5.7.0 ")
    talk.start_tls()
    assert talk.ask("EHLO bogus name") == "250 HELP"
    assert talk.ask("AUTH LOGIN") == "334 VXNlcm5hbWU6"
    assert talk.ask("YW5uQGV4YW1wbGUub3Jn") == "334 UGFzc3dvcmQ6"
    assert talk.ask("cmlnaHQ=").startswith("235 2.7.0 ")
    assert talk.mail(HEADER + b"\r\n", "bob@example.org", sender="ann@example.org").startswith("250 ")


def test_failed_and_blocked_logins(server):
    talk = server.connect("SUBMISSIONS")
    wrong = base64.b64encode(b"\0ann@example.org\0wrong").decode()
    unknown = base64.b64encode(b"\0nobody@example.org\0wrong").decode()
    assert talk.ask(f"AUTH PLAIN {wrong}") == talk.ask(f"AUTH PLAIN {unknown}")
    blocked = base64.b64encode(b"\0ann@example.org\0blocked").decode()
    assert talk.ask(f"AUTH PLAIN {blocked}").startswith("454 4.7.0 ")
    assert server.store.reasons == ["login-failed", "login-failed", "too-many-failures"]


def test_login_that_was_revoked_ends(server):
    talk = server.log_in()
    server.directory.revoked = True
    assert talk.ask("MAIL FROM:<ann@example.org>").startswith("421 4.7.0 ")
    assert talk.closed()


def test_who_is_far_over_the_day_s_caps_is_put_off(server):
    talk = server.log_in()
    server.directory.sent_too_much = True
    assert talk.ask("MAIL FROM:<ann@example.org>").startswith("452 4.7.1 ")
    assert server.store.reasons == ["over-daily-cap"]
    server.directory.sent_too_much = False
    assert talk.ask("MAIL FROM:<ann@example.org>").startswith("250 ")


def test_nobody_sends_as_somebody_else(server):
    talk = server.log_in()
    assert talk.ask("MAIL FROM:<bob@example.org>").startswith("550 5.7.1 ")
    assert talk.ask("MAIL FROM:<x@other.example>").startswith("550 5.7.1 ")
    assert server.store.reasons == ["sender-not-owned"] * 2


AUTHORS = [
    (b"From: ann@example.org\r\n", "250 "),
    (b"From: team@example.org\r\nSender: ann@example.org\r\n", "250 "),
    (b"From: bob@example.org\r\n", "550 5.7.1 "),
    (b"From: ann@example.org, bob@example.org\r\n", "550 5.7.1 "),
    (b"From: ann@example.org\r\nSender: bob@example.org\r\n", "550 5.7.1 "),
    (b"From: bob@example.org\r\nSender: ann@example.org\r\n", "550 5.7.1 "),
    (b"From: ann@example.org\r\nFrom: bob@example.org\r\n", "554 5.6.0 "),
    (b"To: bob@example.org\r\n", "250 "),
    (b"From: Scanner\r\n", "250 "),
    (b"From: Doe, Ann <ann@example.org>\r\n", "250 "),
    (b"From: ann@example.org, Bob <bob@example.org>\r\n", "550 5.7.1 "),
    (b"From: ann@example.org@example.org\r\n", "554 5.6.0 "),
    (b"from : bob@example.org\r\n", "550 5.7.1 "),
    (b"From: ann@example.org\r\n\tbob@example.org\r\n", "55"),
]


@pytest.mark.parametrize(("fields", "reply"), AUTHORS)
def test_authors(server, fields, reply):
    talk = server.log_in()
    for sender in ("ann@example.org", ""):
        assert talk.mail(fields + b"\r\n", "bob@example.org", sender=sender).startswith(reply)


def test_a_from_without_an_author_is_completed_and_signed(server, keys):
    server.directory.keys, zone = keys
    talk = server.log_in()
    assert talk.mail(b"From: Scanner\r\n\r\nhi\r\n", "bob@example.org", sender="team@example.org").startswith("250 ")
    assert talk.mail(b"To: x\r\n\r\nhi\r\n", "bob@example.org", sender="").startswith("250 ")
    assert talk.mail(HEADER + b"\r\n", "bob@example.org", sender="ann@example.org").startswith("250 ")
    expected = [
        (b'From: "Scanner" <team@example.org>', "Scanner"),
        (b"From: ann@example.org", "none"),
        (b"From: Ann <ann@example.org>", None),
    ]
    for (operation, octets), (field, given) in zip(server.store.delivered, expected, strict=True):
        assert field in octets.split(b"\r\n")
        assert json.loads(operation.story.data).get("from_given") == given
        assert dkim.DKIM(octets).verify(0, dnsfunc=lambda name, timeout=5: zone.get(name))


@pytest.mark.parametrize(
    ("field", "sent"),
    [
        # As nullmailer and dma write it.
        (
            b"From: Message Delivery Subsystem <MAILER-DAEMON@printer.lan>",
            b'From: "Message Delivery Subsystem" <ann@example.org>',
        ),
        (b"From: MAILER-DAEMON <>", b'From: "MAILER-DAEMON" <ann@example.org>'),
        (b"From: mailer-daemon@example.org", b'From: "mailer-daemon" <ann@example.org>'),
        (b"From: MAILER-DAEMON@printer.lan, bob@example.org", None),
    ],
)
def test_a_bounce_of_a_small_relay_is_from_the_account(server, field, sent):
    """Refused, it would be lost: nobody bounces a bounce. With another path than the null one it is no bounce."""
    talk = server.log_in()
    reply = talk.mail(field + b"\r\n\r\n", "bob@example.org", sender="")
    if sent is None:
        assert reply.startswith("550 5.7.1 ")
        return
    assert reply.startswith("250 ")
    assert server.store.delivered[0][1].startswith(sent + b"\r\n")
    if b"<>" not in field:
        assert talk.mail(field + b"\r\n\r\n", "bob@example.org", sender="ann@example.org").startswith("550 5.7.1 ")


def test_message_is_completed(server):
    talk = server.log_in()
    content = b"From: ann@example.org\nBcc: secret@example.org\nReturn-Path: <x>\nSubject: hi\n\nline\n\rmore\n"
    assert talk.mail(content + b"\r\n", "bob@example.org", sender="ann@example.org").startswith("250 ")
    [(_, octets)] = server.store.delivered
    header, _, body = octets.partition(b"\r\n\r\n")
    names = [line.split(b":")[0] for line in header.split(b"\r\n")]
    assert names == [b"From", b"Subject", b"Date", b"Message-ID"]
    assert body == b"line\r\n\r\nmore\r\n\r\n"


@pytest.fixture(scope="module")
def keys():
    rsa_key = rsa.generate_private_key(65537, 2048)
    ed25519_key = ed25519.Ed25519PrivateKey.generate()
    public = rsa_key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    raw = ed25519_key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    zone = {
        b"r._domainkey.example.org.": b"v=DKIM1; k=rsa; p=" + base64.b64encode(public),
        b"e._domainkey.example.org.": b"v=DKIM1; k=ed25519; p=" + base64.b64encode(raw),
    }
    pems = [
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode() for key in (rsa_key, ed25519_key)
    ]
    signing = (SigningKey("example.org", "r", "rsa", pems[0]), SigningKey("example.org", "e", "ed25519", pems[1]))
    return signing, zone


BODIES = [b"hi\r\n", b"", b"no line end is lost \t \r\n\r\n\r\n", b"..dots\r\n..\r\n", b"0123456789 " * 90 + b"\r\n"]


@pytest.mark.parametrize("body", [*BODIES, b"".join(b"%d  x\t\r\n" % n for n in range(60_000))])
def test_what_is_filed_is_what_was_signed(server, keys, body):
    server.directory.keys, zone = keys
    talk = server.log_in()
    content = HEADER + b"Subject: hi\r\n\r\n" + body
    assert talk.mail(content, "bob@example.org", sender="ann@example.org").startswith("250 ")
    [(operation, octets)] = server.store.delivered
    assert octets.endswith(content.replace(b"\r\n..", b"\r\n."))
    for at in range(2):
        assert dkim.DKIM(octets).verify(at, dnsfunc=lambda name, timeout=5: zone.get(name))
    signed_by = ["r._domainkey.example.org", "e._domainkey.example.org"]
    assert json.loads(operation.story.data)["signed_by"] == signed_by


def test_nothing_goes_unsigned(server, keys):
    talk = server.log_in()
    server.directory.keys = (SigningKey("example.org", "r", "rsa", "no key"),)
    assert talk.mail(HEADER + b"\r\n", "bob@example.org", sender="ann@example.org").startswith("451 4.3.0 ")
    assert server.store.delivered == []
    assert server.store.reasons == ["signing-failed"]


@pytest.mark.parametrize("octets", [b"X: " + b"y" * 1_400_000 + b"\r\n", b"X: y\r\n" * 1001])
def test_header_without_end_is_too_big(server, octets):
    talk = server.log_in()
    content = HEADER + octets
    assert talk.mail(content, "bob@example.org", sender="ann@example.org").startswith("552 5.3.4 ")
