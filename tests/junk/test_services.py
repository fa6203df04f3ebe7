"""Forgetting: a mailbox's filter is taken out of the site's as well, and what was said before teaches no more."""

import pytest

from mailsuite.directory.models import Mailbox
from mailsuite.junk import services, training
from mailsuite.junk.models import Judgement, Lesson, Sender, WordTable

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reader"])
LETTER = b"Subject: cheap watches\r\n\r\nBuy cheap watches today\r\n"


def counts(number):
    row = WordTable.objects.get(pk=number)
    return row.wanted_count, row.junk_count, bytes(row.counts)


def test_forgetting_words_leaves_the_site_with_the_others(post, other_post):
    other_post.move(other_post.deliver(LETTER), "junk")
    training.learn_waiting(None)
    before = counts(WordTable.SITE)
    message = post.move(post.deliver(LETTER), "junk")
    training.learn_waiting(None)
    version = WordTable.objects.get(pk=post.mailbox.pk).version
    assert services.learned_by(post.mailbox.pk) == services.Learned(0, 1, 0)
    assert services.forget_words(post.mailbox.pk)
    assert counts(WordTable.SITE) == before and counts(post.mailbox.pk)[:2] == (0, 0)
    assert WordTable.objects.get(pk=post.mailbox.pk).version > version
    # A change of mind about what was forgotten is a first word.
    post.move(message, "inbox")
    training.learn_waiting(None)
    assert counts(post.mailbox.pk)[:2] == (1, 0)


def test_forgetting_takes_what_waits(post):
    post.move(post.deliver(LETTER), "junk")
    assert services.learned_by(post.mailbox.pk).waiting == 1
    assert services.forget_words(post.mailbox.pk)
    assert training.learn_waiting(None) == 0
    assert not services.forget_words(post.mailbox.pk)


def test_a_sender_is_forgotten_in_one_mailbox(post, other_post, report_of):
    for one in (post, other_post):
        one.move(one.deliver(LETTER, report=report_of("eve@shop.example")), "junk")
    training.learn_waiting(None)
    row = Sender.objects.get(mailbox=post.mailbox, rung="from")
    assert services.standing_of(row) == "unwanted"
    assert services.forget_senders([row.pk], other_post.mailbox.pk) == 0
    assert services.forget_senders([row.pk], post.mailbox.pk) == 1
    assert Sender.objects.filter(rung="from").count() == 1
    assert [row.rung for row in services.senders_of(post.mailbox.pk)] == ["domain"]
    services.forget_all_senders(post.mailbox.pk)
    assert not services.senders_of(post.mailbox.pk) and services.senders_of(other_post.mailbox.pk)


def test_taking_back_what_was_forgotten_counts_nothing_below_zero(post, report_of):
    message = post.move(post.deliver(LETTER, report=report_of("eve@shop.example")), "junk")
    training.learn_waiting(None)
    services.forget_all_senders(post.mailbox.pk)
    post.move(message, "inbox")
    training.learn_waiting(None)
    assert set(Sender.objects.values_list("wanted", "junked")) == {(1, 0)}


def test_a_mailbox_that_is_deleted_takes_its_memory_along(post):
    post.move(post.deliver(LETTER), "junk")
    training.learn_waiting(None)
    post.move(post.deliver(LETTER), "junk")
    post.mailbox.messages.all().delete()
    Mailbox.objects.filter(pk=post.mailbox.pk).delete()
    assert training.learn_waiting(None) == 0
    assert not (Lesson.objects.exists() or Judgement.objects.exists())
    assert list(WordTable.objects.values_list("pk", flat=True)) == [WordTable.SITE]
