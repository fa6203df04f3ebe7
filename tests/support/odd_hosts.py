"""Mail hosts that answer oddly, made from a number: what they mean is known, what they say is spoilt.

An `OddHost` is one session of such a host, without a socket: octets in, octets out. It knows what it takes and refuses,
so that a client can be judged by the truth. What it says late comes in front of its next reply, so nothing depends on
time. `serve` puts one on a socket.
"""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, field

GOOD, BAD, LATER = "good", "bad", "later"
PLACES = ("greeting", "ehlo", "mail", "rcpt0", "rcpt1", "rcpt2", "data", "dot")
# How a reply is spoilt; `reply` is the reply as it should be, in lines with codes.
ODDITIES = (
    *("twice", "twice late", "blank before", "blank after", "text before", "text after", "a line without code"),
    *("no blank after the code", "a leading blank", "mixed codes of one class", "mixed classes", "a long line"),
    *("many lines", "1yz before", "9yz before", "354 once more", "line feeds alone", "a bare CR", "a NUL"),
    *("8-bit text", "the code alone", "nothing", "421", "closed before", "closed without CRLF"),
    *("closed amid the code", "closed after"),
)
# These leave a client waiting for what never comes.
SILENT = ("nothing",)


@dataclass(frozen=True)
class Stream:
    """`sender`, `recipients`, `data` and `final` are the truth; `odd` says by place what is done to the words."""

    number: int
    pipelining: bool
    sender: str
    recipients: tuple[str, ...]
    data: str
    final: str
    odd: Mapping[str, str] = field(default_factory=dict)

    @property
    def domain(self) -> str:
        return f"s{self.number}.test"

    @property
    def addresses(self) -> list[str]:
        return [f"r{index}@{self.domain}" for index in range(len(self.recipients))]

    def may_bounce(self, index: int) -> bool:
        """Whether a refusal for good is the truth for a recipient."""
        return BAD in (self.sender, self.recipients[index], self.data, self.final)

    def __str__(self) -> str:
        odd = ", ".join(f"{place}: {how}" for place, how in self.odd.items())
        kind = "pipelined" if self.pipelining else "one by one"
        return f"{self.number} {kind} {self.sender} {self.recipients} {self.data} {self.final} [{odd}]"


def make_stream(number: int, *, silent: bool = True) -> Stream:
    """The stream of that number, always the same; `silent` False: none that has a client wait in vain."""
    chance = random.Random(number)
    count = chance.choice((1, 1, 2, 3))
    pick = lambda *weights: chance.choices((GOOD, BAD, LATER), weights)[0]  # noqa: E731
    recipients = tuple(pick(6, 4, 1) for _ in range(count))
    places = [place for place in PLACES if not place.startswith("rcpt") or int(place[4]) < count]
    oddities = [one for one in ODDITIES if silent or one not in SILENT]
    odd = {chance.choice(places): chance.choice(oddities) for _ in range(chance.choice((1, 1, 2)))}
    return Stream(number, chance.random() < 0.6, pick(20, 1, 1), recipients, pick(20, 1, 1), pick(8, 1, 1), odd)


def can_be_told(stream: Stream) -> bool:
    """Whether the truth can be found out at all. A reply too many and one too few cancel each other out; and after
    either, a host that hangs up can't be asked whether the rest was in step."""
    odd = set(stream.odd.values())
    hangs_up = any(how == "421" or how.startswith("closed") for how in odd)
    return not (len(odd) > 1 and odd & {"twice", "twice late", "nothing"} and (hangs_up or "nothing" in odd))


