"""The filter on mail it has not seen; how mailbox and site go together; neutral until enough was seen."""

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext
from mail_corpus import mails

from mailsuite.junk import filter as content_filter
from mailsuite.junk.features import Features, extract
from mailsuite.junk.models import WordTable
from mailsuite.junk.words import LEAST, MOST_CLUES, SITE_LEAST, TABLE_OCTETS, Words, buckets_of, fisher, weigh
from mailsuite.verdict.judge import JUNK_PROBABILITY

alone = pytest.mark.sqlite_only
on_database = pytest.mark.django_db(transaction=True, databases=["default", "reader"])


def trained(each, seed=1):
    table = Words()
    for mail in mails(seed, each, world="trained"):
        table.count(buckets_of(extract(mail.header, [mail.body]).words), is_junk=mail.is_junk)
    return table


def taught(wanted, junk, messages):
    table = Words()
    for _ in range(messages):
        table.count(buckets_of(wanted), is_junk=False)
        table.count(buckets_of(junk), is_junk=True)
    return table


@alone
def test_unseen_mail_from_unseen_senders():
    """Generated mail: the bound guards against mistakes of ours, it promises nothing of anybody's mail."""
    table, tested = trained(20), list(mails(2, 30, world="tested"))
    judged = [(mail.is_junk, weigh(extract(mail.header, [mail.body]).words, table, None)) for mail in tested]
    wanted = [found.probability for is_junk, found in judged if not is_junk]
    junk = [found.probability for is_junk, found in judged if is_junk]
    assert len(wanted) == len(junk) == 180
    assert sum(one >= JUNK_PROBABILITY for one in wanted) <= 1
    assert sum(one >= JUNK_PROBABILITY for one in junk) >= 45


@alone
def test_what_was_learned_is_told_apart():
    table, again = trained(20), list(mails(1, 20, world="trained"))
    judged = [(mail.is_junk, weigh(extract(mail.header, [mail.body]).words, table, None)) for mail in again]
    assert not any(found.probability >= JUNK_PROBABILITY for is_junk, found in judged if not is_junk)
    assert sum(found.probability >= JUNK_PROBABILITY for is_junk, found in judged if is_junk) >= 100


@alone
@pytest.mark.parametrize(("own", "site", "speaks"), [(19, 49, False), (20, 0, True), (0, 50, True), (0, 49, False)])
def test_neutral_until_enough_was_seen(own, site, speaks):
    tables = taught(["tea"], ["pills"], own), taught(["tea"], ["pills"], site)
    assert (weigh(["pills"], *tables) is not None) is speaks
    assert (LEAST, SITE_LEAST) == (20, 50)


@alone
def test_the_mailbox_overrules_the_site_and_the_site_alone_counts_less():
    own, site = taught(["pills"], ["tea"], 20), taught(["tea"], ["pills"], 50)
    assert weigh(["pills"], own, site).clues[0][1] < -0.9
    assert weigh(["pills"], None, site).clues[0][1] == pytest.approx(0.735, abs=0.02)
    stranger = taught(["other"], ["else"], 20)
    assert weigh(["pills"], stranger, site).clues[0][1] > 0.9


@alone
def test_clues_for_both_end_in_the_middle():
    assert fisher([]) == fisher([0.5]) == 0.5
    assert fisher([0.99] * 20) > 0.99999 and fisher([0.01] * 20) < 0.00001
    assert fisher([0.99] * MOST_CLUES) == pytest.approx(1) and fisher([0.01] * MOST_CLUES) == pytest.approx(0)
    assert fisher([0.99] * 20 + [0.01] * 20) == pytest.approx(0.5, abs=0.01)


@alone
def test_learning_and_taking_back_is_exact_in_any_order():
    messages = [extract(mail.header, [mail.body]).words for mail in mails(3, 3, world="trained")]
    whole, part = Words(), Words()
    for number, words in enumerate(messages):
        whole.count(buckets_of(words), is_junk=number % 2 == 0)
        if number % 3 == 0:
            part.count(buckets_of(words), is_junk=number % 2 == 0)
    for number, words in enumerate(messages):
        if number % 3:
            whole.count(buckets_of(words), is_junk=number % 2 == 0, sign=-1)
    assert whole == part
    assert Words.decode(whole.encode(), whole.wanted_count, whole.junk_count, 0) == whole
    whole.subtract(part)
    assert whole == Words() and len(whole.junk) * 4 == TABLE_OCTETS


@on_database
def test_counters_are_read_again_only_when_they_changed(post):
    table, words = taught(["tea"], ["pills"], 20), Features(("pills", "pills now"))
    row = WordTable(post.mailbox.pk, post.mailbox.pk, 20, 20, 1, table.encode(), post.mailbox.created_at)
    row.save()
    with CaptureQueriesContext(connections["reader"]) as first:
        opinion = content_filter.classify(post.mailbox.pk, words)
    assert opinion.probability > 0.5 and opinion.clues[0][0] == "pills" and opinion.text
    with CaptureQueriesContext(connections["reader"]) as second:
        assert content_filter.classify(post.mailbox.pk, words) == opinion
    assert (len(first), len(second)) == (2, 1)
    row.counts, row.version = taught(["pills"], ["tea"], 20).encode(), 2
    row.save()
    assert content_filter.classify(post.mailbox.pk, words).probability < 0.5


@on_database
def test_a_mailbox_without_a_filter_is_neutral(post):
    assert content_filter.classify(post.mailbox.pk, Features(("pills",))) == content_filter.NEUTRAL
    assert not content_filter.knows_anything([post.mailbox.pk])
