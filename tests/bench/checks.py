"""Measures receiving with all inbound checks on (SPF, DKIM, DMARC) beside Postfix with the opendkim and opendmarc
milters, in turn, and prints a table of ratios. Not a test: nothing fails.

    python3 manage.py bench checks [--rounds 3]

Needs root, postfix, dovecot, opendkim, opendmarc and unbound. Signed mail of DOMAINS sender domains arrives over
SESSIONS connections at a time, one for each message. Both sides ask the same caching resolver on loopback (unbound),
which asks a server that takes DNS_SECONDS for each answer; its cache is emptied before each measurement, and ours is
cold in the first round alone. Beside it stands how long our event loop was held up at most.
"""

import argparse
import base64
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

import dkim
from clients import ImapClient
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from dns_server import DnsServer
from folders import bench_folder, side_folder
from ours import Ours
from peer import DOMAIN, PASSWORD, QUIET, Peer, free_port, wait_for_port

SESSIONS = 20
DOMAINS = 100
MESSAGES_A_DOMAIN = 20
BODY_OCTETS = 3000
DNS_SECONDS = 0.015
# opendmarc asks whom /etc/resolv.conf names, which knows no ports.
RESOLVER = "127.0.0.77"
Side = Ours | Peer


class SlowDns(DnsServer):
    """Answers as from far away."""

    def answer(self, wire: bytes, transport: str) -> bytes | None:
        time.sleep(DNS_SECONDS)
        return super().answer(wire, transport)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    folder = bench_folder()
    mine, theirs = side_folder(folder), side_folder(folder)
    (folder / "watch").mkdir()
    records, files = _senders(folder)
    watch = {"PYTHONPATH": str(Path(__file__).parent / "watch"), "LOOP_WATCH": str(folder / "watch")}
    with SlowDns(records) as dns:
        ours = Ours(mine / "ours", aliases=MESSAGES_A_DOMAIN + 10, MAILSUITE_RESOLVER=f"{RESOLVER}:53", **watch)
        milters = Milters(folder / "milters", dns.port)
        peer = Peer(theirs / "peer", mine / "ours/tls/cert.pem", mine / "ours/tls/key.pem", milters.ports)
        try:
            milters.start()
            ours.start()
            peer.start()
            _compare(ours, peer, milters, files, options.rounds)
            _print_stall(folder / "watch")
        finally:
            peer.stop()
            ours.stop()
            milters.stop()
            shutil.rmtree(folder, ignore_errors=True)


class Milters:
    """unbound for both sides, and the peer's opendkim and opendmarc, which see a resolv.conf of their own."""

    def __init__(self, folder: Path, dns_port: int) -> None:
        self._folder, self._dns_port = folder, dns_port
        self.ports = [free_port(), free_port()]
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        self._folder.mkdir()
        (self._folder / "resolv.conf").write_text(f"nameserver {RESOLVER}\n")
        (self._folder / "hosts").write_text("192.0.2.1\n")
        for name, text in (("unbound", UNBOUND), ("opendkim", OPENDKIM), ("opendmarc", OPENDMARC)):
            opendkim, opendmarc = self.ports
            values = {"folder": self._folder, "dns": self._dns_port, "opendkim": opendkim, "opendmarc": opendmarc}
            (self._folder / f"{name}.conf").write_text(text.format(resolver=RESOLVER, domain=DOMAIN, **values))
        self._run("unbound", "-d", "-c", self._folder / "unbound.conf")
        private = f"mount --bind {self._folder}/resolv.conf /etc/resolv.conf && exec"
        self._run("unshare", "-m", "sh", "-c", f"{private} opendkim -f -x {self._folder}/opendkim.conf")
        self._run("unshare", "-m", "sh", "-c", f"{private} opendmarc -f -c {self._folder}/opendmarc.conf")
        for port in self.ports:
            wait_for_port(port)

    def forget(self) -> None:
        """Empties the resolver's cache."""
        self._running[0].send_signal(1)
        time.sleep(0.2)

    def stop(self) -> None:
        for process in self._running:
            process.terminate()
            process.wait(10)

    def _run(self, *command: object) -> None:
        self._running.append(subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, **QUIET))


UNBOUND = """
server:
  interface: {resolver}
  access-control: 127.0.0.0/8 allow
  do-daemonize: no
  do-not-query-localhost: no
  module-config: "iterator"
  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: ""
  use-syslog: no
remote-control:
  control-enable: no
forward-zone:
  name: "."
  forward-addr: 127.0.0.1@{dns}
"""
OPENDKIM = """
Mode v
Socket inet:{opendkim}@127.0.0.1
AuthservID mail.{domain}
InternalHosts {folder}/hosts
Nameservers {resolver}
UserID root
PidFile {folder}/opendkim.pid
Syslog no
"""
OPENDMARC = """
Socket inet:{opendmarc}@127.0.0.1
AuthservID mail.{domain}
TrustedAuthservIDs mail.{domain}
IgnoreHosts {folder}/hosts
SPFSelfValidate true
SPFIgnoreResults true
RejectFailures true
UserID root
PidFile {folder}/opendmarc.pid
Syslog no
"""


