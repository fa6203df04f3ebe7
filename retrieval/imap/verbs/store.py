"""STORE and UID STORE (RFC 3501 §6.4.6): changes flags of messages."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from retrieval.imap.context import Context, Output
from retrieval.imap.errors import BadCommand
from retrieval.imap.flag_names import split_flags
from retrieval.imap.grammar import Scanner
from retrieval.imap.messages import EXPUNGE_ISSUED, chosen, parse_messages, set_flags, uids_of, writable
from retrieval.imap.sequence_set import SequenceSet
from retrieval.imap.verb import SELECTED, Feature, Verb
from retrieval.imap.view import RECENT, FolderView
from retrieval.mail_values import FlagMode, MessageState


@dataclass(frozen=True, slots=True)
class Store:
    """`silent` is .SILENT: the client takes it that its flags are set."""

    messages: SequenceSet
    mode: FlagMode
    silent: bool
    flags: int
    keywords: tuple[str, ...]
    by_uid: bool


def parse(scanner: Scanner, *, by_uid: bool) -> Store:
    """store = "STORE" SP sequence-set SP ["+" / "-"] "FLAGS" [".SILENT"] SP (flag-list / (flag *(SP flag)))"""
    messages = parse_messages(scanner)
    scanner.space()
    mode: FlagMode = "replace"
    if scanner.accept(b"+"):
        mode = "add"
    elif scanner.accept(b"-"):
        mode = "remove"
    word = scanner.keyword()
    if word not in ("FLAGS", "FLAGS.SILENT"):
        raise BadCommand("Unknown item to store")
    scanner.space()
    names = scanner.flag_list() if scanner.starts_with(b"(") else _bare_flags(scanner)
    return Store(messages, mode, word == "FLAGS.SILENT", *split_flags(names), by_uid)


def _bare_flags(scanner: Scanner) -> list[str]:
    names = [scanner.flag()]
    while not scanner.at_end:
        scanner.space()
        names.append(scanner.flag())
    return names


async def store(context: Context, command: Store) -> Output:
    """Change the flags and tell them; with .SILENT, only what is not as the client must think is told."""
    view = writable(context)
    spans = chosen(view, command.messages, by_uid=command.by_uid)
    uids = uids_of(view, spans)
    keywords = view.spelled(command.keywords)
    changed = 0
    async for states in set_flags(context.store, view.folder_id, uids, command.mode, command.flags, keywords):
        yield _stored(view, command, states)
        changed += len(states)
    view.stale = view.stale or changed < len(uids)
    if not command.by_uid and changed < sum(map(len, spans)):
        yield EXPUNGE_ISSUED


def _stored(view: FolderView, command: Store, states: Sequence[MessageState]) -> bytes:
    lines = []
    for state in states:
        position = view.position(state.uid)
        if position is None:
            continue
        flag_set = view.flag_set_at(position)
        expected = _expected(flag_set.bits, flag_set.keywords, command)
        view.show(state)
        flag_set = view.flag_set_at(position)
        if not command.silent or expected != (flag_set.bits & ~RECENT, flag_set.keywords):
            uid = b"UID %d " % state.uid if command.by_uid else b""
            lines.append(b"* %d FETCH (%bFLAGS (%b))\r\n" % (position + 1, uid, flag_set.octets))
    return view.new_keywords() + b"".join(lines)


def _expected(bits: int, keywords: frozenset[str], command: Store) -> tuple[int, frozenset[str]]:
    """What a client that knew of these flags thinks they are after the command."""
    bits &= ~RECENT
    words = frozenset(map(str.lower, command.keywords))
    if command.mode == "add":
        return bits | command.flags, keywords | words
    if command.mode == "remove":
        return bits & ~command.flags, keywords - words
    return command.flags, words


FEATURE = Feature(
    verbs=(
        Verb("STORE", SELECTED, partial(parse, by_uid=False), store, expunges=False, current=True),
        Verb("UID STORE", SELECTED, partial(parse, by_uid=True), store, current=True),
    )
)