class OddHost:
    """One session. `taken` are the recipients who got a message, one entry for each time; `closed` ends it."""

    def __init__(self, stream: Stream) -> None:
        self.stream, self.closed = stream, False
        self.taken: list[str] = []
        self.offered = 0
        # Whether the reply to a final dot was said to its end.
        self.has_answered_dot = False
        self._buffer, self._late = b"", b""
        self._in_data = False
        self._accepted: list[str] = []

    def greet(self) -> bytes:
        return self._say("greeting", "220 odd.test ESMTP")

    def receive(self, data: bytes) -> bytes:
        self._buffer += data
        out = b""
        while not self.closed:
            end = b"\r\n.\r\n" if self._in_data else b"\r\n"
            if self._in_data and self._buffer.startswith(b".\r\n"):
                line, self._buffer = b"", self._buffer[3:]
            elif end in self._buffer:
                line, _, self._buffer = self._buffer.partition(end)
            else:
                break
            out += self._dot() if self._in_data else self._command(line.decode())
        return out

    def _command(self, line: str) -> bytes:
        stream, verb = self.stream, line[:4].upper()
        if verb == "EHLO":
            pipelining = ["250-PIPELINING"] if stream.pipelining else []
            return self._say("ehlo", "250-odd.test", *pipelining, "250 8BITMIME")
        if verb == "MAIL":
            self._accepted = []
            return self._say("mail", _reply(stream.sender, "250 2.1.0 sender ok", "sender"))
        if verb == "RCPT":
            address = line[line.index("<") + 1 : line.index(">")]
            index = stream.addresses.index(address)
            truth = stream.recipients[index] if stream.sender == GOOD else BAD
            if truth == GOOD:
                self._accepted.append(address)
            return self._say(f"rcpt{index}", _reply(truth, "250 2.1.5 recipient ok", "recipient"))
        if verb == "DATA":
            if not self._accepted:
                return self._say("data", "554 5.5.1 no valid recipients")
            self._in_data = stream.data == GOOD
            return self._say("data", _reply(stream.data, "354 go on", "data"))
        if verb == "QUIT":
            self.closed = True
            return b"221 2.0.0 bye\r\n"
        return self._say("", "250 2.0.0 ok" if verb in ("RSET", "HELO") else "500 5.5.2 what?")

    def _dot(self) -> bytes:
        self._in_data = False
        self.offered += 1
        if self.stream.final == GOOD and self.stream.odd.get("dot") != "421":
            self.taken += self._accepted
        said = self._say("dot", _reply(self.stream.final, "250 2.0.0 taken", "message"))
        self.has_answered_dot = self.stream.odd.get("dot") not in (
            *("nothing", "421", "closed before", "closed amid the code"),
        )
        return said

    def _say(self, place: str, *lines: str) -> bytes:
        """A reply as it is said, what was to be said before it in front."""
        whole = "".join(f"{line}\r\n" for line in lines)
        late, self._late = self._late, b""
        return late + self._spoil(self.stream.odd.get(place, ""), whole, lines[-1])

    def _spoil(self, how: str, whole: str, last: str) -> bytes:
        code, text = last[:3], last[4:]
        first = whole[: -len(last) - 2]
        other = {"2": "251", "3": "353", "4": "452", "5": "553"}[code[0]]
        if how == "twice late":
            self._late = whole.encode()
        if how.startswith("closed") or how == "421":
            self.closed = True
        words = {
            "twice": whole + whole,
            "blank before": f"\r\n{whole}",
            "blank after": f"{whole}\r\n",
            "text before": f"hello there\r\n{whole}",
            "text after": f"{whole}hello there\r\n",
            "a line without code": f"{code}-one\r\nhello there\r\n{whole}",
            "no blank after the code": f"{first}{code}x{text}\r\n",
            "a leading blank": f"{first} {last}\r\n",
            "mixed codes of one class": f"{other}-one\r\n{whole}",
            "mixed classes": f"{'550' if code < '400' else '250'}-one\r\n{whole}",
            "a long line": f"{code}-{'x' * 5000}\r\n{whole}",
            "many lines": f"{code}-one\r\n" * 300 + whole,
            "1yz before": f"150 wait\r\n{whole}",
            "9yz before": f"999 what\r\n{whole}",
            "354 once more": f"{whole}354 go on\r\n",
            "line feeds alone": whole.replace("\r\n", "\n"),
            "a bare CR": f"{first}{code} a\rb\r\n",
            "a NUL": f"{first}{code} a\0b\r\n",
            "8-bit text": f"{first}{code} a\xe4\xff\r\n",
            "the code alone": f"{first}{code}\r\n",
            "nothing": "",
            "421": "421 4.3.2 closing\r\n",
            "closed before": "",
            "closed without CRLF": whole[:-2],
            "closed amid the code": f"{first}{code[:2]}",
        }
        return words.get(how, whole).encode("latin-1")


def _reply(truth: str, good: str, what: str) -> str:
    return {GOOD: good, BAD: f"550 5.7.1 this {what} is refused", LATER: f"450 4.7.1 this {what} comes later"}[truth]


class Hosts:
    """Odd hosts on sockets: `sessions` has by a stream's number what each of its sessions was."""

    def __init__(self) -> None:
        self.sessions: dict[int, list[OddHost]] = {}
        self._servers: list[asyncio.Server] = []

    async def serve(self, stream: Stream) -> int:
        """The port of 127.0.0.1 at which the stream's host is from now on."""
        self.sessions[stream.number] = []

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            host = OddHost(stream)
            self.sessions[stream.number].append(host)
            data, said = b"", host.greet()
            try:
                while True:
                    writer.write(said)
                    await writer.drain()
                    if host.closed or not (data := await reader.read(65536)):
                        return
                    said = host.receive(data)
            except ConnectionError:
                return
            finally:
                writer.close()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    def taken(self, number: int) -> list[str]:
        """Who got the message of a stream, once for each time."""
        return [address for host in self.sessions[number] for address in host.taken]

    async def close(self) -> None:
        for server in self._servers:
            server.close()
