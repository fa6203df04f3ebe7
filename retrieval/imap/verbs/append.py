"""APPEND (RFC 3501 §6.3.11): files a message, which goes into the store's spool as it arrives."""

import re
from dataclasses import dataclass
from datetime import datetime

from mailsuite.protocol.literals import Announcement
from retrieval.imap.context import Completion, Context, Output
from retrieval.imap.continuation import NextLine, NextOctets
from retrieval.imap.errors import BadCommand, CommandRefused
from retrieval.imap.flag_names import split_flags
from retrieval.imap.folder_names import parse_name
from retrieval.imap.grammar import Scanner
from retrieval.imap.utf8_wrapper import FRAME_OCTETS, Unwrapper
from retrieval.imap.verb import LOGGED_IN, Capability, Feature, Verb, logged_in
from retrieval.mail_store import MailStore, Spool
from retrieval.mail_values import FolderStatus

_UTF8 = re.compile(rb"UTF8 +\( *~(?=\{)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Arguments:
    """What stands between APPEND and its message."""

    name: str
    flags: int
    keywords: tuple[str, ...]
    internal_date: datetime | None


@dataclass(frozen=True, slots=True)
class Append:
    """APPEND up to the announcement of its message. `problem` says what is wrong with it already, and `arguments` may
    be missing then; `closing` is what has to stand behind the message."""

    size_octets: int
    synchronizing: bool
    arguments: Arguments | None = None
    closing: bytes = b""
    problem: BadCommand | CommandRefused | None = None


def parse(scanner: Scanner) -> Append:
    """Raises BadCommand: a command that is complete has no literal for its message."""
    parse_arguments(scanner)
    raise BadCommand("Expected the message as a literal")


def parse_arguments(scanner: Scanner) -> Arguments:
    """append = "APPEND" SP mailbox [SP flag-list] [SP date-time] SP literal; the scanner then stands at the literal."""
    name = parse_name(scanner)
    scanner.space()
    flags: int = 0
    keywords: tuple[str, ...] = ()
    if scanner.starts_with(b"("):
        flags, keywords = split_flags(scanner.flag_list())
        scanner.space()
    internal_date = None
    if scanner.starts_with(b'"'):
        internal_date = scanner.date_time()
        scanner.space()
    return Arguments(name, flags, keywords, internal_date)


def parse_to_message(context: Context, scanner: Scanner, announcement: Announcement) -> Append | None:
    """Return the command when the announced literal is its message; None when it is any other literal."""
    size, synchronizing = announcement.size, announcement.synchronizing
    try:
        arguments = parse_arguments(scanner)
        # append-data = "UTF8" SP "(" literal8 ")" (RFC 6855 §4): imaplib since Python 3.13.1
        closing = b")" if context.asked_utf8 and scanner.match(_UTF8) else b""
        if not scanner.starts_with(b"{"):
            raise BadCommand("Expected the message as a literal")
    except BadCommand as problem:
        # Perhaps the folder's name comes as this literal; no name is as large as a message.
        is_message = size > context.limits.literal_octets
        return Append(size, synchronizing, problem=problem) if is_message else None
    except CommandRefused as problem:
        return Append(size, synchronizing, problem=problem)
    return Append(size, synchronizing, arguments, closing)


async def append(context: Context, command: Append) -> Output:
    """File the message, or refuse it: before it is sent, where the client waits for our word, else behind it."""
    message = await _begin(context, command)
    if message.problem is not None and not _is_worth_reading(context, command):
        raise message.problem
    try:
        missing, prompt = command.size_octets, b"+ OK\r\n" if command.synchronizing else b""
        while missing:
            octets = yield NextOctets(missing, prompt)
            missing, prompt = missing - len(octets), b""
            await message.write(octets)
            del octets  # or it were held for as long as the client takes
        rest = yield NextLine()
        if message.problem is None and rest.strip(b" ") != command.closing:
            raise BadCommand("Unexpected argument after the message")
        yield await message.file(context)
    finally:
        await message.discard()


class _Message:
    """A message on its way into the spool; once there is a `problem` its octets are dropped."""

    def __init__(self, command: Append) -> None:
        self.problem: Exception | None = command.problem
        self._command = command
        self._folder: FolderStatus | None = None
        self._spool: Spool | None = None
        self._unwrapper: Unwrapper | None = None

    async def open(self, store: MailStore, folder: FolderStatus, unwrapper: Unwrapper | None) -> None:
        """Have octets go into a spool from now on."""
        self._folder, self._unwrapper, self._spool = folder, unwrapper, await store.spool()

    async def write(self, octets: bytes) -> None:
        """Take the next octets of the literal; what goes wrong is told once they have all come."""
        if self._spool is None:
            return
        try:
            await self._spool.write(self._unwrapper.feed(octets) if self._unwrapper else octets)
        except Exception as problem:
            self.problem = problem
            await self.discard()

    async def file(self, context: Context) -> Completion:
        """File what has come. Raises what stopped it."""
        if self.problem is not None:
            raise self.problem
        arguments, folder, spool = self._command.arguments, self._folder, self._spool
        assert arguments is not None and folder is not None and spool is not None  # or there were a problem
        if self._unwrapper is not None:
            await spool.write(self._unwrapper.end())
            _check_size(context, self._command.size_octets - (FRAME_OCTETS if self._unwrapper.is_wrapped else 0))
        self._spool = None
        item = await spool.finish(arguments.flags, arguments.keywords, arguments.internal_date)
        uid_validity, uids = await context.store.append(folder.folder_id, [item])
        if context.view_or_none is not None and context.view.folder_id == folder.folder_id:
            context.view.stale = True
        return Completion("OK", "APPEND completed", f"APPENDUID {uid_validity} {uids[0]}")

    async def discard(self) -> None:
        """Leave nothing behind of what was not filed."""
        spool, self._spool = self._spool, None
        if spool is not None:
            await spool.discard()


async def _begin(context: Context, command: Append) -> _Message:
    """Return the message, with a spool unless it is clear already that it can't be filed."""
    message = _Message(command)
    if command.arguments is None:
        return message
    may_be_wrapped = context.asked_utf8 and not command.closing
    try:
        # What the frame takes is looked at again when it is known whether there is one.
        spared = FRAME_OCTETS if may_be_wrapped and command.size_octets > FRAME_OCTETS else 0
        _check_size(context, command.size_octets - spared)
        folder = await context.store.status(command.arguments.name)
        if folder is None:
            raise CommandRefused("TRYCREATE", "There is no such folder")
        await message.open(context.store, folder, Unwrapper() if may_be_wrapped else None)
    except Exception as problem:  # told once the message has been dropped
        message.problem = problem
    return message


def _check_size(context: Context, octets: int) -> None:
    limit = context.limits.message_octets
    if octets <= 0:
        raise CommandRefused("CANNOT", "A message has at least one octet")
    if octets > limit:
        raise CommandRefused("TOOBIG", f"A message may have {limit} octets")


def _is_worth_reading(context: Context, refused: Append) -> bool:
    """Whether to read the refused message and go on; else it does not come, or the session ends before it does
    (RFC 7888 §4)."""
    if refused.synchronizing:
        return False
    if refused.size_octets > max(context.limits.dropped_octets, context.limits.message_octets):
        context.closing_text = "A literal is too large"
        return False
    return True


FEATURE = Feature(
    verbs=(Verb("APPEND", LOGGED_IN, parse, append, parse_to_literal=parse_to_message),),
    capabilities=(Capability(lambda context: f"APPENDLIMIT={context.limits.message_octets}", logged_in),),
)
