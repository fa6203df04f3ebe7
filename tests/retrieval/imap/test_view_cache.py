"""A folder opened again is read from where the last view of it was, and is as fresh as one read anew."""

import random

from memory_mail_store import MemoryMailbox

from mailsuite.store.flags import DELETED
from retrieval.imap.view_cache import ViewCache
from retrieval.mail_values import FolderChanges, FolderStatus, MessageState

MESSAGE = b"Subject: x\r\n\r\ntext\r\n"


def test_a_second_opening_reads_only_what_has_changed(client, connect, mailbox, monkeypatch):
    for _ in range(5):
        mailbox.deliver(MESSAGE)
    client.select()
    client.command("STORE 2 +FLAGS.SILENT (\\Deleted $Old)")
    other, asked = connect().log_in(), []
    store = other.session.mail_store
    states = store.states

    async def noting(folder_id, *, since_modseq=0):
        changes = await states(folder_id, since_modseq=since_modseq)
        asked.append((since_modseq > 0, [state.uid for state in changes.changed]))
        return changes

    monkeypatch.setattr(store, "states", noting)
    other.select()
    assert asked == [(True, [2])]
    assert other.command("FETCH 1:3 (UID FLAGS)")[:-1] == [
        "* 1 FETCH (UID 1 FLAGS ())",
        "* 2 FETCH (UID 2 FLAGS (\\Deleted $Old))",
        "* 3 FETCH (UID 3 FLAGS ())",
    ]


def test_views_agree_with_the_store_whatever_happened_between(connect, mailbox: MemoryMailbox):
    draw = random.Random(7162)
    clients = [connect().log_in() for _ in range(3)]
    for _ in range(150):
        client = draw.choice(clients)
        client.command(draw.choice(["SELECT INBOX", "EXAMINE INBOX", "SELECT Sent"]))
        for _ in range(draw.randint(0, 3)):
            match draw.randrange(4):
                case 0:
                    mailbox.deliver(MESSAGE, flags=draw.choice([0, DELETED]), keywords=draw.choice(["", "a", "a b"]))
                case 1:
                    client.command(f"UID STORE {draw.randint(1, 20)}:* +FLAGS.SILENT (k{draw.randint(1, 3)})")
                case 2:
                    client.command("EXPUNGE")
                case 3:
                    client.command("UID MOVE 3:4 Sent")
        client.command("EXAMINE INBOX")
        told = [line.split("FETCH ")[1] for line in client.command("UID FETCH 1:* (FLAGS)")[:-1]]
        names = {0: "", DELETED: "\\Deleted"}
        kept = [
            f"(UID {uid} FLAGS ({' '.join([*names[message.flags].split(), *message.keywords.split()])}))"
            for uid, message in sorted(mailbox.folders["INBOX"].messages.items())
        ]
        assert [line.replace(" \\Recent", "").replace("\\Recent ", "").replace("\\Recent", "") for line in told] == kept


def test_a_folder_made_anew_is_another(client, connect, mailbox):
    client.command("CREATE Work")
    mailbox.deliver(MESSAGE, folder="Work")
    client.select("Work")
    client.command("DELETE Work")
    client.command("CREATE Work")
    assert "* 0 EXISTS" in client.command("SELECT Work")
    folder = mailbox.folders["Work"]
    mailbox.deliver(MESSAGE, folder="Work")
    client.command("SELECT Work")
    folder.uid_validity += 1
    folder.messages.clear()
    assert "* 0 EXISTS" in client.command("SELECT Work")


def test_a_view_whose_tombstones_are_forgotten_is_read_anew(client, mailbox):
    for _ in range(3):
        mailbox.deliver(MESSAGE)
    client.select()
    del mailbox.folders["INBOX"].messages[2]
    client.command("UNSELECT")
    client.select()
    assert client.command("FETCH 1:* UID")[:-1] == ["* 1 FETCH (UID 1)", "* 2 FETCH (UID 3)"]


def test_the_cache_is_bounded():
    cache = ViewCache(messages=1_000)

    def opened(folder_id: int, count: int) -> int:
        status = FolderStatus(folder_id, 1, count + 1, 2, count, 0, 0, 0, 0)
        view = cache.open(status, "x", read_only=True)
        begun = len(view.uids)
        view.absorb(
            FolderChanges(2, count + 1, [MessageState(uid, 0, "", 2) for uid in range(begun + 1, count + 1)], ())
        )
        cache.keep(view, status)
        return begun

    assert [opened(1, 400), opened(2, 400), opened(1, 400), opened(3, 400)] == [0, 0, 400, 0]
    assert [opened(1, 400), opened(2, 400), opened(4, 2_000), opened(4, 2_000)] == [400, 0, 0, 0]
    assert [opened(5, 10), opened(5, 10)] == [0, 0]
