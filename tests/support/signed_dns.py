"""Real signed DNS on loopback: knot signs a root zone of the test's own, unbound validates from that root's key on.

`far.test` and its like are names in the root zone, so one key signs all. Beside it are three more zones, each with one
host: `bogus.test` and `dnssec-failed.org`, whose DS records fit no key, and `plain.test`, which is not signed.
"""

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import dns.message
import dns.query
from running_suite import free_port

SECONDS = 30
SOA = "{name} 60 IN SOA ns.test. hostmaster.test. {serial} 3600 600 86400 30\n{name} 60 IN NS ns.test.\n"
OTHERS = {
    "bogus.test.": "bogus.test. 60 IN MX 10 mx.bogus.test.\nmx.bogus.test. 60 IN A 127.0.0.1\n",
    "dnssec-failed.org.": "dnssec-failed.org. 60 IN A 192.0.2.1\n",
    "plain.test.": "plain.test. 60 IN MX 10 mx.plain.test.\nmx.plain.test. 60 IN A 127.0.0.1\n",
}
BAD_DS = f"60 IN DS 12345 13 2 {'ab' * 32}"

KNOT = """
server:
    rundir: "{folder}"
    listen: "127.0.0.1@{port}"
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: "{folder}"
policy:
  - id: one
    algorithm: ecdsap256sha256
    single-type-signing: on
    nsec3: off
template:
  - id: default
    storage: "{folder}"
    zonefile-sync: -1
    zonefile-load: difference-no-serial
    journal-content: all
zone:
  - domain: .
    file: "root.zone"
    dnssec-signing: on
    dnssec-policy: one
"""
UNBOUND = """
server:
    interface: 127.0.0.1@{port}
    username: ""
    chroot: ""
    directory: "{folder}"
    pidfile: ""
    use-syslog: no
    do-daemonize: no
    do-ip6: no
    num-threads: 1
    module-config: "validator iterator"
    trust-anchor-file: "{folder}/root.key"
    do-not-query-localhost: no
    cache-max-ttl: 0
    cache-max-negative-ttl: 0
    access-control: 127.0.0.0/8 allow
    local-zone: "test." nodefault
    qname-minimisation: no
    val-bogus-ttl: 0
    aggressive-nsec: no
    neg-cache-size: 0
    val-clean-additional: no
remote-control:
    control-enable: no
"""
STUB = 'stub-zone:\n    name: "{name}"\n    stub-addr: 127.0.0.1@{port}\n    stub-prime: no\n'


class SignedDns:
    """`publish` writes the root zone anew; `resolver` is the validating one's address, `direct` that of the name
    server, which does not validate."""

    def __init__(self, require_program: Callable[..., str]) -> None:
        self._knotd = require_program("knotd", "knot")
        self._knotc = require_program("knotc", "knot")
        self._keymgr = require_program("keymgr", "knot")
        self._unbound = require_program("unbound")
        self._folder = Path(tempfile.mkdtemp(prefix="dns-"))
        self._port, self._resolver_port, self._serial = free_port(), free_port(), 0
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def resolver(self) -> str:
        return f"127.0.0.1:{self._resolver_port}"

    @property
    def direct(self) -> str:
        return f"127.0.0.1:{self._port}"

    def __enter__(self) -> "SignedDns":
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._processes):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def publish(self, *lines: str) -> None:
        """These lines of a zone file, such as `far.test. 60 IN MX 10 mx.far.test.`, instead of those before."""
        self._serial += 1
        self._write_root(lines)
        self._control("zone-reload", ".")
        self._wait(lambda: self._ask(self._port, "serial.test.", "TXT") == [f'"{self._serial}"'])

    def _start(self) -> None:
        config = KNOT.format(folder=self._folder, port=self._port)
        for name, records in OTHERS.items():
            file = f"{name}zone"
            (self._folder / file).write_text(SOA.format(name=name, serial=1) + records)
            config += f'  - domain: {name}\n    file: "{file}"\n'
        (self._folder / "knot.conf").write_text(config)
        self._write_root(())
        self._spawn(self._knotd, "-c", str(self._folder / "knot.conf"))
        self._wait(lambda: self._ask(self._port, ".", "DNSKEY"))
        key = self._run(self._keymgr, "-c", str(self._folder / "knot.conf"), ".", "dnskey")
        (self._folder / "root.key").write_text(key)
        stubs = "".join(STUB.format(name=name, port=self._port) for name in (".", *OTHERS))
        text = UNBOUND.format(folder=self._folder, port=self._resolver_port) + stubs
        (self._folder / "unbound.conf").write_text(text)
        self._spawn(self._unbound, "-c", str(self._folder / "unbound.conf"))
        self._wait(lambda: self._ask(self._resolver_port, ".", "NS"))

    def _write_root(self, lines: Sequence[str]) -> None:
        text = SOA.format(name=".", serial=self._serial + 1) + "ns.test. 60 IN A 127.0.0.1\n"
        text += f'serial.test. 1 IN TXT "{self._serial}"\n'
        for name in OTHERS:
            text += f"{name} 60 IN NS ns.test.\n" + ("" if name == "plain.test." else f"{name} {BAD_DS}\n")
        (self._folder / "root.zone").write_text(text + "".join(f"{line}\n" for line in lines))

    def _control(self, *arguments: str) -> None:
        self._run(self._knotc, "-c", str(self._folder / "knot.conf"), "-b", *arguments)

    def _run(self, *command: str) -> str:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=SECONDS).stdout

    def _spawn(self, *command: str) -> None:
        with open(self._folder / "log", "ab") as log:
            self._processes.append(subprocess.Popen(command, stdout=log, stderr=log))

    def _wait(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + SECONDS
        while not condition():
            if time.monotonic() > deadline or any(process.poll() is not None for process in self._processes):
                raise AssertionError(f"the name servers did not start:\n{(self._folder / 'log').read_text()}")
            time.sleep(0.02)

    def _ask(self, port: int, name: str, rdtype: str) -> list[str]:
        query = dns.message.make_query(name, rdtype, want_dnssec=True)
        try:
            response = dns.query.udp(query, "127.0.0.1", timeout=1, port=port, ignore_trailing=True)
        except (dns.exception.DNSException, OSError):
            return []
        return [rdata.to_text() for rrset in response.answer[:1] for rdata in rrset]
