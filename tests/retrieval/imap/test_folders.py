"""Folders as a whole: LIST, SELECT, STATUS, CREATE, DELETE, RENAME, subscriptions."""

import pytest

from mailsuite.store.flags import DELETED, FLAGGED, SEEN
from retrieval.imap.verbs import listing
from retrieval.pace import TURN_OCTETS

MESSAGE = b"Subject: x\r\n\r\ntext\r\n"


def test_list_tells_uses_and_children(client):
    client.command("CREATE Projects/2026")
    assert client.command('LIST "" *') == [
        '* LIST (\\HasNoChildren) "/" "INBOX"',
        '* LIST (\\HasNoChildren \\Archive) "/" "Archive"',
        '* LIST (\\HasNoChildren \\Drafts) "/" "Drafts"',
        '* LIST (\\HasNoChildren \\Junk) "/" "Junk"',
        '* LIST (\\HasChildren) "/" "Projects"',
        '* LIST (\\HasNoChildren) "/" "Projects/2026"',
        '* LIST (\\HasNoChildren \\Sent) "/" "Sent"',
        '* LIST (\\HasNoChildren \\Trash) "/" "Trash"',
        "OK Completed",
    ]


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ('"" INBOX', ["INBOX"]),
        ('"" inbox', ["INBOX"]),
        ('"" %', ["INBOX", "Archive", "Drafts", "Junk", "Lists", "Sent", "Trash"]),
        ('"" Lists/%', ["Lists/a", "Lists/b"]),
        ('"" "Lists/*"', ["Lists/a", "Lists/a/deep", "Lists/b"]),
        ('Lists/ "%"', ["Lists/a", "Lists/b"]),
        ('"" L*p', ["Lists/a/deep"]),
        ('"" in*', ["INBOX"]),
        ('"" l*', []),
        ('"" %/%/%', ["Lists/a/deep"]),
        ('"" *r*', ["Archive", "Drafts", "Trash"]),
        ('"" &', []),
        ('"" nothing', []),
        ('"" {1+}\r\n%', ["INBOX", "Archive", "Drafts", "Junk", "Lists", "Sent", "Trash"]),
    ],
)
def test_list_patterns(client, mailbox, arguments, names):
    for name in ("Lists", "Lists/a", "Lists/a/deep", "Lists/b"):
        mailbox.add_folder(name)
    *lines, end = client.command(f"LIST {arguments}")
    assert [line.split('"')[-2] for line in lines] == names
    assert end == "OK Completed"


def test_list_of_nothing_tells_the_delimiter(dialog):
    dialog('C: a LIST "" ""', 'S: * LIST (\\Noselect) "/" ""', "S: a OK Completed")


def test_a_name_that_only_holds_others(client):
    client.command("CREATE a/b")
    client.command("DELETE a")
    client.dialog(
        'C: a LIST "" a*',
        'S: * LIST (\\Noselect \\HasChildren) "/" "a"',
        'S: * LIST (\\HasNoChildren) "/" "a/b"',
        "S: a OK Completed",
        "C: b SELECT a",
        "S: b NO [NONEXISTENT] *",
        "C: c DELETE a",
        "S: c NO [CANNOT] *",
    )


def test_names_of_the_world(client, mailbox):
    client.dialog("C: a CREATE Entw&APw-rfe/&U,BTFw-", "S: a OK CREATE completed")
    assert "Entw\xfcrfe/\u53f0\u5317" in mailbox.folders
    assert client.command('LIST "" Entw*/%')[0] == '* LIST (\\HasNoChildren) "/" "Entw&APw-rfe/&U,BTFw-"'
    client.dialog("C: b SELECT Entw&APw-rfe", *["S: * *"] * 6, "S: b OK [READ-WRITE] SELECT completed")


@pytest.mark.parametrize(
    "name", ['""', "/a", "a//b", "a&b", "&Jjo", "&AGE-", '"&AAo-"', '"\xc3\xa4"', "a" * 1001, "INBOX"]
)
def test_names_that_can_not_be(client, mailbox, name):
    before = set(mailbox.folders)
    code = "ALREADYEXISTS" if name == "INBOX" else "CANNOT"
    assert client.command(f"CREATE {name}")[0].startswith(f"NO [{code}] ")
    assert set(mailbox.folders) == before


