"""A real Exim as our peer, with GnuTLS at its end: our queue delivers to it, and it to our MX."""

import os
import poplib
import smtplib
import ssl
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from running_suite import BASE, free_port

from mailsuite.supervisor.certificate import ensure_certificate

pytestmark = [pytest.mark.interop, pytest.mark.sqlite_only]

PROGRAM = BASE / ".oracles" / "exim" / "usr" / "sbin" / "exim4"
USER = "Debian-exim"
PASSWORD = "correct horse battery"
ANN = "ann@with-exim.example"
HEADER = (
    f"From: {ANN}\r\nTo: bob@exim.test\r\nDate: Mon, 23 Nov 2026 12:00:00 +0000\r\n"
    "Message-ID: <1@with-exim.example>\r\n"
)
TEXT = f"Subject: to and fro\r\n\r\n.\r\n..two\r\n{'x' * 990}\r\nGrüße\r\n"
SETTINGS = """\
primary_hostname = mx.exim.test
spool_directory = {folder}/spool
log_file_path = {folder}/log/%slog
deliver_drop_privilege = true
exim_path = {program}
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
pid_file_path = {folder}/pid
tls_certificate = {folder}/cert.pem
tls_privatekey = {folder}/key.pem
acl_smtp_rcpt = recipients
dkim_verify_signers =
keep_environment =
begin acl
recipients:
  deny local_parts = nobody
       message = 5.1.1 no such user
  accept domains = exim.test
begin routers
here:
  driver = accept
  domains = exim.test
  transport = maildir
there:
  driver = manualroute
  route_list = * 127.0.0.1
  self = send
  transport = smtp
begin transports
maildir:
  driver = appendfile
  directory = {folder}/mail
  maildir_format
smtp:
  driver = smtp
  port = {our_port}
  allow_localhost
  hosts_require_tls = *
  tls_verify_hosts =
  tls_try_verify_hosts =
begin retry
* * F,2h,15m
"""


class Exim:
    """Under one folder, on a port of loopback; what it sends goes to `our_port`."""

    def __init__(self, folder: Path, our_port: int) -> None:
        self.folder, self.port = folder, free_port()
        self._command = [PROGRAM, "-C", folder / "conf"]
        settings = SETTINGS.format(program=PROGRAM, folder=folder, port=self.port, our_port=our_port)
        (folder / "conf").write_text(settings)
        ensure_certificate(folder / "cert.pem", folder / "key.pem", "mx.exim.test", datetime.now(UTC))
        for name in ("spool", "log", "mail"):
            (folder / name).mkdir()
        subprocess.run(["chown", "-R", f"{USER}:", folder], check=True)
        # Settings that others may write to are none to it.
        os.chown(folder / "conf", 0, 0)

    def start(self) -> None:
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen([*self._command, "-bdf"], **quiet)
        self.wait_for(lambda: (self.folder / "pid").exists())

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)

    def send(self, recipient: str, octets: bytes) -> None:
        """Gives it a message to deliver at once."""
        command = [*self._command, "-odf", "-oi", "-f", "bob@exim.test", recipient]
        subprocess.run(command, input=octets.replace(b"\r\n", b"\n"), check=True, timeout=60)

    @property
    def log(self) -> str:
        return "".join(file.read_text() for file in sorted((self.folder / "log").iterdir()))

    def wait_for(self, condition) -> None:
        deadline = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)


@pytest.fixture(scope="module")
def exim(suite):
    if not PROGRAM.exists():
        text = "needs Exim in .oracles (.ci/exim unpacks it)"
        pytest.fail(text) if os.environ.get("TESTS_SKIP_NOTHING") else pytest.skip(text)
    # Not among pytest's own folders, which are closed to Exim's user.
    with tempfile.TemporaryDirectory(prefix="mailsuite-exim-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        peer = Exim(folder, suite.port("SMTP"))
        suite.add_domain(ANN.partition("@")[2])
        suite.add_mailbox(ANN, PASSWORD)
        suite.manage("route", "add", "exim.test", f"smtp://127.0.0.1:{peer.port}")
        peer.start()
        try:
            yield peer
        finally:
            peer.stop()
            suite.manage("route", "remove", "exim.test")


@pytest.fixture
def tls(suite):
    return ssl.create_default_context(cafile=suite.certificate)


def test_our_queue_delivers_to_it_under_tls(suite, exim, tls):
    message = (HEADER + TEXT).encode()
    with smtplib.SMTP_SSL("localhost", suite.port("SUBMISSIONS"), context=tls, timeout=30) as client:
        client.login(ANN, PASSWORD)
        refused = client.sendmail(ANN, ["bob@exim.test", "nobody@exim.test"], message, ["BODY=8BITMIME"])
    assert refused == {}
    exim.wait_for(lambda: list((exim.folder / "mail").glob("new/*")))
    [file] = (exim.folder / "mail" / "new").iterdir()
    filed = file.read_bytes()
    assert filed.endswith(message.replace(b"\r\n", b"\n")) and b"DKIM-Signature: " in filed
    exim.wait_for(lambda: "P=esmtps X=TLS1.3" in exim.log)
    assert "rejected RCPT <nobody@exim.test>" in exim.log
    exim.wait_for(lambda: "5.1.1" in suite.manage("trace", "nobody@exim.test"))


def test_it_delivers_to_our_mx_under_tls(suite, exim, tls):
    octets = HEADER.replace(ANN, "bob@exim.test").encode() + TEXT.encode()
    exim.send(ANN, octets)
    exim.send(f"nobody@{ANN.partition('@')[2]}", octets)
    assert f"=> {ANN} " in exim.log and "X=TLS1.3" in exim.log
    assert "550 5.1.1 " in exim.log and "Completed" in exim.log
    client = poplib.POP3_SSL("localhost", suite.port("POP3S"), context=tls, timeout=30)
    client.user(ANN)
    client.pass_(PASSWORD)
    found = [b"\r\n".join(client.retr(number + 1)[1]) + b"\r\n" for number in range(client.stat()[0])]
    client.quit()
    # Beside the notification of what the other test sent.
    assert any(one.endswith(octets) for one in found)
