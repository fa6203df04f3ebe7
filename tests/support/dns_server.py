"""A real DNS server on loopback for tests: UDP and TCP on one free port, answering from a dict."""

import socket
import socketserver
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

UDP_OCTETS = 512


class DnsServer:
    """`records` maps (name, type) to record texts, as in a zone file: `{("a.test", "MX"): ["10 mx.a.test."]}`.

    It may be changed at any time. Instead of a list a value may be "servfail", "silent" or "nxdomain". `questions`
    gathers what was asked, as (name, type, transport).
    """

    def __init__(
        self, records: Mapping[tuple[str, str], Sequence[str] | str] | None = None, *, ad: bool = False
    ) -> None:
        self.records: dict[tuple[str, str], Sequence[str] | str] = dict(records or {})
        self.questions: list[tuple[str, str, str]] = []
        self._ad = ad
        self._tcp = _Tcp(("127.0.0.1", 0), self)
        self.port = self._tcp.server_address[1]
        self._udp = _Udp(("127.0.0.1", self.port), self)
        self._threads = [
            threading.Thread(target=one.serve_forever, args=(0.05,), daemon=True) for one in (self._tcp, self._udp)
        ]

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> "DnsServer":
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        for server in (self._tcp, self._udp):
            server.shutdown()
            server.server_close()
        for thread in self._threads:
            thread.join()

    def serve(self, zone: str) -> None:
        """Makes it the zone's own name server, too: for those who look for one."""
        self.records[zone, "NS"] = [f"ns.{zone}."]
        self.records[f"ns.{zone}", "A"] = ["127.0.0.1"]
        self.records[zone, "SOA"] = [f"ns.{zone}. hostmaster.{zone}. 1 3600 600 86400 30"]

    def __enter__(self) -> "DnsServer":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def answer(self, wire: bytes, transport: str) -> bytes | None:
        query = dns.message.from_wire(wire)
        question = query.question[0]
        # As its octets are, where to_text() would escape some.
        name = b".".join(question.name.labels[:-1]).decode("latin-1").lower() or "."
        rdtype = dns.rdatatype.to_text(question.rdtype)
        self.questions.append((name, rdtype, transport))
        response = dns.message.make_response(query, recursion_available=True)
        response.flags |= dns.flags.AA
        if self._ad:
            response.flags |= dns.flags.AD
        found = self._find(name, rdtype, response)
        if found == "silent":
            return None
        if found == "servfail":
            response.set_rcode(dns.rcode.SERVFAIL)
        elif found == "nxdomain":
            response.set_rcode(dns.rcode.NXDOMAIN)
            response.authority.append(_soa())
        elif not found:
            response.authority.append(_soa())
        octets = response.to_wire(max_size=65535)
        limit = max(query.payload if query.edns >= 0 else UDP_OCTETS, UDP_OCTETS)
        if transport == "udp" and len(octets) > limit:
            short = dns.message.make_response(query, recursion_available=True)
            short.flags |= dns.flags.TC
            octets = short.to_wire()
        return octets

    def _find(self, name: str, rdtype: str, response: Any) -> str | bool:
        """Puts the answer into the response, following CNAMEs; returns the word for one that is no list."""
        owner = response.question[0].name
        for _ in range(10):
            found = self.records.get((name, rdtype))
            if isinstance(found, str):
                return found
            if found:
                response.answer.append(dns.rrset.from_text_list(owner, 300, "IN", rdtype, list(found)))
                return True
            alias = self.records.get((name, "CNAME"))
            if not alias:
                break
            response.answer.append(dns.rrset.from_text(owner, 300, "IN", "CNAME", alias[0]))
            name, owner = alias[0].rstrip(".").lower(), dns.name.from_text(alias[0])
        known = any(one == name or one.endswith(f".{name}") for one, _ in self.records)
        return False if known else "nxdomain"


def _soa() -> Any:
    return dns.rrset.from_text("test.", 60, "IN", "SOA", "ns.test. hostmaster.test. 1 3600 600 86400 30")


class _Udp(socketserver.ThreadingUDPServer):
    allow_reuse_address = False
    daemon_threads = True

    def __init__(self, address: tuple[str, int], dns_server: DnsServer) -> None:
        self.dns_server = dns_server
        super().__init__(address, _UdpHandler)


class _Tcp(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, address: tuple[str, int], dns_server: DnsServer) -> None:
        self.dns_server = dns_server
        super().__init__(address, _TcpHandler)


class _UdpHandler(socketserver.BaseRequestHandler):
    server: _Udp

    def handle(self) -> None:
        data, sock = self.request
        if octets := self.server.dns_server.answer(data, "udp"):
            sock.sendto(octets, self.client_address)


class _TcpHandler(socketserver.BaseRequestHandler):
    server: _Tcp
    request: socket.socket

    def handle(self) -> None:
        self.request.settimeout(5)
        file = self.request.makefile("rwb")
        while length := file.read(2):
            if octets := self.server.dns_server.answer(file.read(int.from_bytes(length)), "tcp"):
                file.write(len(octets).to_bytes(2) + octets)
                file.flush()
