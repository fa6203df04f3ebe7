"""One client's connection, worked on by the poller alone and never waited for: TLS handshake, request, answer.

No thread knows it before a whole request is there, nor while its answer is sent: who drips octets, is silent amid a
handshake or reads slowly keeps a place among the connections, which has its limits of time, and nothing else. The
octets of a request are gunicorn's to judge: here is only looked for the blank line behind its head, and gunicorn's
parser says how long the body is.
"""

import logging
import re
import socket
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from selectors import EVENT_READ, EVENT_WRITE
from typing import Any, Protocol

from gunicorn.config import Config
from gunicorn.http import get_parser
from gunicorn.http.body import LengthReader
from gunicorn.http.errors import NoMoreData
from gunicorn.http.message import Request
from gunicorn.http.parser import RequestParser

from mailsuite.server.accepting import acknowledge_at_once
from mailsuite.server.octets import OctetBudget
from mailsuite.web import answers
from mailsuite.web.exchange import BODY_MEMORY_OCTETS, CHUNK_OCTETS, Exchange

logger = logging.getLogger(__name__)

HANDSHAKE_SECONDS = 10.0
HEAD_SECONDS = 20.0
HEAD_OCTETS = 32 * 1024
# No page of ours takes files: the largest forms are lists of addresses.
BODY_OCTETS = 10 * 1024 * 1024
# A body and the reading of an answer have so long, and a second more for every so many octets that moved.
BODY_SECONDS = ANSWER_SECONDS = 20.0
OCTETS_PER_SECOND = 4096
KEEPALIVE_SECONDS = 30.0
# How long what we said last is waited for to arrive (RFC 9112 §9.6), and how much is thrown away meanwhile.
LINGER_SECONDS = 2.0
LINGER_OCTETS = 64 * 1024
# What is done for one connection before others have their turn.
TURN_OCTETS = 256 * 1024

# RFC 9112 §2.2: a line of the head ends with CRLF. Another LF is an error, which gunicorn names.
_HEAD_ENDS = re.compile(rb"\r\n\r\n|(?<!\r)\n")


class Phase(Enum):
    """READY waits for a thread, WORKING has one."""

    HANDSHAKE = auto()
    HEAD = auto()
    BODY = auto()
    READY = auto()
    WORKING = auto()
    ANSWER = auto()
    LINGER = auto()
    CLOSED = auto()


class Poller(Protocol):
    """What a connection tells to who runs it."""

    def refuse(self, exchange: Exchange, client: Any, error: Exception) -> None:
        """Write gunicorn's answer to a request that it does not understand."""
        ...

    def answered(self, connection: "HttpConnection") -> None: ...

    def withdrawn(self, connection: "HttpConnection") -> None:
        """It no longer waits for a thread."""
        ...

    def closed(self, connection: "HttpConnection") -> None: ...


@dataclass(frozen=True, slots=True)
class Budgets:
    """Octets of all connections: in memory, and of bodies on disk."""

    memory: OctetBudget
    bodies: OctetBudget


