"""What owners say by moves, copies and keywords is journaled by the store, learned once, and taken back exactly."""

import threading

import pytest
from django.db import connections

from mailsuite.junk import services, training
from mailsuite.junk.models import Judgement, Lesson, Sender, WordTable
from mailsuite.junk.words import MOST
from mailsuite.store.models import Content, Message
from mailsuite.store.operations import Append, AppendItem

pytestmark = pytest.mark.django_db(transaction=True)

LETTER = (
    b"From: Eve <eve@shop.example>\r\nSubject: cheap watches\r\n\r\nBuy cheap watches today at http://w.example/x\r\n"
)


def learn():
    return training.learn_waiting(None)


def memory():
    """All that the filters and the reputation hold, less times and versions."""
    tables = WordTable.objects.order_by("pk").values_list("pk", "wanted_count", "junk_count", "counts")
    senders = Sender.objects.order_by("pk").values_list("mailbox", "rung", "key", "wanted", "junked", "kept")
    return [(*row[:3], bytes(row[3])) for row in tables], [row for row in senders if any(row[3:])]


def counted(post):
    row = WordTable.objects.get(pk=post.mailbox.pk)
    return row.wanted_count, row.junk_count


@pytest.mark.parametrize(
    ("deeds", "words"),
    [
        ([("inbox", "junk")], ["junk"]),
        ([("junk", "inbox")], ["wanted"]),
        ([("junk", "archive")], ["wanted"]),
        ([("junk", "trash")], []),
        ([("trash", "junk")], ["junk"]),
        ([("sent", "junk")], []),
        ([("inbox", "archive")], []),
        ([("inbox", "junk"), ("junk", "inbox")], ["junk", "wanted"]),
    ],
)
@pytest.mark.parametrize("copy", [False, True])
def test_moves_and_copies_say(post, deeds, words, copy):
    message = post.deliver(LETTER, deeds[0][0])
    for _, role in deeds:
        message = post.move(message, role, copy=copy)
    assert list(Judgement.objects.order_by("pk").values_list("word", flat=True)) == words


@pytest.mark.parametrize(
    ("deeds", "words"),
    [
        ([("add", "$Junk")], ["junk"]),
        ([("add", "JUNK")], ["junk"]),
        ([("add", "NonJunk")], ["wanted"]),
        ([("add", "$notjunk")], ["wanted"]),
        ([("replace", "work", "$Junk")], ["junk"]),
        ([("add", "Junkyard"), ("add", "work")], []),
        ([("add", "$Junk"), ("add", "$Junk")], ["junk"]),
        ([("add", "$Junk"), ("remove", "$junk")], ["junk", "none"]),
        # As Thunderbird changes its mind: one keyword, then the other.
        ([("add", "Junk"), ("add", "NonJunk"), ("remove", "Junk")], ["junk", "wanted", "wanted"]),
        ([("add", "$Junk"), ("add", "Junk")], ["junk", "junk"]),
        ([("add", "$Junk", "$NotJunk")], []),
    ],
)
def test_keywords_say(post, deeds, words):
    message = post.deliver(LETTER)
    for mode, *keywords in deeds:
        post.say(message, mode, *keywords)
    assert list(Judgement.objects.order_by("pk").values_list("word", flat=True)) == words


def test_what_is_filed_as_junk_by_a_verdict_or_by_append_says_nothing(post, tmp_path):
    from mailsuite.writer.run import execute

    post.deliver(LETTER, "junk")
    execute(Append(post.mailbox.pk, post.folder("junk").pk, [AppendItem("s", len(LETTER), octets=LETTER)]))
    assert Message.objects.count() == 2 and not Judgement.objects.exists()


def test_a_word_is_learned_once_by_mailbox_and_site(post, other_post, report_of):
    post.move(post.deliver(LETTER, report=report_of("eve@shop.example")), "junk")
    other_post.move(other_post.deliver(LETTER), "junk")
    assert learn() == 2 and learn() == 0
    assert (counted(post), counted(other_post)) == ((0, 1), (0, 1))
    assert WordTable.objects.get(pk=WordTable.SITE).junk_count == 2
    rungs = Sender.objects.values_list("mailbox", "rung", "key", "junked")
    assert set(rungs) == {
        (post.mailbox.pk, "from", "eve@shop.example", 1), (post.mailbox.pk, "domain", "shop.example", 1),
        (post.mailbox.pk, "dkim", "shop.example", 1), (post.mailbox.pk, "net", "192.0.2.0/24", 1),
    }  # fmt: skip


