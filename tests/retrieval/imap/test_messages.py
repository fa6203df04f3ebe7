"""STORE, COPY, MOVE, EXPUNGE, and what two sessions on one folder tell their clients of each other."""

import pytest
from memory_mail_store import MemoryStore

from mailsuite.store.flags import ANSWERED, DELETED, FLAGGED, SEEN
from retrieval.imap import messages
from retrieval.mail_values import Refused, StoreUnavailable

MESSAGE = b"Subject: x\r\n\r\ntext\r\n"


@pytest.fixture
def three(client, mailbox):
    """A client with three messages selected, uids 1 to 3, none of them recent."""
    for _ in range(3):
        mailbox.deliver(MESSAGE)
    mailbox.folders["INBOX"].recent_uid = 4
    return client.select()


@pytest.fixture
def other(three, connect):
    """Another client on the same folder."""
    return connect().log_in().select()


def inbox(mailbox):
    return mailbox.folders["INBOX"].messages


def test_store_adds_removes_replaces(three, mailbox):
    three.dialog(
        "C: a STORE 1 +FLAGS (\\Seen $Label1)",
        "S: * FLAGS (\\Seen \\Answered \\Flagged \\Deleted \\Draft $Label1)",
        "S: * 1 FETCH (FLAGS (\\Seen $Label1))",
        "S: a OK Completed",
        "C: b STORE 1 -FLAGS \\Seen",
        "S: * 1 FETCH (FLAGS ($Label1))",
        "S: b OK Completed",
        "C: c UID STORE 1,3 FLAGS \\Answered \\Flagged",
        "S: * 1 FETCH (UID 1 FLAGS (\\Answered \\Flagged))",
        "S: * 3 FETCH (UID 3 FLAGS (\\Answered \\Flagged))",
        "S: c OK Completed",
        "C: d STORE 2 FLAGS ()",
        "S: * 2 FETCH (FLAGS ())",
        "S: d OK Completed",
        "C: e STORE 1:3 FLAGS.SILENT (\\Deleted)",
        "S: e OK Completed",
        "C: f UID STORE 77 FLAGS (\\Seen)",
        "S: f OK Completed",
    )
    assert {message.flags for message in inbox(mailbox).values()} == {DELETED}


def test_flags_names_a_keyword_before_any_fetch_does(three, other):
    """RFC 3501 §7.2.6: in STORE, in what others stored, and where reading a message brings one up."""
    known = "\\Seen \\Answered \\Flagged \\Deleted \\Draft"
    three.dialog(
        "C: a STORE 1 +FLAGS.SILENT (one)", f"S: * FLAGS ({known} one)", "S: a OK Completed",
        "C: b STORE 1 +FLAGS (ONE)", "S: * 1 FETCH (FLAGS (one))", "S: b OK Completed",
    )  # fmt: skip
    other.notify()
    other.dialog(
        "C: a FETCH 1 FLAGS", f"S: * FLAGS ({known} one)", "S: * 1 FETCH (UID 1 FLAGS (one))",
        "S: * 1 FETCH (FLAGS (one))", "S: a OK Completed",
    )  # fmt: skip
    three.command("STORE 2 +FLAGS.SILENT (two)")  # of which the other has had no hint
    answer = other.command("FETCH 2 BODY[HEADER]")
    assert answer[0] == f"* FLAGS ({known} one two)" and answer[-2] == " FLAGS (\\Seen two))"


def test_keywords_compare_without_case(three, mailbox):
    three.command("STORE 1 +FLAGS.SILENT ($Forwarded)")
    assert three.command("STORE 2 +FLAGS ($FORWARDED)")[0] == "* 2 FETCH (FLAGS ($Forwarded))"
    assert three.command("SEARCH KEYWORD $forwarded")[0] == "* SEARCH 1 2"
    three.command("STORE 1:2 -FLAGS ($forwarded)")
    assert {message.keywords for message in inbox(mailbox).values()} == {""}


WRONG = [
    "",
    "1",
    "1 FLAGS",
    "1 FLAGS (\\Nothing)",
    "1 FLAGS (a",
    "1 FLAGS a)",
    "1 +FLAG (a)",
    "1 *FLAGS (a)",
    "1 FLAGS (\\*)",
]


