"""Our client before a real Postfix: TLS, pipelining, what it puts off and refuses, octets as they were sent."""

import asyncio
import os
import socketserver
import subprocess
import tempfile
import threading
import time
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path

import pytest
import uvloop
from running_suite import free_port
from tls_policies import Opportunistic

from mailsuite.mail.envelope import Envelope, EnvelopeRecipient
from mailsuite.resolver.answers import Mx, ZoneResolver
from mailsuite.supervisor.certificate import ensure_certificate
from smtpd_service.outbound.courier import Courier, Delivery, Letter
from smtpd_service.outbound.destinations import Destinations, NextHop
from smtpd_service.outbound.transaction import Fate, Mail

pytestmark = pytest.mark.interop

LOOPBACK = [ip_network("127.0.0.0/8")]
ZONE = {("far.test", "MX"): [Mx(10, "mx.far.test")], ("mx.far.test", "A"): ["127.0.0.1"]}
SIZE_LIMIT = 200_000
NOBODY = 65534
# Whole, or Postfix would add fields of its own.
HEADER = "From: ann@us.test\r\nDate: Mon, 23 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@us.test>\r\n"
MESSAGE = f"{HEADER}Subject: Grüße\r\n\r\n.\r\n..two\r\n{'x' * 990}\r\nGrüße\r\n".encode()
PLAIN = b"Subject: plain\r\n\r\nHello\r\n"
SERVICES = """\
{port} inet n - n - - smtpd
{port_7bit} inet n - n - - smtpd -o smtpd_discard_ehlo_keywords=8bitmime,starttls
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
tlsmgr unix - - n 1000? 1 tlsmgr
virtual unix - n n - - virtual
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""
SETTINGS = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
myhostname = mx.far.test
mydestination =
alias_maps =
alias_database =
mynetworks = 192.0.2.0/32
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
virtual_mailbox_domains = far.test
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = inline:{{ {{ bob@far.test = bob/ }}, {{ cy@far.test = cy/ }} }}
virtual_uid_maps = static:{nobody}
virtual_gid_maps = static:{nobody}
virtual_minimum_uid = 1
smtpd_tls_cert_file = {folder}/cert.pem
smtpd_tls_key_file = {folder}/key.pem
smtpd_tls_security_level = may
smtpd_recipient_restrictions = check_policy_service inet:127.0.0.1:{greylist}
smtpd_relay_restrictions = reject_unauth_destination
message_size_limit = {size_limit}
"""


class Greylist(socketserver.ThreadingTCPServer):
    """What Postfix asks about each recipient: those in `put_off` are to come again (SMTPD_POLICY_README)."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Policy)
        self.put_off: set[str] = set()

    @property
    def port(self) -> int:
        return self.server_address[1]


class _Policy(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        recipient = ""
        for line in self.rfile:
            name, _, value = line.decode().strip().partition("=")
            recipient = value if name == "recipient" else recipient
            if not name:
                greylisted = recipient in self.server.put_off
                self.wfile.write(b"action=%s\n\n" % (b"450 4.7.1 Come again" if greylisted else b"DUNNO"))


class Postfix:
    """Under one folder, on two ports of loopback: one with all extensions, one with neither 8BITMIME nor STARTTLS."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port, self.port_7bit = folder, free_port(), free_port()
        self.greylist = Greylist()

    def start(self) -> None:
        for name in ("queue", "data", "mail"):
            (self.folder / name).mkdir()
        os.chown(self.folder / "mail", NOBODY, NOBODY)
        subprocess.run(["chown", "postfix", self.folder / "data"], check=True)
        ensure_certificate(self.folder / "cert.pem", self.folder / "key.pem", "mx.far.test", datetime.now(UTC))
        threading.Thread(target=self.greylist.serve_forever, daemon=True).start()
        settings = {"nobody": NOBODY, "size_limit": SIZE_LIMIT, "greylist": self.greylist.port}
        (self.folder / "main.cf").write_text(SETTINGS.format(folder=self.folder, **settings))
        services = SERVICES.format(port=f"127.0.0.1:{self.port}", port_7bit=f"127.0.0.1:{self.port_7bit}")
        (self.folder / "master.cf").write_text(services)
        self.control("start")

    def control(self, verb: str) -> None:
        # No pipes: the daemons would inherit them.
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run(["postfix", "-c", self.folder, verb], check=True, **quiet)

    def mail_of(self, name: str, count: int) -> list[bytes]:
        """The messages that were filed for somebody once there are so many, with LF line ends as Postfix keeps them."""
        new, deadline = self.folder / "mail" / name / "new", time.monotonic() + 20
        while len(files := sorted(new.glob("*"), key=lambda file: file.stat().st_mtime)) < count:
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.05)
        return [file.read_bytes() for file in files]