class HttpConnection:
    """`client` and `server` are socket addresses; `config` says whether it `is_ssl`, for which `tls` is there. `wanted`
    is the event to wait for, 0 for none; `deadline` by the clock of `now`, which is time.monotonic's."""

    def __init__(
        self,
        accepted: socket.socket,
        *,
        client: Any,
        server: Any,
        config: Config,
        tls: ssl.SSLContext | None,
        poller: Poller,
        budgets: Budgets,
        now: float,
    ) -> None:
        self.client, self.server, self.cfg = client, server, config
        self._poller, self._budgets = poller, budgets
        self._socket = accepted
        self._tls = tls
        self.phase = Phase.HANDSHAKE if tls else Phase.HEAD
        self.deadline = now + (HANDSHAKE_SECONDS if tls else HEAD_SECONDS)
        self.wanted = EVENT_READ
        self._now = now
        self._received = bytearray()
        # How much of what was received holds no end of a head.
        self._searched = 0
        self._missing = self._held = self._spooled = self._discarded = 0
        self._keep = self._is_kept = False
        # Since when, and how much, of a body has come or of an answer has gone.
        self._transfer_began, self._transferred = now, 0
        self.exchange: Exchange | None = None
        self.request: Request | None = None
        self.parser: RequestParser | None = None

    @property
    def sock(self) -> Exchange:
        """What gunicorn takes for the connection's socket."""
        assert self.exchange is not None
        return self.exchange

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def address(self) -> str:
        return str(self.client[0])

    # Making room (mailsuite.server.admission)

    def may_give_way(self) -> bool:
        """Whether nothing is under way: no request that a thread works on, nothing that moves at an honest pace."""
        if self.phase in (Phase.BODY, Phase.ANSWER):
            return self._transferred < (time.monotonic() - self._transfer_began) * OCTETS_PER_SECOND
        return self.phase in (Phase.HANDSHAKE, Phase.HEAD, Phase.READY, Phase.LINGER)

    def give_way(self) -> None:
        if self.phase is Phase.READY:
            with suppress(OSError):
                self._socket.send(answers.CROWDED)
        self.close()

    # Moving on

    def advance(self, now: float) -> bool:
        """Do what can be done without waiting. True when there is more to do at once, after others."""
        self._now = now
        left = TURN_OCTETS
        try:
            while left > 0:
                moved = _STEPS[self.phase](self)
                if not moved:
                    return False
                left -= moved
        except ssl.SSLWantReadError:
            self.wanted = EVENT_READ
            return False
        except ssl.SSLWantWriteError:
            self.wanted = EVENT_WRITE
            return False
        except BlockingIOError:
            self.wanted = EVENT_WRITE if self.phase is Phase.ANSWER else EVENT_READ
            return False
        except OSError:
            # Gone, or no TLS.
            self.close()
            return False
        finally:
            self._count()
        return self.phase is not Phase.CLOSED

    def time_out(self, now: float) -> None:
        """The deadline is over."""
        self._now = now
        if self.phase is Phase.HEAD and self._received or self.phase is Phase.BODY:
            self._answer_at_once(answers.TOO_SLOW)
            self.advance(now)
        else:
            self.close()

    def hurry(self, by: float) -> None:
        """Have what only waits for a request end by then: the server stops."""
        if self.phase in (Phase.HANDSHAKE, Phase.HEAD):
            self.deadline = min(self.deadline, by)

    def finished(self, keep: bool, now: float) -> bool:
        """A thread is done with the request: send the answer; `keep` means that another request may follow. Returns
        what `advance` does."""
        self._begin_answer(keep)
        return self.advance(now)

    def close(self) -> None:
        """Close at once."""
        # Who has a thread closes once that is done.
        if self.phase is not Phase.WORKING:
            self.abort()

    def abort(self) -> None:
        """Close at once, which no thread may be at work for."""
        if self.phase is Phase.CLOSED:
            return
        if self.phase is Phase.READY:
            self._poller.withdrawn(self)
        self.phase, self.wanted = Phase.CLOSED, 0
        self._poller.closed(self)
        self._forget_exchange()
        self._received.clear()
        self._count()
        self._socket.close()

    # The steps: each returns how many octets it moved, or 1 for another phase; 0 means that the poller has no part
    # in what comes next. They raise what sockets raise when they would have to wait.

    def _shake_hands(self) -> int:
        if not isinstance(self._socket, ssl.SSLSocket):
            assert self._tls is not None
            self._socket = self._tls.wrap_socket(self._socket, server_side=True, do_handshake_on_connect=False)
        self._socket.do_handshake()
        self._begin_head()
        return 1

    def _read_head(self) -> int:
        if self._received and self._take_head():
            return 1
        octets = self._socket.recv(HEAD_OCTETS)
        if not octets:
            self.close()
            return 0
        if not self._received and self._is_kept:
            self.deadline = self._now + HEAD_SECONDS
        self._received += octets
        return len(octets)

    def _take_head(self) -> bool:
        """Move on if the head is whole, or a hopeless one."""
        if _HEAD_ENDS.search(self._received, self._searched, HEAD_OCTETS) is None:
            if len(self._received) < HEAD_OCTETS:
                # The last three may begin an end.
                self._searched = max(0, len(self._received) - 3)
                return False
            self._answer_at_once(answers.HEAD_TOO_LARGE)
            return True
        self.exchange = Exchange(bytes(self._received))
        self._received.clear()
        self._searched = 0
        self.parser = get_parser(self.cfg, self.exchange, self.client)
        try:
            self.request = next(self.parser)
        except (NoMoreData, StopIteration):
            self.close()
        except Exception as error:
            self._poller.refuse(self.exchange, self.client, error)
            self._begin_answer(keep=False)
        else:
            self._begin_body()
        return True

    def _begin_body(self) -> None:
        assert self.request is not None and self.parser is not None and self.exchange is not None
        if self.request.version >= (1, 1) and sum(name == "HOST" for name, _ in self.request.headers) != 1:
            # RFC 9112 §3.2. The server's own name would be taken instead of it.
            self._answer_at_once(answers.NEEDS_HOST)
            return
        reader = self.request.body.reader
        if not isinstance(reader, LengthReader):
            # RFC 9112 §6.3 allows it; nothing that speaks to us sends chunks.
            self._answer_at_once(answers.NEEDS_LENGTH)
            return
        if reader.length > BODY_OCTETS:
            self._answer_at_once(answers.BODY_TOO_LARGE)
            return
        there = len(self.parser.unreader.buf.getvalue()) + self.exchange.unread_octets()
        self._missing = max(0, reader.length - there)
        if self._missing > BODY_MEMORY_OCTETS and self._budgets.bodies.is_spent:
            self._answer_at_once(answers.BUSY)
            return
        self.phase, self._transfer_began, self._transferred = Phase.BODY, self._now, 0
        self.deadline = self._now + BODY_SECONDS
        if self._missing and self.request._expected_100_continue:
            self._socket.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self._missing:
            acknowledge_at_once(self._socket)

    def _read_body(self) -> int:
        assert self.exchange is not None
        if not self._missing:
            self.exchange.complete()
            self.phase, self.wanted = Phase.READY, 0
            return 0
        octets = self._socket.recv(min(CHUNK_OCTETS, self._missing))
        if not octets:
            self.close()
            return 0
        self._missing -= len(octets)
        if self._take_body(octets):
            self._transferred += len(octets)
            self.deadline = self._paced(BODY_SECONDS)
        else:
            self._answer_at_once(answers.BUSY)
        return len(octets)

    def _take_body(self, octets: bytes) -> bool:
        """Keep them; False when there is no room on disk. Small bodies, such as a login's, always have some."""
        assert self.exchange is not None
        try:
            self.exchange.append(octets, spool=self._budgets.memory.is_pressed)
        except OSError as error:
            logger.error("a request's body can't be kept: %s", error)
            return False
        spooled = self.exchange.body_disk_octets()
        self._budgets.bodies.take(spooled - self._spooled)
        self._spooled = spooled
        return spooled <= BODY_MEMORY_OCTETS or not self._budgets.bodies.is_spent

    def _paced(self, seconds: float) -> float:
        """When what is under way is too slow, unless more of it moves: by what did, not by what was announced."""
        return self._transfer_began + seconds + self._transferred / OCTETS_PER_SECOND

    def _send_answer(self) -> int:
        assert self.exchange is not None
        if chunk := self.exchange.next_chunk():
            sent = self._socket.send(chunk)
            self.exchange.sent(sent)
            self._transferred += sent
            self.deadline = self._paced(ANSWER_SECONDS)
            return sent
        if self._keep:
            self._begin_next()
        else:
            self._begin_linger()
        return 1

    def _linger(self) -> int:
        octets = self._socket.recv(CHUNK_OCTETS)
        self._discarded += len(octets)
        if not octets or self._discarded > LINGER_OCTETS:
            self.close()
            return 0
        return len(octets)

    def _nothing(self) -> int:
        return 0

    # From one to the next

    def _begin_head(self) -> None:
        self.phase, self.wanted = Phase.HEAD, EVENT_READ
        self.deadline = self._now + HEAD_SECONDS

    def _answer_at_once(self, answer: bytes) -> None:
        """Answer what the application never sees, and end."""
        self._forget_exchange()
        self.exchange = Exchange(b"")
        self.exchange.sendall(answer)
        self._begin_answer(keep=False)

    def _begin_answer(self, keep: bool) -> None:
        assert self.exchange is not None
        self._keep = keep
        self.phase, self.wanted = Phase.ANSWER, EVENT_WRITE
        self._transfer_began, self._transferred = self._now, 0
        self.deadline = self._now + ANSWER_SECONDS
        self.exchange.seal(spool=self._budgets.memory.is_pressed)
        self._return_spooled()

    def _begin_next(self) -> None:
        """Go on with what the client has sent meanwhile."""
        assert self.exchange is not None and self.parser is not None
        self._received += self.parser.unreader.take_buffered() + self.exchange.rest()
        self._forget_exchange()
        self._poller.answered(self)
        self._is_kept = True
        self._begin_head()
        if not self._received:
            self.deadline = self._now + KEEPALIVE_SECONDS

    def _begin_linger(self) -> None:
        """Let the client read what it was sent: an end with octets unread on our side would be a reset to it."""
        self._forget_exchange()
        self.phase, self.wanted = Phase.LINGER, EVENT_READ
        self.deadline = self._now + LINGER_SECONDS
        with suppress(OSError):
            if isinstance(self._socket, ssl.SSLSocket):
                # Says that this is the end (RFC 8446 §6.1), and does not wait for the client's word.
                self._socket.unwrap()
        self._socket.shutdown(socket.SHUT_WR)

    def _forget_exchange(self) -> None:
        if self.exchange is not None:
            self.exchange.discard()
        self.exchange = self.request = self.parser = None
        self._return_spooled()

    def _return_spooled(self) -> None:
        self._budgets.bodies.give(self._spooled)
        self._spooled = 0

    def _count(self) -> None:
        """Tell the budget what is held in memory."""
        held = len(self._received) + (self.exchange.memory_octets() if self.exchange is not None else 0)
        if held != self._held:
            self._budgets.memory.take(held - self._held) if held > self._held else self._budgets.memory.give(
                self._held - held
            )
            self._held = held


_STEPS = {
    Phase.HANDSHAKE: HttpConnection._shake_hands,
    Phase.HEAD: HttpConnection._read_head,
    Phase.BODY: HttpConnection._read_body,
    Phase.READY: HttpConnection._nothing,
    Phase.WORKING: HttpConnection._nothing,
    Phase.ANSWER: HttpConnection._send_answer,
    Phase.LINGER: HttpConnection._linger,
    Phase.CLOSED: HttpConnection._nothing,
}