@pytest.mark.parametrize("arguments", WRONG)
def test_store_that_is_wrong(three, mailbox, arguments):
    assert three.command(f"STORE {arguments}")[-1].startswith("BAD ")
    assert {message.flags for message in inbox(mailbox).values()} == {0}


def test_recent_can_not_be_stored_and_keywords_have_bounds(three):
    assert three.command("STORE 1 +FLAGS (\\Recent)") == ["* 1 FETCH (FLAGS ())", "OK Completed"]
    assert three.command(f"STORE 1 +FLAGS ({'k' * 2001})")[0].startswith("NO [LIMIT]")
    assert three.command(f"STORE 1 +FLAGS ({' '.join(f'k{n}' for n in range(600))})")[0].startswith("NO [LIMIT]")


def test_silent_tells_only_what_the_client_can_not_know(three, other):
    other.command("STORE 2 +FLAGS.SILENT (\\Flagged)")
    three.dialog(
        "C: a STORE 1:2 +FLAGS.SILENT (\\Seen)",
        "S: * 2 FETCH (FLAGS (\\Seen \\Flagged))",
        "S: a OK Completed",
        "C: b NOOP",
        "S: b OK NOOP completed",
    )


def test_flags_that_others_change_are_told_with_the_next_command(three, other):
    other.command("STORE 1 +FLAGS.SILENT (\\Answered $New)")
    three.dialog(
        "C: a NOOP",
        "S: * FLAGS (\\Seen \\Answered \\Flagged \\Deleted \\Draft $New)",
        "S: * 1 FETCH (UID 1 FLAGS (\\Answered $New))",
        "S: a OK NOOP completed",
    )


def test_copy(three, mailbox):
    validity = mailbox.folders["Archive"].uid_validity
    mailbox.deliver(MESSAGE, folder="Archive")
    three.dialog(
        "C: a COPY 1,3 Archive",
        f"S: a OK [COPYUID {validity} 1,3 2:3] COPY completed",
        "C: b UID COPY 2:99 Archive",
        f"S: b OK [COPYUID {validity} 2:3 4:5] COPY completed",
        "C: c COPY 1 Nowhere",
        "S: c NO [TRYCREATE] There is no such folder",
        "C: d UID COPY 99 Archive",
        "S: d OK Completed",
        "C: e COPY 4 Archive",
        "S: e BAD No message has that sequence number",
    )
    assert len(inbox(mailbox)) == 3


def test_copy_into_the_selected_folder(three, mailbox):
    validity = mailbox.folders["INBOX"].uid_validity
    three.dialog(
        "C: a COPY 2 INBOX",
        "S: * 4 EXISTS",
        "S: * 1 RECENT",
        f"S: a OK [COPYUID {validity} 2 4] COPY completed",
    )


def test_move(three, mailbox):
    validity = mailbox.folders["Trash"].uid_validity
    three.dialog(
        "C: a MOVE 1:2 Trash",
        f"S: * OK [COPYUID {validity} 1:2 1:2] Moved",
        "S: * 2 EXPUNGE",
        "S: * 1 EXPUNGE",
        "S: a OK Completed",
        "C: b UID MOVE 3 Nowhere",
        "S: b NO [TRYCREATE] *",
        "C: c UID MOVE 3 Trash",
        f"S: * OK [COPYUID {validity} 3 3] Moved",
        "S: * 1 EXPUNGE",
        "S: c OK Completed",
        "C: d NOOP",
        "S: d OK NOOP completed",
    )
    assert not inbox(mailbox) and len(mailbox.folders["Trash"].messages) == 3


def test_expunge_and_uid_expunge(three, mailbox):
    three.dialog(
        "C: a STORE 1:3 +FLAGS.SILENT (\\Deleted)",
        "S: a OK Completed",
        "C: b UID EXPUNGE 2,9",
        "S: * 2 EXPUNGE",
        "S: b OK EXPUNGE completed",
        "C: c EXPUNGE",
        "S: * 2 EXPUNGE",
        "S: * 1 EXPUNGE",
        "S: c OK EXPUNGE completed",
        "C: d EXPUNGE",
        "S: d OK EXPUNGE completed",
        "C: e UID EXPUNGE 1:*",
        "S: e OK EXPUNGE completed",
    )
    assert not inbox(mailbox)