def test_names_with_what_is_a_wildcard_elsewhere(client, mailbox):
    """RFC 3501 §5.1: awkward, and valid."""
    client.dialog(
        'C: a CREATE "100%"',
        "S: a OK CREATE completed",
        'C: b CREATE "50% off/x*"',
        "S: b OK CREATE completed",
        'C: c LIST "" "100%"',
        'S: * LIST (\\HasNoChildren) "/" "100%"',
        "S: c OK Completed",
        'C: d LIST "" "50% off/%"',
        'S: * LIST (\\HasNoChildren) "/" "50% off/x*"',
        "S: d OK Completed",
        'C: e SUBSCRIBE "100%"',
        "S: e OK SUBSCRIBE completed",
        'C: f LSUB "" "*%"',
        'S: * LSUB () "/" "100%"',
        "S: f OK Completed",
        'C: g RENAME "100%" "*100*"',
        "S: g OK RENAME completed",
        'C: h STATUS "*100*" (MESSAGES)',
        'S: * STATUS "*100*" (MESSAGES 0)',
        "S: h OK Completed",
        'C: i DELETE "*100*"',
        "S: i OK DELETE completed",
        "C: j CREATE 100%",
        "S: j OK CREATE completed",
        "C: k STATUS 100% (MESSAGES)",
        'S: * STATUS "100%" (MESSAGES 0)',
        "S: k OK Completed",
    )
    assert client.command('SELECT "50% off/x*"')[-1] == "OK [READ-WRITE] SELECT completed"


def test_create_delete_rename(client, mailbox):
    client.dialog(
        "C: a CREATE Work/",
        "S: a OK CREATE completed",
        "C: b CREATE Work",
        "S: b NO [ALREADYEXISTS] *",
        "C: c CREATE Work/Old",
        "S: c OK CREATE completed",
        "C: d RENAME Work Job",
        "S: d OK RENAME completed",
        "C: e RENAME Work Other",
        "S: e NO [NONEXISTENT] *",
        "C: f RENAME Job Job/Old",
        "S: f NO [CANNOT] *",
        "C: g RENAME Job INBOX",
        "S: g NO [ALREADYEXISTS] *",
        "C: h DELETE Job/Old",
        "S: h OK DELETE completed",
        "C: i DELETE inbox",
        "S: i NO [CANNOT] INBOX can't be deleted",
        "C: j DELETE Job/Old",
        "S: j NO [NONEXISTENT] *",
    )
    assert "Job" in mailbox.folders and "Work" not in mailbox.folders


def test_a_selected_folder_is_known_by_its_new_name(client):
    client.command("CREATE Work/Old")
    client.select("Work/Old")
    client.dialog(
        "C: a RENAME Work Job",
        "S: a OK RENAME completed",
        "C: b DELETE Job/Old",
        "S: b OK DELETE completed",
        "C: c CHECK",
        "S: c BAD *",
    )


def test_rename_of_inbox_moves_its_messages_only(client, mailbox):
    mailbox.deliver(MESSAGE)
    client.dialog("C: a RENAME INBOX Old", "S: a OK RENAME completed")
    assert not mailbox.folders["INBOX"].messages and len(mailbox.folders["Old"].messages) == 1


def test_create_for_a_special_use(client, mailbox):
    mailbox.folders["Junk"].role = ""
    client.dialog(
        "C: a CREATE Spam (USE (\\Junk))",
        "S: a OK CREATE completed",
        "C: b CREATE More (USE (\\Junk))",
        "S: b NO [USEATTR] *",
        "C: c CREATE All (USE (\\All))",
        "S: c NO [USEATTR] *",
        "C: d CREATE x (COLOUR (red))",
        "S: d BAD Unknown parameter of CREATE",
    )
    assert mailbox.folders["Spam"].role == "junk"


