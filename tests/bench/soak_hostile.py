"""The hostile clients of the soak. Each attack is a coroutine that goes on until the time is over, with bounded numbers
of connections; what is closed or refused is opened again after a pause. Prints what each got out of it."""

import asyncio
import contextlib
import json
import os
import ssl
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable

from soak_honest import TLS
from soak_places import DOMAIN, HOSTILE_MAILBOX, PASSWORD, SERVER, hostile_addresses

PAUSE_SECONDS = 1.0
Places = dict[str, int]
tally: Counter[str] = Counter()


class Line:
    """One connection, from a hostile address."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, port: int, source: str, tls: ssl.SSLContext | None = None) -> "Line":
        options = {"ssl_handshake_timeout": 20} if tls else {}
        async with asyncio.timeout(30):
            opened = await asyncio.open_connection(
                SERVER, port, local_addr=(source, 0), ssl=tls, limit=1 << 20, **options
            )
        return cls(*opened)

    async def say(self, octets: bytes) -> None:
        self.writer.write(octets)
        async with asyncio.timeout(60):
            await self.writer.drain()

    async def ask(self, octets: bytes, end: bytes = b"\r\n") -> bytes:
        """Says it and returns what comes up to `end`."""
        await self.say(octets)
        async with asyncio.timeout(60):
            return await self.reader.readuntil(end)

    async def ask_tagged(self, octets: bytes, tag: bytes = b"a") -> bytes:
        await self.say(tag + b" " + octets + b"\r\n")
        async with asyncio.timeout(60):
            while not (line := await self.reader.readline()).startswith(tag + b" "):
                if not line:
                    raise ConnectionError("closed")
        return line

    async def closed(self) -> None:
        """Returns when the other side is tired of it."""
        while await self.reader.read(1 << 16):
            pass

    def close(self) -> None:
        self.writer.transport.abort()


Attack = Callable[[Places, str], Awaitable[None]]


async def http_idle(places: Places, source: str) -> None:
    line = await Line.open(places["http"], source)
    with contextlib.closing(line):
        await line.closed()


async def http_drip(places: Places, source: str) -> None:
    """A request head, an octet a second."""
    line = await Line.open(places["http"], source)
    with contextlib.closing(line):
        for octet in b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Drip: " + b"a" * 600:
            await line.say(bytes([octet]))
            await asyncio.sleep(1)


async def http_drip_body(places: Places, source: str) -> None:
    line = await Line.open(places["http"], source)
    with contextlib.closing(line):
        await line.say(b"POST /admin/login/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n")
        while True:
            await line.say(b"a")
            await asyncio.sleep(1)


async def half_handshake(places: Places, source: str) -> None:
    """The first octets of a ClientHello, to each listener that begins with TLS."""
    for name in ("https", "imaps", "pop3s", "submissions"):
        line = await Line.open(places[name], source)
        with contextlib.closing(line):
            await line.say(b"\x16\x03\x01\x02\x00\x01")
            await line.closed()


async def smtp_idle(places: Places, source: str) -> None:
    line = await Line.open(places["smtp"], source)
    with contextlib.closing(line):
        await line.closed()


async def smtp_noop(places: Places, source: str) -> None:
    line = await Line.open(places["smtp"], source)
    with contextlib.closing(line):
        await line.reader.readline()
        while True:
            await line.ask(b"NOOP\r\n")
            await asyncio.sleep(20)


async def smtp_long_header(places: Places, source: str) -> None:
    """A quarter of a megabyte of header, and then nothing for a while."""
    line = await Line.open(places["smtp"], source)
    with contextlib.closing(line):
        await line.reader.readline()
        for command in (
            b"HELO x\r\n",
            b"MAIL FROM:<a@far.test>\r\n",
            f"RCPT TO:<m1@{DOMAIN}>\r\n".encode(),
            b"DATA\r\n",
        ):
            await line.ask(command)
        await line.say(b"".join(b"X-%d: %s\r\n" % (number, b"a" * 900) for number in range(270)))
        await asyncio.sleep(60)
        await line.ask(b"\r\nx\r\n.\r\n")


async def smtp_many_recipients(places: Places, source: str) -> None:
    """One message to a list under a thousand names."""
    line = await Line.open(places["smtp"], source)
    with contextlib.closing(line):
        await line.reader.readline()
        await line.ask(b"HELO x\r\n")
        await line.ask(b"MAIL FROM:<a@far.test>\r\n")
        for number in range(1000):
            await line.ask(f"RCPT TO:<list+{number}@{DOMAIN}>\r\n".encode())
        if (await line.ask(b"DATA\r\n")).startswith(b"354"):
            tally["lists: " + (await line.ask(b"Subject: x\r\n\r\nx\r\n.\r\n"))[:3].decode()] += 1
    await asyncio.sleep(20)


async def smtp_pattern(places: Places, source: str) -> None:
    """Addresses that nearly fit a pattern, in very many ways."""
    line = await Line.open(places["smtp"], source)
    with contextlib.closing(line):
        await line.reader.readline()
        await line.ask(b"HELO x\r\n")
        await line.ask(b"MAIL FROM:<a@far.test>\r\n")
        for number in range(20):
            await line.ask(f"RCPT TO:<{'a' * 56}{number}@{DOMAIN}>\r\n".encode())
    await asyncio.sleep(5)


async def smtp_report(places: Places, source: str) -> None:
    """A DMARC report of a stranger with many rows, which nobody asked for."""
    row = (
        "<record><row><source_ip>192.0.2.{n}</source_ip><count>1</count><policy_evaluated><disposition>none"
        "</disposition><dkim>fail</dkim><spf>fail</spf></policy_evaluated></row><identifiers><header_from>"
        f"{DOMAIN}</header_from></identifiers><auth_results/></record>"
    )
    xml = (
        "<?xml version='1.0'?><feedback><report_metadata><org_name>far</org_name><email>a@far.test</email><report_id>"
        f"{time.time_ns()}</report_id><date_range><begin>1795996800</begin><end>1796083199</end></date_range>"
        f"</report_metadata><policy_published><domain>{DOMAIN}</domain><p>none</p></policy_published>"
        + "".join(row.format(n=number % 250) for number in range(4000))
        + "</feedback>"
    )
    header = (
        f"From: a@far.test\r\nTo: dmarc-reports@{DOMAIN}\r\nSubject: Report Domain: {DOMAIN}\r\n"
        f'MIME-Version: 1.0\r\nContent-Type: text/xml; name="far.test!{DOMAIN}!1795996800!1796083199.xml"\r\n\r\n'
    )
    line = await Line.open(places["smtp"], source)
    with contextlib.closing(line):
        await line.reader.readline()
        for command in ("HELO x", "MAIL FROM:<a@far.test>", f"RCPT TO:<dmarc-reports@{DOMAIN}>", "DATA"):
            await line.ask(f"{command}\r\n".encode())
        text = xml.replace("><", ">\r\n<")
        answer = await line.ask(f"{header}{text}\r\n.\r\n".encode())
        tally["reports: " + answer[:3].decode()] += 1
    await asyncio.sleep(5)


async def imap_before_login(places: Places, source: str) -> None:
    line = await Line.open(places["imaps"], source, TLS)
    with contextlib.closing(line):
        await line.closed()


async def imap_signed_in(places: Places, source: str) -> Line:
    line = await Line.open(places["imaps"], source, TLS)
    await line.reader.readline()
    await line.ask_tagged(f'LOGIN {HOSTILE_MAILBOX} "{PASSWORD}"'.encode())
    return line


async def imap_list(places: Places, source: str) -> None:
    """Long names, and patterns that lead astray."""
    line = await imap_signed_in(places, source)
    with contextlib.closing(line):
        for number in range(300):
            await line.ask_tagged(b"CREATE %s%d" % (b"a" * 200, number))
        for _ in range(200):
            await line.ask_tagged(b'LIST "" "' + b"*a" * 30 + b'*b"')


async def imap_search(places: Places, source: str) -> None:
    line = await imap_signed_in(places, source)
    with contextlib.closing(line):
        await line.ask_tagged(b"SELECT INBOX")
        keys = b" ".join(b"HEADER X-%d %s" % (number, b"a" * 50) for number in range(40))
        await line.ask_tagged(b"SEARCH " + keys)
        await line.ask_tagged(b"SEARCH TEXT " + b"ab" * 200)


async def imap_copy(places: Places, source: str) -> None:
    """Doubles a folder until the quota or a thousand messages end it, and empties it again."""
    line = await imap_signed_in(places, source)
    with contextlib.closing(line):
        await line.ask_tagged(b"CREATE copies")
        await line.say(b"b APPEND copies {12+}\r\nSubject: x\r\n\r\n")
        await line.ask_tagged(b"SELECT copies")
        for _ in range(13):
            await line.ask_tagged(b"COPY 1:* copies")
            await line.ask_tagged(b"NOOP")
        await line.ask_tagged(b"STORE 1:* +FLAGS.SILENT (\\Deleted)")
        await line.ask_tagged(b"EXPUNGE")
    await asyncio.sleep(10)


async def imap_endless_literal(places: Places, source: str) -> None:
    line = await imap_signed_in(places, source)
    with contextlib.closing(line):
        await line.say(b"a APPEND INBOX {10000000000+}\r\n")
        for _ in range(200):
            await line.say(b"a" * (1 << 16))
            await asyncio.sleep(0.1)


async def guess_passwords(places: Places, source: str) -> None:
    line = await Line.open(places["imaps"], source, TLS)
    with contextlib.closing(line):
        await line.reader.readline()
        for number in range(10):
            await line.ask_tagged(b'LOGIN h0@%s "guess %d"' % (DOMAIN.encode(), number))
    await asyncio.sleep(5)


# How many at once, from how many addresses.
ATTACKS: dict[str, tuple[Attack, int, int]] = {
    "http_idle": (http_idle, 500, 20),
    "http_drip": (http_drip, 50, 10),
    "http_drip_body": (http_drip_body, 20, 10),
    "half_handshake": (half_handshake, 100, 20),
    "smtp_idle": (smtp_idle, 1000, 20),
    "smtp_noop": (smtp_noop, 50, 20),
    "smtp_long_header": (smtp_long_header, 400, 20),
    "smtp_many_recipients": (smtp_many_recipients, 2, 2),
    "smtp_pattern": (smtp_pattern, 2, 2),
    "smtp_report": (smtp_report, 2, 2),
    "imap_before_login": (imap_before_login, 500, 20),
    "imap_list": (imap_list, 1, 1),
    "imap_search": (imap_search, 4, 2),
    "imap_copy": (imap_copy, 1, 1),
    "imap_endless_literal": (imap_endless_literal, 2, 2),
    "guess_passwords": (guess_passwords, 4, 4),
}


async def repeat(name: str, attack: Attack, places: Places, source: str, ends_at: float) -> None:
    while time.monotonic() < ends_at:
        try:
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + ends_at - time.monotonic()):
                await attack(places, source)
            tally[f"{name}: over"] += 1
        except (OSError, EOFError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            tally[f"{name}: {type(error).__name__}"] += 1
        await asyncio.sleep(PAUSE_SECONDS)


async def attack_all(places: Places, seconds: int, only: list[str], without: list[str]) -> None:
    ends_at = time.monotonic() + seconds
    tasks = []
    for first, (name, (attack, count, addresses)) in enumerate(ATTACKS.items()):
        if name in without or only and name not in only:
            continue
        sources = hostile_addresses(first, addresses)
        for _ in range(count):
            tasks.append(asyncio.create_task(repeat(name, attack, places, next(sources), ends_at)))
    await asyncio.gather(*tasks)


def main() -> None:
    # Real ones compute on machines of their own.
    os.nice(19)
    only, _, without = sys.argv[3].partition("/")
    words = [text.split(",") if text else [] for text in (only, without)]
    asyncio.run(attack_all(json.loads(sys.argv[1]), int(sys.argv[2]), *words))
    for name, count in sorted(tally.items()):
        print(f"{name:60}{count:8}")


if __name__ == "__main__":
    main()
