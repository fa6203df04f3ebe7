"""What each command's grammar takes: the value that is made of it, what is refused, and nothing else at any cut."""

from datetime import UTC, date, datetime

import pytest

from mailsuite.protocol.literals import Announcement
from mailsuite.store.flags import DELETED, DRAFT, SEEN
from retrieval.imap.context import State
from retrieval.imap.errors import BadCommand, CommandRefused
from retrieval.imap.fetch_items import Item, Section
from retrieval.imap.grammar import Scanner
from retrieval.imap.registry import REGISTRY
from retrieval.imap.search_keys import All, Dated, HasField, HasFlag, HasText, Not, Or
from retrieval.imap.sequence_set import SequenceSet
from retrieval.imap.verb import Plain
from retrieval.imap.verbs import (
    append,
    authenticate,
    client_id,
    copy,
    create,
    delete,
    enable,
    expunge,
    fetch,
    listing,
    login,
    rename,
    search,
    select,
    status,
    store,
    subscribe,
)

ONE = SequenceSet(((1, 1),))
TAKEN = [
    (b"CAPABILITY", Plain("CAPABILITY")),
    (b"noop", Plain("NOOP")),
    (b"LOGIN ann secret", login.Login(b"ann", b"secret")),
    (b'LOGIN "a\\"b" {3}\r\nx y', login.Login(b'a"b', b"x y")),
    (b"AUTHENTICATE plain", authenticate.Authenticate("PLAIN", None)),
    (b"AUTHENTICATE PLAIN =", authenticate.Authenticate("PLAIN", b"=")),
    (b"ID NIL", client_id.Id(())),
    (b'ID ("Name" "x" "v" NIL)', client_id.Id((("name", "x"), ("v", "")))),
    (b"ENABLE condstore X", enable.Enable(("CONDSTORE", "X"))),
    (b"SELECT inbox", select.Select("INBOX", read_only=False)),
    (b"EXAMINE &AOk-", select.Select("é", read_only=True)),
    (b"CREATE a/", create.Create("a")),
    (b"CREATE a (USE (\\Sent \\Junk))", create.Create("a", ("\\Sent", "\\Junk"))),
    (b'DELETE "x y"', delete.Delete("x y")),
    (b"RENAME a b/", rename.Rename("a", "b")),
    (b"SUBSCRIBE a", subscribe.Subscribe("a", on=True)),
    (b"UNSUBSCRIBE a", subscribe.Subscribe("a", on=False)),
    (b'LIST "" %', listing.List(b"", b"%", subscribed=False)),
    (b"LSUB a {1}\r\n*", listing.List(b"a", b"*", subscribed=True)),
    (b"STATUS a (unseen MESSAGES UNSEEN)", status.Status("a", ("UNSEEN", "MESSAGES"))),
    (b"EXPUNGE", expunge.Expunge(None)),
    (b"UID EXPUNGE 1", expunge.Expunge(ONE)),
    (b"STORE 1 FLAGS ()", store.Store(ONE, "replace", False, 0, (), by_uid=False)),
    (b"UID STORE 1 -flags.silent \\Seen $X", store.Store(ONE, "remove", True, SEEN, ("$X",), by_uid=True)),
    (b"STORE 1 +FLAGS (\\recent a A \\DELETED)", store.Store(ONE, "add", False, DELETED, ("a",), by_uid=False)),
    (b"COPY 1 a", copy.Copy(ONE, "a", move=False, by_uid=False)),
    (b"UID MOVE 1 {1}\r\na", copy.Copy(ONE, "a", move=True, by_uid=True)),
    (b"FETCH 1 fast", fetch.Fetch(ONE, (Item.FLAGS, Item.INTERNAL_DATE, Item.SIZE), by_uid=False)),
    (
        b"UID FETCH 1 (FLAGS BODY.PEEK[1.2.MIME]<0.5>)",
        fetch.Fetch(
            ONE,
            (Item.FLAGS, Section(b"BODY[1.2.MIME]<0>", (1, 2), "MIME", (), (0, 5), peek=True)),
            by_uid=True,
        ),
    ),
    (b"SEARCH DELETED", search.Search(HasFlag(DELETED), by_uid=False)),
    (
        b'UID SEARCH NOT SUBJECT "x" OR SEEN HEADER a {1}\r\nb SINCE 2-Feb-2026',
        search.Search(
            All(
                (
                    Dated("internal", "since", date(2026, 2, 2)),
                    Or((HasFlag(SEEN), HasField(b"a", "b"))),
                    Not(HasText("subject", "x")),
                )
            ),
            by_uid=True,
        ),
    ),
]
REFUSED = [
    *(
        b"XYZ",
        b"UID",
        b"UID NOOP",
        b"NOOP x",
        b"LOGIN a",
        b"LOGIN a b c",
        b"LOGIN  ",
        b"AUTHENTICATE",
        b"ID",
        b"ID x (y)",
    ),
    *(
        b'ID ("a")',
        b'ID ("%b" "x")' % (b"n" * 31),
        b'ID ("n" "%b")' % (b"x" * 1025),
        b"ENABLE",
        b"SELECT",
        b"SELECT a b",
    ),
    *(
        b"CREATE a (X)",
        b"CREATE a (USE)",
        b"RENAME a",
        b"LIST a",
        b"STATUS a ()",
        b"STATUS a (X)",
        b"STATUS a MESSAGES",
    ),
    *(b"EXPUNGE 1", b"UID EXPUNGE", b"STORE 1 FLAGS", b"STORE 1 X (a)", b"STORE 0 FLAGS a", b"STORE 1 FLAGS (\\X)"),
    *(b"COPY 1", b"COPY x a", b"FETCH 1", b"FETCH 1 ()", b"FETCH 1 X", b"FETCH 1 BODY[", b"SEARCH", b"SEARCH OR SEEN"),
    *(b"SEARCH X", b"SEARCH (SEEN", b"APPEND a", b"APPEND a x", b'APPEND a "text"', b"APPEND a (\\Seen)", b"IDLE x"),
]