def test_expunges_wait_for_a_command_that_may_tell_them(three, other, mailbox):
    other.command("STORE 1 +FLAGS.SILENT (\\Deleted)")
    other.command("EXPUNGE")
    three.notify()
    three.dialog(
        "C: a FETCH 2 UID",
        "S: * 2 FETCH (UID 2)",
        "S: a OK Completed",
        "C: b STORE 3 +FLAGS (\\Seen)",
        "S: * 3 FETCH (FLAGS (\\Seen))",
        "S: b OK Completed",
        "C: c SEARCH SEEN",
        "S: * SEARCH 3",
        "S: c OK Completed",
        "C: d FETCH 1:2 (UID RFC822.SIZE)",
        "S: * 2 FETCH (UID 2 RFC822.SIZE 20)",
        "S: d NO [EXPUNGEISSUED] *",
        "C: e STORE 1 +FLAGS (\\Seen)",
        "S: e NO [EXPUNGEISSUED] *",
        "C: f UID FETCH 2:3 FLAGS",
        "S: * 2 FETCH (UID 2 FLAGS ())",
        "S: * 3 FETCH (UID 3 FLAGS (\\Seen))",
        "S: * 1 EXPUNGE",
        "S: f OK Completed",
    )


def test_what_arrives_and_goes_between_two_looks_is_never_told(three, other, mailbox):
    uid = mailbox.deliver(MESSAGE, flags=DELETED)
    other.command("EXPUNGE")
    assert uid == 4
    three.dialog("C: a NOOP", "S: a OK NOOP completed")


def test_pipelined_commands_are_answered_in_order(three):
    three.send(
        b"a FETCH 1 UID\r\nb NOOP\r\nc STORE 1 +FLAGS (\\Seen)\r\nd SEARCH SEEN\r\ne BOGUS\r\nf UID FETCH 2 UID\r\n"
    )
    assert three.take() == (
        b"* 1 FETCH (UID 1)\r\na OK Completed\r\n"
        b"b OK NOOP completed\r\n"
        b"* 1 FETCH (FLAGS (\\Seen))\r\nc OK Completed\r\n"
        b"* SEARCH 1\r\nd OK Completed\r\n"
        b"e BAD Unknown command\r\n"
        b"* 2 FETCH (UID 2)\r\nf OK Completed\r\n"
    )


def test_idle_tells_at_once_until_done(three, other, mailbox):
    three.dialog("C: a IDLE", "S: + Idling")
    assert three.session.idle_or_selected
    mailbox.deliver(MESSAGE)
    three.notify()
    three.dialog("S: * 4 EXISTS", "S: * 1 RECENT")
    other.command("STORE 2 +FLAGS.SILENT (\\Flagged \\Deleted)")
    three.notify()
    three.dialog("S: * 2 FETCH (UID 2 FLAGS (\\Flagged \\Deleted))")
    other.command("EXPUNGE")
    three.notify()
    three.dialog("S: * 2 EXPUNGE")
    three.notify()
    three.dialog("C: DONE", "S: a OK IDLE completed")
    mailbox.deliver(MESSAGE)
    three.notify()
    three.dialog("C: b CHECK", "S: * 4 EXISTS", "S: * 2 RECENT", "S: b OK CHECK completed")


def test_arrivals_amid_idle_are_claimed_once_at_its_end(three, other, mailbox):
    for client in (three, other):
        client.dialog("C: a IDLE", "S: + Idling")
    for count in (1, 2):
        mailbox.deliver(MESSAGE)
        for client in (three, other):
            client.notify()
            client.dialog(f"S: * {count + 3} EXISTS", f"S: * {count} RECENT")
    assert mailbox.folders["INBOX"].recent_uid == 4
    three.dialog("C: DONE", "S: a OK IDLE completed")
    assert mailbox.folders["INBOX"].recent_uid == 6