@pytest.fixture(scope="module")
def postfix(require_program):
    require_program("postfix")
    # Not among pytest's own folders, which are closed to Postfix's users.
    with tempfile.TemporaryDirectory(prefix="mailsuite-postfix-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        peer = Postfix(folder)
        peer.start()
        yield peer
        peer.control("stop")
        peer.greylist.shutdown()
        peer.greylist.server_close()


def deliver(port: int, *letters: tuple[bytes, list[str]], sender: str = "ann@us.test") -> list[list[Delivery]]:
    """Each letter's deliveries, all by one courier."""

    async def run() -> list[list[Delivery]]:
        courier = Courier(
            NextHop("far.test"),
            destinations=Destinations(ZoneResolver(ZONE), (), LOOPBACK, port=port),
            policy=Opportunistic(),
            helo="us.test",
            allowed=LOOPBACK,
        )
        found = [await courier.deliver(_letter(octets, to, sender)) for octets, to in letters]
        await courier.close()
        return found

    return uvloop.run(run())


def _letter(octets: bytes, to: list[str], sender: str) -> Letter:
    async def body():
        yield octets

    async def may_finish():
        await asyncio.sleep(0)
        return True

    mail = Mail(Envelope(sender, eight_bit=not octets.isascii()), [EnvelopeRecipient(one) for one in to], len(octets))
    return Letter(mail, body, may_finish, lambda: None)


def test_it_takes_what_we_send_octet_for_octet_under_tls(postfix):
    one, two = deliver(postfix.port, (MESSAGE, ["bob@far.test"]), (MESSAGE, ["bob@far.test"]))
    assert [found.outcome.fate for found in (*one, *two)] == [Fate.DELIVERED] * 2
    assert one[0].tls.startswith("TLSv1.3")
    for words in ("BODY=8BITMIME", f"SIZE={len(MESSAGE)}", "250 2.0.0 Ok: queued as", "PIPELINING"):
        assert words in one[0].dialog
    for filed in postfix.mail_of("bob", 2):
        assert filed.endswith(MESSAGE.replace(b"\r\n", b"\n"))
        assert b"with ESMTPS" in filed


def test_some_recipients_are_refused_and_some_put_off(postfix):
    postfix.greylist.put_off.add("bob@far.test")
    [found] = deliver(postfix.port, (PLAIN, ["nobody@far.test", "cy@far.test", "bob@far.test", "eve@other.test"]))
    assert [(one.outcome.fate, one.outcome.status) for one in found] == [
        (Fate.NEVER, "5.1.1"),
        (Fate.DELIVERED, "2.0.0"),
        (Fate.LATER, "4.7.1"),
        (Fate.NEVER, "5.7.1"),
    ]
    postfix.greylist.put_off.clear()
    before = len(postfix.mail_of("bob", 0))
    [again] = deliver(postfix.port, (PLAIN, ["bob@far.test"]))
    assert again[0].outcome.fate is Fate.DELIVERED
    assert len(postfix.mail_of("bob", before + 1)) == before + 1
    assert len(postfix.mail_of("cy", 1)) == 1


def test_what_it_says_it_can_t_take_is_not_sent(postfix):
    [large], [seven] = (
        deliver(postfix.port, (PLAIN + b"x\r\n" * SIZE_LIMIT, ["bob@far.test"])),
        deliver(postfix.port_7bit, (MESSAGE, ["bob@far.test"])),
    )
    assert [(one.outcome.status, one.outcome.reason) for one in (*large, *seven)] == [
        ("5.3.4", "too-large"),
        ("5.6.3", "no-8bitmime"),
    ]
    [bounce] = deliver(postfix.port_7bit, (PLAIN, ["bob@far.test"]), sender="")
    assert bounce[0].outcome.fate is Fate.DELIVERED