def parsed(text):
    scanner = Scanner(b" " + text)
    state = next(state for state in State if is_legal(text, state))
    command = REGISTRY.take_verb(scanner, state).parse(scanner)
    scanner.end()
    return command


def is_legal(text, state):
    try:
        return bool(REGISTRY.take_verb(Scanner(b" " + text), state))
    except BadCommand as problem:
        if "not valid in" not in str(problem):
            raise
        return False


@pytest.mark.parametrize(("text", "command"), TAKEN, ids=lambda value: value if isinstance(value, bytes) else "")
def test_a_command_is_read_and_nothing_behind_it(text, command):
    assert parsed(text) == command
    if not isinstance(command, authenticate.Authenticate):  # whose response is what base64 says
        with pytest.raises((BadCommand, CommandRefused)):
            parsed(text + b" )")
    for end in range(len(text)):
        try:
            parsed(text[:end])
        except (BadCommand, CommandRefused):
            pass


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_command_is_refused(text):
    with pytest.raises(BadCommand):
        parsed(text)


def test_every_verb_of_the_table_is_tried_here_or_takes_no_argument():
    tried = {b" ".join(text.upper().split(b" ")[: 2 if text.startswith(b"UID") else 1]).decode() for text, _ in TAKEN}
    for name, verb in REGISTRY.verbs.items():
        if name not in tried and name != "APPEND":
            other = name.removeprefix("UID ") if name.startswith("UID ") else f"UID {name}"
            assert other in tried or verb.parse(Scanner(b"")) == Plain(name), name


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (b"a {9}", append.Arguments("a", 0, (), None)),
        (b"a (\\Draft x) {9}", append.Arguments("a", DRAFT, ("x",), None)),
        (
            b'a () " 1-Feb-2026 01:00:00 +0100" {9}',
            append.Arguments("a", 0, (), datetime(2026, 2, 1, tzinfo=UTC)),
        ),
        (b"{9}", None),
        (b"a (\\X) {9}", None),
        (b"a UTF8 (~{9}", None),
    ],
)
def test_append_is_read_up_to_its_message(connect, arguments, wanted):
    context = connect().session._context
    announcement = Announcement(b"t APPEND " + arguments + b"\r\n", 9, synchronizing=True, is_clean=True)
    command = append.parse_to_message(context, Scanner(b" " + arguments + b"\r\n"), announcement)
    assert command == (None if wanted is None else append.Append(9, True, wanted))