def _senders(folder: Path) -> tuple[dict[tuple[str, str], list[str]], list[tuple[str, Path]]]:
    """The senders' DNS records, and for each of them its address and a file with a message that it signed."""
    keys = [generate_private_key(public_exponent=65537, key_size=2048) for _ in range(4)]
    records, files = {}, []
    for number in range(DOMAINS):
        domain, key = f"d{number}.senders.example", keys[number % len(keys)]
        public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        value = f"v=DKIM1; k=rsa; p={base64.b64encode(public).decode()}"
        parts = [value[start : start + 255] for start in range(0, len(value), 255)]
        records[f"s1._domainkey.{domain}", "TXT"] = [" ".join(f'"{part}"' for part in parts)]
        records[f"_dmarc.{domain}", "TXT"] = ['"v=DMARC1; p=reject"']
        records[domain, "TXT"] = ['"v=spf1 ip4:127.0.0.1 -all"']
        records[domain, "MX"] = [f"10 mx.{domain}."]
        records[f"mx.{domain}", "A"] = ["192.0.2.1"]
        file = folder / f"message-{number}"
        file.write_bytes(_signed(domain, key).replace(b"\r\n", b"\n"))
        files.append((f"someone@{domain}", file))
    return records, files


def _signed(domain: str, key) -> bytes:
    line = b"Some words of a letter that is neither short nor long, like most of them.\r\n"
    message = (
        f"From: Someone <someone@{domain}>\r\nTo: Other <other@{DOMAIN}>\r\nSubject: a letter\r\n"
        f"Date: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1.bench@{domain}>\r\nMIME-Version: 1.0\r\n"
        "Content-Type: text/plain; charset=utf-8\r\n\r\n"
    ).encode() + line * (BODY_OCTETS // len(line))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    signature: bytes = dkim.sign(message, b"s1", domain.encode(), pem, canonicalize=(b"relaxed", b"relaxed"))
    return signature + message


def _compare(ours: Ours, peer: Peer, milters: Milters, files: list[tuple[str, Path]], rounds: int) -> None:
    pairs = []
    for _ in range(rounds):
        pair = []
        for side in (ours, peer):
            milters.forget()
            # What the other side has left to write and to discard is no burden of this one's.
            os.sync()
            pair.append(_filed(side, files))
        pairs.append(pair)
        print(f"round: {pair[0]:.0f} and {pair[1]:.0f} messages/s", flush=True)
    for side in (peer, ours):
        _expect_checked(side)
    mine, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = statistics.median(a / b for a, b in pairs)
    print(f"{'':44}{ours.name:>12}{'with milters':>20}{'ours better by':>17}")
    print(f"{'messages/s, 4 KB, all checks on':44}{mine:12.1f}{theirs:20.1f}{ratio:16.2f}x")


def _filed(side: Side, files: list[tuple[str, Path]]) -> float:
    before = side.delivered() if isinstance(side, Peer) else 0
    start = time.perf_counter()
    with ThreadPoolExecutor(SESSIONS) as pool:
        list(pool.map(lambda sender: _send(side.ports["smtp"], *sender), files))
    total = len(files) * MESSAGES_A_DOMAIN
    while isinstance(side, Peer) and side.delivered() < before + total:
        time.sleep(0.01)
    return total / (time.perf_counter() - start)


def _send(port: int, sender: str, file: Path) -> None:
    count = ("-N", "-s", "1", "-m", str(MESSAGES_A_DOMAIN))
    command = ["smtp-source", *count, "-f", sender, "-t", f"u@{DOMAIN}", "-F", str(file), f"127.0.0.1:{port}"]
    subprocess.run(command, check=True, **QUIET)


def _expect_checked(side: Side) -> None:
    """Nobody is measured who did not do the work."""
    client = ImapClient(side.ports["imaps"], f"u1@{DOMAIN}", PASSWORD)
    client.command("SELECT INBOX")
    header = client.command("FETCH * BODY.PEEK[HEADER]")
    client.close()
    for wanted in (b"dkim=pass", b"spf=pass", b"dmarc=pass"):
        if wanted not in header:
            raise SystemExit(f"{side.name} did not say {wanted.decode()}:\n{header.decode()}")


def _print_stall(folder: Path) -> None:
    found = [json.loads(file.read_text()) for file in folder.glob("service-*")]
    if not found:
        raise SystemExit("no event loop was watched")
    for name, text in (("computed_ms", "longest pass, computing"), ("late_ms", "longest pass, by the clock")):
        values = sorted(value[name] for value in found)
        median = statistics.median(values)
        print(f"event loop of smtpd, {text}: {values[-1]:.1f} ms; median of the seconds' longest {median:.1f} ms")


if __name__ == "__main__":
    main()