def test_idle_begins_with_what_has_changed_and_wants_done(three, mailbox):
    mailbox.deliver(MESSAGE)
    three.dialog(
        "C: a IDLE",
        "S: * 4 EXISTS",
        "S: * 1 RECENT",
        "S: + Idling",
        "C: done",
        "S: a OK IDLE completed",
        "C: b IDLE",
        "S: + Idling",
        "C: c NOOP",
        "S: b BAD Expected DONE",
        "C: d NOOP",
        "S: d OK NOOP completed",
    )


def test_idle_without_a_folder(client):
    client.dialog("C: a IDLE", "S: + Idling", "C: DONE", "S: a OK IDLE completed")


def test_idle_in_a_folder_that_is_deleted(three, other, mailbox, client):
    client.command("CREATE Work")
    client.select("Work")
    client.dialog("C: a IDLE", "S: + Idling")
    other.command("DELETE Work")
    client.notify()
    client.dialog("S: * BYE The selected folder was deleted")
    assert client.session.closed


def test_the_store_wakes_who_watches(three, mailbox):
    """The transport awaits `changed`; it returns for the selected folder and no other."""
    store = three.session.mail_store
    mailbox.deliver(MESSAGE, folder="Sent")
    assert not store.has_changed.is_set()
    mailbox.deliver(MESSAGE)
    three.run(store.changed())
    three.command("UNSELECT")
    mailbox.deliver(MESSAGE)
    assert not store.has_changed.is_set()


def test_reading_goes_on_while_the_writer_is_away(three, mailbox, monkeypatch):
    from retrieval.mail_values import StoreUnavailable

    async def away(*_args, **_named):
        raise StoreUnavailable("away")

    for name in ("store_flags", "claim_recent", "append", "copy", "expunge"):
        monkeypatch.setattr(three.session.mail_store, name, away)
    mailbox.deliver(MESSAGE, flags=DELETED)
    assert three.command("NOOP") == ["* 4 EXISTS", "* 0 RECENT", "OK NOOP completed"]
    assert three.command("FETCH 4 BODY[TEXT]")[-1] == "OK Completed"
    assert three.command("STORE 4 +FLAGS (\\Seen)")[-1].startswith("NO [UNAVAILABLE]")
    assert three.command("EXPUNGE")[-1].startswith("NO [UNAVAILABLE]")
    assert three.command("SELECT INBOX")[-1].startswith("OK [READ-WRITE]")


@pytest.mark.parametrize("command", ["UID COPY 4 Archive", "UID MOVE 4 Archive"])
def test_what_this_session_could_not_hear_of_is_not_passed_over_as_unknown(three, mailbox, monkeypatch, command):
    """Its client knows the uid from APPENDUID, and would remove the message once it is told that the copy is made."""

    async def away(*_args, **_named):
        raise StoreUnavailable("away")

    mailbox.deliver(MESSAGE)
    with monkeypatch.context() as reading:
        reading.setattr(three.session.mail_store, "states", away)
        three.command("NOOP")
        assert three.command(command)[-1].startswith("NO [UNAVAILABLE]")
    assert any("COPYUID" in line for line in three.command(command))
    assert len(mailbox.folders["Archive"].messages) == 1


def test_flags_of_many_kinds_are_shown_as_stored(client, mailbox):
    kinds = [0, SEEN, ANSWERED | FLAGGED, SEEN | DELETED]
    for number in range(40):
        mailbox.deliver(MESSAGE, flags=kinds[number % 4], keywords=f"k{number % 3}")
    mailbox.folders["INBOX"].recent_uid = 99
    client.select()
    lines = client.command("FETCH 1:* FLAGS")[:-1]
    assert lines[6] == "* 7 FETCH (FLAGS (\\Answered \\Flagged k0))"
    assert lines[39] == "* 40 FETCH (FLAGS (\\Seen \\Deleted k0))"
    assert client.command("SEARCH KEYWORD k1 SEEN 1:12")[0] == "* SEARCH 2 8"