def test_a_forged_from_is_not_blamed(post, report_of):
    post.move(post.deliver(LETTER, report=report_of("eve@shop.example", dmarc="fail", signer="")), "junk")
    learn()
    assert list(Sender.objects.values_list("rung", flat=True)) == ["net"]


def test_saying_it_again_changes_nothing(post):
    message = post.deliver(LETTER)
    post.say(message, "add", "$Junk")
    learn()
    before = memory()
    post.move(message, "junk", copy=True)
    assert learn() == 1
    assert memory() == before


@pytest.mark.parametrize("together", [True, False])
def test_a_change_of_mind_leaves_no_trace(post, report_of, together):
    other = post.deliver(LETTER.replace(b"watches", b"boats"), report=report_of("liz@shop.example"))
    post.move(other, "junk")
    learn()
    before = memory()
    message = post.deliver(LETTER, report=report_of("eve@shop.example"))
    for mode, word in (("add", "$Junk"), ("add", "$NotJunk"), ("replace", "$Junk"), ("replace", "work")):
        post.say(message, mode, word)
        together or learn()
    learn()
    assert memory() == before and Lesson.objects.count() == 1


def test_wanted_after_junk_is_as_if_it_had_never_been_junk(post, other_post):
    one, two = post.deliver(LETTER), other_post.deliver(LETTER)
    moved = post.move(one, "junk")
    learn()
    post.move(moved, "inbox")
    other_post.say(two, "add", "$NotJunk")
    learn()
    tables = [bytes(WordTable.objects.get(pk=one.mailbox.pk).counts) for one in (post, other_post)]
    assert tables[0] == tables[1] and counted(post) == counted(other_post) == (1, 0)


def test_what_was_learned_is_taken_back_when_the_message_is_gone(post):
    message = post.deliver(LETTER)
    post.say(message, "add", "$Junk")
    learn()
    post.say(message, "remove", "$Junk")
    Message.objects.all().delete()
    Content.objects.all().delete()
    assert learn() == 1
    assert counted(post) == (0, 0)


def test_a_message_that_is_gone_before_it_was_learned_teaches_nothing(post):
    post.say(post.deliver(LETTER), "add", "$Junk")
    Message.objects.all().delete()
    Content.objects.all().delete()
    assert learn() == 1 and not Judgement.objects.exists() and counted(post) == (0, 0)


@pytest.mark.parametrize("place", ["save", "_learn_one"])
def test_a_crash_while_learning_loses_and_doubles_nothing(post, monkeypatch, place):
    post.move(post.deliver(LETTER), "junk")
    post.move(post.deliver(LETTER), "junk")
    whole, calls = getattr(training, place), []

    def dies(*arguments):
        calls.append(whole(*arguments))
        if len(calls) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training, place, dies)
        learn()
    assert Judgement.objects.count() == 2 and counted(post) == (0, 0) and not Lesson.objects.exists()
    assert learn() == 2
    assert counted(post) == (0, 2) and not Judgement.objects.exists()


def test_a_change_of_mind_after_a_halving_takes_nothing_from_others(post, other_post):
    kept, changed = post.deliver(LETTER), post.deliver(LETTER.replace(b"watches", b"boats"))
    post.say(kept, "add", "$Junk")
    post.say(changed, "add", "$Junk")
    learn()
    # The site's counters are about to be halved, the mailbox's not.
    WordTable.objects.filter(pk=WordTable.SITE).update(junk_count=MOST - 1)
    other_post.move(other_post.deliver(LETTER), "junk")
    learn()
    before = WordTable.objects.get(pk=WordTable.SITE)
    assert (before.junk_count, before.junk_halvings) == (MOST // 2, 1)
    post.say(changed, "add", "$NotJunk")
    learn()
    site = WordTable.objects.get(pk=WordTable.SITE)
    assert (site.wanted_count, site.junk_count, site.wanted_halvings) == (1, MOST // 2, 0)
    assert counted(post) == (1, 1)
    lesson = Lesson.objects.get(mailbox=other_post.mailbox)
    assert (lesson.own_halvings, lesson.site_halvings) == (0, 0)
    services.forget_words(other_post.mailbox.pk)
    assert WordTable.objects.get(pk=WordTable.SITE).junk_count == MOST // 2


def test_two_workers_learn_each_word_once(post):
    for _ in range(6):
        post.move(post.deliver(LETTER), "junk")
    rows = list(Judgement.objects.order_by("pk"))
    start, learned = threading.Barrier(2), []

    def work():
        try:
            start.wait(30)
            learned.append(training.learn(rows))
        finally:
            connections.close_all()

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert sorted(learned) == [0, 6] and counted(post) == (0, 6)