def test_subscriptions_outlive_folders(client):
    client.dialog(
        "C: a SUBSCRIBE INBOX",
        "S: a OK SUBSCRIBE completed",
        "C: b SUBSCRIBE Gone/deep",
        "S: b OK SUBSCRIBE completed",
        'C: c LSUB "" *',
        'S: * LSUB () "/" "INBOX"',
        'S: * LSUB (\\Noselect) "/" "Gone/deep"',
        "S: c OK Completed",
        'C: d LSUB "" %',
        'S: * LSUB () "/" "INBOX"',
        'S: * LSUB (\\Noselect) "/" "Gone"',
        "S: d OK Completed",
        "C: e UNSUBSCRIBE Gone/deep",
        "S: e OK UNSUBSCRIBE completed",
        'C: f LSUB "" "*"',
        'S: * LSUB () "/" "INBOX"',
        "S: f OK Completed",
    )


def test_select_tells_all_a_client_needs(client, mailbox):
    mailbox.deliver(MESSAGE, flags=SEEN)
    mailbox.deliver(MESSAGE, keywords="$Later")
    mailbox.deliver(MESSAGE, flags=DELETED | FLAGGED)
    validity = mailbox.folders["INBOX"].uid_validity
    client.dialog(
        "C: a SELECT inbox",
        "S: * FLAGS (\\Seen \\Answered \\Flagged \\Deleted \\Draft $Later)",
        "S: * OK [PERMANENTFLAGS (\\Seen \\Answered \\Flagged \\Deleted \\Draft $Later \\*)] Flags that are kept",
        "S: * 3 EXISTS",
        "S: * 3 RECENT",
        "S: * OK [UNSEEN 2] First unseen message",
        f"S: * OK [UIDVALIDITY {validity}] UIDs are valid",
        "S: * OK [UIDNEXT 4] Predicted next UID",
        "S: a OK [READ-WRITE] SELECT completed",
    )


def test_recent_belongs_to_one_session(client, connect, mailbox):
    mailbox.deliver(MESSAGE)
    assert "* 1 RECENT" in client.command("EXAMINE INBOX")
    assert "* 1 RECENT" in client.command("SELECT INBOX")
    assert client.command("FETCH 1 FLAGS")[0] == "* 1 FETCH (FLAGS (\\Recent))"
    other = connect().log_in()
    assert "* 0 RECENT" in other.command("SELECT INBOX")
    mailbox.deliver(MESSAGE)
    assert other.command("NOOP")[:2] == ["* 2 EXISTS", "* 1 RECENT"]
    assert client.command("NOOP")[:2] == ["* 2 EXISTS", "* 1 RECENT"]
    assert client.command("SEARCH RECENT")[0] == "* SEARCH 1"


def test_examine_changes_nothing(client, mailbox):
    mailbox.deliver(MESSAGE, flags=DELETED)
    client.dialog(
        "C: a EXAMINE INBOX",
        *["S: * *"] * 7,
        "S: a OK [READ-ONLY] EXAMINE completed",
        "C: b STORE 1 +FLAGS (\\Seen)",
        "S: b NO [READ-ONLY] *",
        "C: c EXPUNGE",
        "S: c NO [READ-ONLY] *",
        "C: d MOVE 1 Trash",
        "S: d NO [READ-ONLY] *",
        "C: e FETCH 1 BODY[TEXT]",
        "S: * 1 FETCH (BODY[TEXT] {6}",
        "S: text",
        "S: )",
        "S: e OK Completed",
        "C: f CLOSE",
        "S: f OK CLOSE completed",
        "C: g FETCH 1 FLAGS",
        "S: g BAD FETCH is not valid in authenticated state",
    )
    assert [message.flags for message in mailbox.folders["INBOX"].messages.values()] == [DELETED]


def test_close_expunges_in_silence_and_unselect_does_not(client, mailbox):
    mailbox.deliver(MESSAGE, flags=DELETED)
    client.select()
    assert client.command("UNSELECT") == ["OK UNSELECT completed"]
    assert mailbox.folders["INBOX"].messages
    client.select()
    assert client.command("CLOSE") == ["OK CLOSE completed"]
    assert not mailbox.folders["INBOX"].messages


def test_a_failed_select_leaves_nothing_selected(client):
    client.select()
    client.dialog(
        "C: a SELECT Nowhere",
        "S: a NO [NONEXISTENT] *",
        "C: b CHECK",
        "S: b BAD CHECK is not valid in authenticated state",
    )