def test_as_many_looks_as_messages(client, mailbox):
    for number in range(1_500):
        mailbox.deliver(MESSAGE, keywords=f"k{number}")
    client.select()
    other = {f"* {number + 1} FETCH (FLAGS (\\Recent k{number}))" for number in range(1_500)}
    assert set(client.command("FETCH 1:* FLAGS")[:-1]) == other
    mailbox.deliver(MESSAGE, keywords="new")
    client.command("NOOP")
    assert client.command("FETCH 1500:* FLAGS")[:2] == [
        "* 1500 FETCH (FLAGS (\\Recent k1499))",
        "* 1501 FETCH (FLAGS (\\Recent new))",
    ]


def test_ever_new_keywords_do_not_grow_the_view(three):
    for number in range(2_500):
        three.command(f"STORE 1 FLAGS.SILENT (k{number})")
    assert len(three.session._context.view.table) < 1_100
    assert three.command("FETCH 1:2 FLAGS")[:2] == ["* 1 FETCH (FLAGS (k2499))", "* 2 FETCH (FLAGS ())"]


@pytest.fixture
def portions(monkeypatch):
    """Two messages an operation; what each operation was asked to change."""
    asked = []

    def watched(name):
        operation = getattr(MemoryStore, name)

        async def run(store, folder_id, uids, *rest, **options):
            asked.append(list(uids))
            return await operation(store, folder_id, uids, *rest, **options)

        monkeypatch.setattr(MemoryStore, name, run)

    for name in ("store_flags", "expunge", "copy"):
        watched(name)
    monkeypatch.setattr(messages, "AT_ONCE", 2)
    return asked


def test_many_messages_are_changed_in_portions(three, other, mailbox, portions):
    three.dialog(
        "C: a STORE 1:3 +FLAGS (\\Deleted)",
        *(f"S: * {number} FETCH (FLAGS (\\Deleted))" for number in (1, 2, 3)),
        "S: a OK Completed",
        "C: b UID MOVE 1:3 Archive",
        "S: * OK [COPYUID * 1:3 1:3] Moved",
        "S: * 3 EXPUNGE",
        "S: * 2 EXPUNGE",
        "S: * 1 EXPUNGE",
        "S: b OK Completed",
    )
    other.select("Archive")
    assert other.command("EXPUNGE") == ["* 3 EXPUNGE", "* 2 EXPUNGE", "* 1 EXPUNGE", "OK EXPUNGE completed"]
    assert portions == [[1, 2], [3]] * 3 and not mailbox.folders["Archive"].messages


@pytest.mark.parametrize(
    ("problem", "answer"),
    [
        (StoreUnavailable("the store went away"), "NO [UNAVAILABLE] *"),
        (Refused("nonexistent", "there is no such folder"), "NO [NONEXISTENT] *"),
        (RuntimeError("a bug"), "NO [SERVERBUG] *"),
    ],
)
def test_a_move_that_fails_midway_tells_what_it_moved(three, mailbox, portions, monkeypatch, problem, answer):
    """RFC 6851 §4.3: the client must know where they are."""
    copy = MemoryStore.copy

    async def fails_later(store, folder_id, uids, *rest, **options):
        if 3 in uids:
            raise problem
        return await copy(store, folder_id, uids, *rest, **options)

    monkeypatch.setattr(MemoryStore, "copy", fails_later)
    validity = mailbox.folders["Trash"].uid_validity
    three.dialog(
        "C: a UID MOVE 1:3 Trash",
        f"S: * OK [COPYUID {validity} 1:2 1:2] Moved",
        "S: * 2 EXPUNGE",
        "S: * 1 EXPUNGE",
        f"S: a {answer}",
        "C: b FETCH 1 UID",
        "S: * 1 FETCH (UID 3)",
        "S: b OK Completed",
        "C: c UID MOVE 3 Trash",
        f"S: c {answer}",
    )


def test_copy_is_all_or_nothing_and_so_one_operation(three, portions):
    three.command("COPY 1:3 Archive")
    assert portions == [[1, 2, 3]]


def test_expunge_and_close_take_what_another_has_just_marked(three, other, mailbox):
    other.command("STORE 2 +FLAGS.SILENT (\\Deleted)")
    assert "* 2 EXPUNGE" in three.command("EXPUNGE")
    other.command("STORE 1 +FLAGS.SILENT (\\Deleted)")
    assert three.command("CLOSE") == ["OK CLOSE completed"]
    assert list(inbox(mailbox)) == [3]
