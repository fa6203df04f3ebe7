"""The one reading of a received message: its octets made durable and what rows keep of it found out.

Small messages are read where the writer runs. A large one is read in a forked child, so that neither its parsing nor
its fsync keeps others waiting; a child that overruns its time is ended and the message stored with a plain structure.
"""

import hashlib
import mmap
import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from mailsuite.mail.body_structure import ParseLimits
from mailsuite.mail.message import ParsedMessage, parse_message
from mailsuite.mail.structure import encode_parts

INLINE_OCTETS = 256 * 1024
HEADER_IN_ROW_OCTETS = 64 * 1024
# Beyond this a header is an attack, and reading it would keep the writer from others; so is a structure: a session has
# those of a hundred messages in memory at once.
LIMITS = ParseLimits(header_octets=100 * 1024, structure_octets=256 * 1024)
# No depth, no parts, no header fields: everything beyond the first octets is plain text.
PLAIN_LIMITS = ParseLimits(header_octets=0)
CHILD_SECONDS = 10.0
_UNSTORABLE = {0: None} | {code: 0xFFFD for code in range(0xD800, 0xE000)}


class Reading(msgspec.Struct, frozen=True, array_like=True):
    """What a Content row keeps of a message; texts are storable in both databases."""

    size_octets: int
    header_octets: int
    header: bytes | None
    envelope: bytes
    body_structure: bytes
    body: bytes
    parts: bytes
    message_id: str
    subject: str
    from_text: str
    to_text: str
    cc_text: str
    sent_at: datetime | None
    thread_id: int


def read_spooled(descriptor: int) -> Reading:
    """Fsyncs the file and reads it whole. Memory in use is bounded by the file's pages, which the kernel may drop."""
    os.fsync(descriptor)
    size = os.fstat(descriptor).st_size
    if size <= INLINE_OCTETS:
        return summarize(os.pread(descriptor, size, 0))
    with mmap.mmap(descriptor, 0, prot=mmap.PROT_READ) as octets:
        return summarize(octets)


def read_plainly(descriptor: int) -> Reading:
    """The same without looking into the message: what is left when it could not be read in time."""
    os.fsync(descriptor)
    with mmap.mmap(descriptor, 0, prot=mmap.PROT_READ) as octets:
        return summarize(octets, PLAIN_LIMITS)


def summarize(octets: bytes | mmap.mmap, limits: ParseLimits = LIMITS) -> Reading:
    parsed = parse_message(octets, limits)
    keeps_header = parsed.header_octets <= HEADER_IN_ROW_OCTETS
    return Reading(
        size_octets=len(octets),
        header_octets=parsed.header_octets,
        header=octets[: parsed.header_octets] if keeps_header else None,
        envelope=parsed.envelope_structure,
        body_structure=parsed.body_structure,
        body=parsed.body,
        parts=encode_parts(parsed.parts),
        message_id=_storable(parsed.message_id),
        subject=_storable(parsed.subject),
        from_text=_storable(parsed.from_text),
        to_text=_storable(parsed.to_text),
        cc_text=_storable(parsed.cc_text),
        sent_at=_utc(parsed.sent_at),
        thread_id=thread_id(parsed),
    )


def thread_id(parsed: ParsedMessage) -> int:
    """63 bits that all messages of a conversation share: a hash of the Message-ID that began it (RFC 5256 §3).

    A message without any such id is a thread of its own, told from others by what it says of itself.
    """
    root = parsed.references[0] if parsed.references else parsed.in_reply_to or parsed.message_id
    text = root.encode(errors="replace") or b"\0".join(
        (parsed.envelope_structure, str(parsed.header_octets).encode(), parsed.body_structure)
    )
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()) >> 1


def _storable(text: str) -> str:
    """PostgreSQL stores no NUL and neither database lone surrogates."""
    return text if text.isascii() and "\0" not in text else text.translate(_UNSTORABLE)


def _utc(moment: datetime | None) -> datetime | None:
    try:
        return moment.astimezone(UTC) if moment else None
    except OverflowError:  # a Date field in the year 1 or 9999
        return None


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Reading] = msgspec.msgpack.Decoder(Reading)


class Child:
    """A forked reader of one spool file. `fileno` becomes readable when it has something to say or has died."""

    def __init__(self, descriptor: int, deadline: float, close_in_child: Callable[[], None]) -> None:
        self._descriptor, self.deadline = descriptor, deadline
        self._answer = bytearray()
        self._pipe, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._pid = os.fork()
        if self._pid == 0:
            self._run(write_end, close_in_child)
        os.close(write_end)

    def _run(self, write_end: int, close_in_child: Callable[[], None]) -> None:
        """In the child: never returns, and runs nothing of the parent's on its way out."""
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            close_in_child()
            os.set_blocking(write_end, True)
            answer = _encoder.encode(read_spooled(self._descriptor))
            while answer:
                answer = answer[os.write(write_end, answer) :]
            os._exit(0)
        except BaseException:
            os._exit(1)

    def fileno(self) -> int:
        return self._pipe

    def receive(self) -> bool:
        """Takes what the child has written; True once it has ended."""
        try:
            while chunk := os.read(self._pipe, 1 << 16):
                self._answer += chunk
        except BlockingIOError:
            return False
        return True

    def finish(self) -> Reading:
        """The reading, or a plain one when the child failed or was too slow."""
        self.close()
        try:
            return _decoder.decode(self._answer)
        except msgspec.MsgspecError:
            return read_plainly(self._descriptor)

    def close(self) -> None:
        """Ends the child if it still runs."""
        try:
            os.kill(self._pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        os.waitpid(self._pid, 0)
        os.close(self._pipe)
