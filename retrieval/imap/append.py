"""APPEND (RFC 3501 §6.3.11): the message goes into the store's spool as it arrives."""

import re
from dataclasses import dataclass
from enum import Enum

from mailsuite.protocol.literals import Announcement
from retrieval.imap.commands import Append
from retrieval.imap.context import Completion, Context, State
from retrieval.imap.dispatch import take_verb
from retrieval.imap.errors import BadCommand, CommandRefused
from retrieval.imap.grammar import Scanner
from retrieval.imap.parsers import parse_append
from retrieval.imap.utf8_wrapper import FRAME_OCTETS, Unwrapper
from retrieval.mail_store import FolderStatus, Spool

_UTF8 = re.compile(rb"UTF8 +\( *~(?=\{)", re.IGNORECASE)


class Phase(Enum):
    LITERAL = "literal"
    LINE_END = "line end"


@dataclass(slots=True)
class Appending:
    """One APPEND whose message is on its way. Without a `spool` its octets are dropped, and `problem` says why."""

    tag: bytes
    size_octets: int
    command: Append | None = None
    folder: FolderStatus | None = None
    spool: Spool | None = None
    problem: Exception | None = None
    unwrapper: Unwrapper | None = None
    closing: bytes = b""  # what stands behind the literal
    missing_octets: int = 0

    def __post_init__(self) -> None:
        self.missing_octets = self.size_octets

    @property
    def phase(self) -> Phase:
        return Phase.LITERAL if self.missing_octets else Phase.LINE_END


async def append_announced(
    context: Context, tag: bytes, scanner: Scanner, announcement: Announcement
) -> Appending | None:
    """Return an APPEND when the announced literal is its message; None when it is any other literal."""
    try:
        if take_verb(scanner, context.state)[0] != "APPEND" or not announcement.is_clean:
            return None
    except BadCommand:
        return None
    try:
        command = parse_append(scanner)
        # append-data = "UTF8" SP "(" literal8 ")" (RFC 6855 §4): imaplib since Python 3.13.1
        closing = b")" if context.asked_utf8 and scanner.match(_UTF8) else b""
        if not scanner.starts_with(b"{"):
            raise BadCommand("Expected the message as a literal")
    except BadCommand as problem:
        # Perhaps the folder's name comes as this literal; no name is as large as a message.
        large = announcement.size > context.limits.literal_octets
        return Appending(tag, announcement.size, problem=problem) if large else None
    except CommandRefused as problem:
        return Appending(tag, announcement.size, problem=problem)
    return await _begin(context, Appending(tag, announcement.size, command, closing=closing))


def literal_fits(context: Context, announcement: Announcement) -> bool:
    """Whether a literal that is no message may come, and be held in memory."""
    limits = context.limits
    if context.state is State.NOT_AUTHENTICATED:
        literal, command = limits.login_literal_octets, limits.login_line_octets + limits.login_literal_octets
    else:
        literal, command = limits.literal_octets, limits.command_octets
    fits = announcement.size <= literal and len(announcement.octets) + announcement.size <= command
    return fits and announcement.is_clean


async def feed_append(appending: Appending, octets: bytes) -> None:
    """Take the next octets of the message."""
    appending.missing_octets -= len(octets)
    if appending.spool is None:
        return
    if appending.unwrapper is not None:
        octets = appending.unwrapper.feed(octets)
    try:
        await appending.spool.write(octets)
    except Exception as problem:
        appending.problem = problem
        await abandon_append(appending)


async def abandon_append(appending: Appending) -> None:
    """Leave nothing of it behind."""
    spool, appending.spool = appending.spool, None
    if spool is not None:
        await spool.discard()


async def finish_append(context: Context, appending: Appending, rest: bytes) -> Completion:
    """File the message; `rest` is what stood behind the literal. Raises what stopped it."""
    command, folder, spool = appending.command, appending.folder, appending.spool
    if rest.strip(b" ") != appending.closing and appending.problem is None:
        await abandon_append(appending)
        raise BadCommand("Unexpected argument after the message")
    if appending.problem is not None:
        raise appending.problem
    assert command is not None and folder is not None and spool is not None  # or there were a problem
    if appending.unwrapper is not None:
        await _end_wrapper(context, appending, appending.unwrapper, spool)
    appending.spool = None
    item = await spool.finish(command.flags, command.keywords, command.internal_date)
    uid_validity, uids = await context.store.append(folder.folder_id, [item])
    if context.view_or_none is not None and context.view.folder_id == folder.folder_id:
        context.view.stale = True
    return Completion("OK", "APPEND completed", f"APPENDUID {uid_validity} {uids[0]}")


async def _end_wrapper(context: Context, appending: Appending, unwrapper: Unwrapper, spool: Spool) -> None:
    """Write what the unwrapper still held. Raises CommandRefused."""
    try:
        await spool.write(unwrapper.end())
        _check_size(context, appending.size_octets - (FRAME_OCTETS if unwrapper.is_wrapped else 0))
    except Exception:
        await abandon_append(appending)
        raise


def _check_size(context: Context, octets: int) -> None:
    limit = context.limits.message_octets
    if octets <= 0:
        raise CommandRefused("CANNOT", "A message has at least one octet")
    if octets > limit:
        raise CommandRefused("TOOBIG", f"A message may have {limit} octets")


async def _begin(context: Context, appending: Appending) -> Appending:
    """Return the APPEND, with a spool unless it is clear already that it can't be done."""
    command, may_be_wrapped = appending.command, context.asked_utf8 and not appending.closing
    assert command is not None
    try:
        # What the frame takes is looked at again when it is known whether there is one.
        spared = FRAME_OCTETS if may_be_wrapped and appending.size_octets > FRAME_OCTETS else 0
        _check_size(context, appending.size_octets - spared)
        appending.folder = await context.store.status(command.name)
        if appending.folder is None:
            raise CommandRefused("TRYCREATE", "There is no such folder")
        appending.spool = await context.store.spool()
        appending.unwrapper = Unwrapper() if may_be_wrapped else None
    except Exception as problem:  # told once the message has been dropped
        appending.problem = problem
    return appending