def test_status(client, mailbox):
    mailbox.deliver(MESSAGE)
    mailbox.deliver(MESSAGE, flags=SEEN)
    validity = mailbox.folders["INBOX"].uid_validity
    client.dialog(
        "C: a STATUS inbox (UIDNEXT MESSAGES UNSEEN RECENT UIDVALIDITY)",
        f'S: * STATUS "INBOX" (UIDNEXT 3 MESSAGES 2 UNSEEN 1 RECENT 2 UIDVALIDITY {validity})',
        "S: a OK Completed",
        "C: b STATUS Nowhere (MESSAGES)",
        "S: b NO [NONEXISTENT] *",
        "C: c STATUS INBOX (HIGHESTMODSEQ)",
        "S: c BAD Unknown status item",
        "C: d STATUS INBOX ()",
        "S: d BAD *",
    )


def test_a_folder_deleted_under_a_session_ends_it(client, connect, mailbox):
    client.command("CREATE Work")
    client.select("Work")
    other = connect().log_in()
    assert other.command("DELETE Work") == ["OK DELETE completed"]
    client.dialog("C: a NOOP", "S: a NO [NONEXISTENT] *", "S: * BYE The selected folder was deleted")
    assert client.session.closed


def test_deleting_the_selected_folder_unselects_it(client):
    client.command("CREATE Work")
    client.select("Work")
    client.dialog("C: a DELETE Work", "S: a OK DELETE completed", "C: b CHECK", "S: b BAD *")


def test_a_store_that_is_away_is_said_and_survived(client, mailbox):
    mailbox.unavailable = True
    client.dialog(
        "C: a SELECT INBOX",
        "S: a NO [UNAVAILABLE] The store can't be reached now, try again",
        'C: b LIST "" *',
        "S: b NO [UNAVAILABLE] *",
        "C: c NOOP",
        "S: c OK NOOP completed",
    )
    mailbox.unavailable = False
    client.select()


def test_others_have_their_turn_while_names_are_matched(client, mailbox):
    """A pattern against three thousand long names held everybody for five seconds."""
    for number in range(300):
        mailbox.add_folder(f"{'a' * 900}{number}")
    pace = client.session._context.pace
    for pattern in ("*a*a*a*a*b", "%a" * 500):
        before = pace.turns
        assert client.command(f'LIST "" "{pattern}"') == ["OK Completed"]
        assert pace.turns - before >= 300 * 900 * 64 // (2 * TURN_OCTETS)
    assert pace.longest < 2 * TURN_OCTETS


def test_names_that_only_lead_to_a_subscribed_one(client, mailbox):
    mailbox.subscriptions |= {"A/b/c", "A/b", "D/e", "INBOX/x"}
    for pattern, names in {"%": ["A", "D", "INBOX"], "%/%": ["A/b", "D/e", "INBOX/x"], "inbox%": ["INBOX"]}.items():
        told = [line.split('"')[3] for line in client.command(f'LSUB "" "{pattern}"')[:-1]]
        assert [name for name in told if name[0] in "ADI"] == sorted(names, key=lambda n: (n != "INBOX", n)), pattern
    assert client.command('LSUB "" "%"')[1] == '* LSUB (\\Noselect) "/" "A"'
    assert client.command('LSUB "" "A/%"') == ['* LSUB (\\Noselect) "/" "A/b"', "OK Completed"]


def test_names_that_lead_to_subscribed_ones_take_no_more_memory_than_is_bounded(client, mailbox, monkeypatch):
    monkeypatch.setattr(listing, "MAX_TOLD_CHARACTERS", 3000)
    mailbox.subscriptions |= {f"{'a/' * 40}a{number}/b" for number in range(3)}
    assert len(client.command('LSUB "" "*a%"')) == 44
    mailbox.subscriptions |= {f"{number}a/{'a/' * 40}b" for number in range(30)}
    assert client.command('LSUB "" "*a%"')[-1].startswith("NO [LIMIT]")
    assert client.command('LSUB "" "0a/*"')[-1] == "OK Completed"
