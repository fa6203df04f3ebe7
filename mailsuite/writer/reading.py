"""The one reading of a received message: what rows keep of it found out.

Small messages are read where the writer runs. A large one, and one that is much work for its size, is read in a forked
child, so that neither its parsing nor its fsync keeps others waiting. A child that overruns its time is ended and the
message read within HASTY_LIMITS, which leave out more.
"""

import errno
import hashlib
import logging
import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from mmap import mmap

import msgspec

from mailsuite.mail.body_structure import ParseLimits
from mailsuite.mail.header import header_end
from mailsuite.mail.message import ParsedMessage, parse_message
from mailsuite.mail.parsed_header import Header, HeaderTable
from mailsuite.mail.structure import encode_parts
from mailsuite.writer.storage import StoredFile

logger = logging.getLogger(__name__)

INLINE_OCTETS = 256 * 1024
HEADER_IN_ROW_OCTETS = 64 * 1024
# More than this is not read where the writer runs: it would keep others waiting.
INLINE_HEADER_OCTETS = 32 * 1024
INLINE_DELIMITERS = 1_000
LIMITS = ParseLimits()
HASTY_LIMITS = ParseLimits(
    depth=10,
    parts=200,
    header_octets=INLINE_HEADER_OCTETS,
    fields=1_000,
    structure_octets=64 * 1024,
    false_delimiters=1_000,
    searched_octets=64 * 1024 * 1024,
)
# No header fields: all is plain text.
PLAIN_LIMITS = ParseLimits(header_octets=0)
CHILD_SECONDS = 10.0
# How a child exits that could not read, which no error's number is
_FAILED = 255
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


def read_spooled(file: StoredFile, table: HeaderTable | None = None) -> Reading:
    """Reads the spool file whole; `table` says where its header's fields are, if somebody has read it. Raises
    OSError."""
    size = file.size_octets
    if size <= INLINE_OCTETS:
        return summarize(file.read(0, size), table=table)
    with file.mapped() as octets:
        return summarize(octets, table=table)


def read_hastily(file: StoredFile) -> Reading:
    """The same with less of the message looked at: what is left when it could not be read in time."""
    with file.mapped() as octets:
        try:
            return summarize(octets, HASTY_LIMITS)
        except Exception:
            # What makes reading fail must not keep the message from being stored.
            logger.exception("a message of %d octets can't be read", len(octets))
            return summarize(octets, PLAIN_LIMITS)


def is_much_work(octets: bytes) -> bool:
    """Whether reading a small message takes long for its size."""
    if len(octets) > INLINE_HEADER_OCTETS and header_end(octets, 0, INLINE_HEADER_OCTETS) == INLINE_HEADER_OCTETS:
        return True
    return octets.count(b"\n--") > INLINE_DELIMITERS


def summarize(octets: bytes | mmap, limits: ParseLimits = LIMITS, table: HeaderTable | None = None) -> Reading:
    """What a Content row keeps of a message, of which less is looked at beyond the limits. `table` is made use of where
    it ends with the header's blank line."""
    is_fitting = table is not None and table.octets == header_end(octets, 0, len(octets))
    parsed = parse_message(octets, limits, Header(octets, table) if table is not None and is_fitting else None)
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

    def __init__(
        self,
        file: StoredFile,
        deadline: float,
        close_in_child: Callable[[], None],
        table: HeaderTable | None = None,
    ) -> None:
        self._file, self._table, self.deadline = file, table, deadline
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
            _sync_or_exit(self._file)
            answer = _encoder.encode(read_spooled(self._file, self._table))
            while answer:
                answer = answer[os.write(write_end, answer) :]
            os._exit(0)
        except BaseException:
            os._exit(_FAILED)

    def fileno(self) -> int:
        """For selectors."""
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
        """The reading, or a hasty one when the child failed or was too slow. Raises OSError when the file could not be
        made durable: Linux tells that once, to the first who asks, so nobody may try again and believe the answer."""
        code = self.close()
        if 0 < code < _FAILED:
            raise OSError(code, os.strerror(code))
        try:
            return _decoder.decode(self._answer)
        except msgspec.MsgspecError:
            return read_hastily(self._file)

    def close(self) -> int:
        """Ends the child if it still runs. Returns its exit code, or the negative signal that ended it."""
        try:
            os.kill(self._pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        _, status = os.waitpid(self._pid, 0)
        os.close(self._pipe)
        return os.waitstatus_to_exitcode(status)


def _sync_or_exit(file: StoredFile) -> None:
    """In the child, so that the writer does not wait for what is large. Exits with the number of the error."""
    try:
        file.sync()
    except OSError as error:
        os._exit(error.errno or errno.EIO)
