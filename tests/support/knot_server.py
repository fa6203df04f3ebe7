"""A real authoritative name server, Knot DNS, on a free port of loopback, with zones that tests fill line by line."""

import subprocess
import time
from pathlib import Path

import dns.exception
import dns.message
import dns.query
from running_suite import free_port

CONFIGURATION = """\
server:
    rundir: "{folder}"
    listen: 127.0.0.1@{port}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: "{folder}/db"
log:
  - target: stderr
    any: warning
template:
  - id: default
    storage: "{folder}"
    journal-content: none
    zonefile-load: whole
zone:
{zones}
"""
HEAD = """\
{zone}. 60 IN SOA ns.{zone}. hostmaster.{zone}. {serial} 3600 600 86400 30
{zone}. 60 IN NS ns.{zone}.
ns.{zone}. 60 IN A 127.0.0.1
"""
SECONDS = 20


class KnotServer:
    """`lines[zone]` are the lines of a zone file that stand below its SOA, NS and the name server's address."""

    def __init__(self, program: str, folder: Path, zones: list[str]) -> None:
        self.program, self.folder, self.port, self.serial = program, folder, free_port(), 0
        self.lines: dict[str, list[str]] = {zone: [] for zone in zones}

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> "KnotServer":
        self.folder.mkdir(exist_ok=True)
        (self.folder / "db").mkdir(exist_ok=True)
        zones = "\n".join(f"  - domain: {zone}\n    file: {zone}zone" for zone in (f"{one}." for one in self.lines))
        configuration = self.folder / "knot.conf"
        configuration.write_text(CONFIGURATION.format(folder=self.folder, port=self.port, zones=zones))
        self._write()
        self.log = open(self.folder / "log", "wb")
        self.process = subprocess.Popen([self.program, "-c", str(configuration)], stdout=self.log, stderr=self.log)
        self._wait()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(SECONDS)
        self.log.close()

    def add(self, line: str) -> None:
        """Publishes one more line, in the zone that its name belongs to, and returns once it is served."""
        name = line.split()[0].rstrip(".").lower()
        zone = next(zone for zone in self.lines if name == zone or name.endswith(f".{zone}"))
        self.lines[zone].append(line)
        self._write()
        # knotd(8): SIGHUP reloads configuration and zones.
        self.process.send_signal(1)
        self._wait()

    def _write(self) -> None:
        self.serial += 1
        for zone, lines in self.lines.items():
            text = HEAD.format(zone=zone, serial=self.serial) + "".join(f"{line}\n" for line in lines)
            (self.folder / f"{zone}.zone").write_text(text)

    def _wait(self) -> None:
        """Until every zone is served as it was written last."""
        deadline = time.monotonic() + SECONDS
        while {self._served(zone) for zone in self.lines} != {self.serial}:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"knotd does not serve:\n{(self.folder / 'log').read_text()}")
            time.sleep(0.02)

    def _served(self, zone: str) -> int:
        try:
            query = dns.message.make_query(f"{zone}.", "SOA")
            answer = dns.query.udp(query, "127.0.0.1", port=self.port, timeout=0.5)
        except (TimeoutError, OSError, dns.exception.DNSException):
            return 0
        return answer.answer[0][0].serial if answer.answer else 0
