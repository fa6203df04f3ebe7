"""The filter on mail it has not seen; how mailbox and site go together; neutral until enough was seen."""

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext
from mail_corpus import mails

from mailsuite.junk import filter as content_filter
from mailsuite.junk.features import MAX_FEATURES, Features, extract
from mailsuite.junk.models import WordTable
from mailsuite.junk.words import LEAST, MOST, SITE_LEAST, TABLE_OCTETS, Words, buckets_of, combine, weigh
from mailsuite.mail.parsed_header import Header
from mailsuite.verdict.judge import JUNK_PROBABILITY

alone = pytest.mark.sqlite_only
on_database = pytest.mark.django_db(transaction=True, databases=["default", "reader"])


def trained(each, seed=1):
    table = Words()
    for mail in mails(seed, each, world="trained"):
        table.learn(buckets_of(extract(Header.parse(mail.header), [mail.body]).words), is_junk=mail.is_junk)
    return table


def taught(wanted, junk, messages):
    table = Words()
    for _ in range(messages):
        table.learn(buckets_of(wanted), is_junk=False)
        table.learn(buckets_of(junk), is_junk=True)
    return table


@alone
def test_unseen_mail_from_unseen_senders():
    """Generated mail: the bound guards against mistakes of ours, it promises nothing of anybody's mail."""
    table, tested = trained(20), list(mails(2, 30, world="tested"))
    judged = [
        (mail.is_junk, weigh(extract(Header.parse(mail.header), [mail.body]).words, table, None)) for mail in tested
    ]
    wanted = [found.probability for is_junk, found in judged if not is_junk]
    junk = [found.probability for is_junk, found in judged if is_junk]
    assert len(wanted) == len(junk) == 180
    assert not any(one >= JUNK_PROBABILITY for one in wanted)
    # Beyond whatever any wanted mail gets, since the generator's junk is tamer than what the threshold is made for.
    assert sum(one > max(wanted) for one in junk) >= 120


@alone
def test_what_was_learned_is_told_apart():
    table, again = trained(20), list(mails(1, 20, world="trained"))
    judged = [
        (mail.is_junk, weigh(extract(Header.parse(mail.header), [mail.body]).words, table, None)) for mail in again
    ]
    wanted = [found.probability for is_junk, found in judged if not is_junk]
    junk = [found.probability for is_junk, found in judged if is_junk]
    assert max(wanted) < 0.5 < min(junk)
    assert sum(one >= JUNK_PROBABILITY for one in junk) >= 100


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
    assert combine([]) == combine([0.5]) == 0.5
    assert combine([0.99] * 20) > 0.999 and combine([0.01] * 20) < 0.001
    assert combine([0.99] * MAX_FEATURES) == pytest.approx(1) and combine([0.01] * MAX_FEATURES) < 1e-6
    # Neither one word nor the length of a text decides.
    assert combine([0.99]) < JUNK_PROBABILITY and combine([0.6] * MAX_FEATURES) < JUNK_PROBABILITY
    assert combine([0.99] * 20 + [0.01] * 20) == pytest.approx(0.5, abs=0.01)
    assert combine([0.99] * 5, trust=0.5) < combine([0.99] * 5)


@alone
def test_learning_and_taking_back_is_exact_in_any_order():
    messages = [extract(Header.parse(mail.header), [mail.body]).words for mail in mails(3, 3, world="trained")]
    whole, part = Words(), Words()
    for number, words in enumerate(messages):
        whole.learn(buckets_of(words), is_junk=number % 2 == 0)
        if number % 3 == 0:
            part.learn(buckets_of(words), is_junk=number % 2 == 0)
    for number, words in enumerate(messages):
        if number % 3:
            whole.take_back(buckets_of(words), is_junk=number % 2 == 0, halvings=0)
    assert whole == part
    again = Words(whole.wanted_count, whole.junk_count)
    again.load(whole.encode())
    assert again == whole and len(whole.junk) * 4 == TABLE_OCTETS


@alone
def test_it_goes_on_for_ever_and_old_mail_fades():
    table = Words()
    for number in range(3 * MOST):
        table.learn([1 if number < MOST else 2], is_junk=True)
    table.learn([1], is_junk=False)
    assert table.junk_halvings == 5 and table.wanted_halvings == 0
    assert table.junk_count == MOST // 2 and table.wanted_count == 1
    assert (table.junk[1], table.junk[2]) == (MOST // 32, MOST // 2 - MOST // 32)


@alone
def test_what_was_halved_is_not_taken_from_others():
    table = Words(wanted_count=MOST - 3, junk_count=20)
    old = table.learn([1, 2], is_junk=False)
    last = table.learn([1], is_junk=False)
    whole = table.learn([1], is_junk=False)
    assert (old, last, whole, table.wanted_halvings) == (0, 0, 0, 1) and table.junk_count == 20
    fresh = table.learn([1, 2], is_junk=False)
    assert fresh == 1 and (table.wanted[1], table.wanted[2]) == (2, 1)
    before = (table.wanted_count, table.wanted[:])
    table.take_back([1, 2], is_junk=False, halvings=old)
    assert (table.wanted_count, table.wanted) == before
    table.take_back([1, 2], is_junk=False, halvings=fresh)
    assert (table.wanted_count, table.wanted[1], table.wanted[2]) == (MOST // 2, 1, 0)


@alone
@pytest.mark.parametrize(("wanted", "junk"), [(20, 600), (600, 20)])
def test_who_teaches_one_kind_alone_gets_no_false_positives(wanted, junk):
    """Owners call much mail junk and little wanted: common words that were never met in wanted mail are no proof."""
    table, counts = Words(), {False: wanted, True: junk}
    for mail in mails(1, 100, world="trained"):
        if counts[mail.is_junk] > 0:
            counts[mail.is_junk] -= 1
            table.learn(buckets_of(extract(Header.parse(mail.header), [mail.body]).words), is_junk=mail.is_junk)
    tested = [mail for mail in mails(2, 20, world="tested") if not mail.is_junk]
    found = [weigh(extract(Header.parse(mail.header), [mail.body]).words, table, None).probability for mail in tested]
    assert sum(one >= JUNK_PROBABILITY for one in found) <= 2


@on_database
def test_counters_are_read_again_only_when_they_changed(post):
    table, words = taught(["tea"], ["pills"], 20), Features(("pills", "pills now"))
    row = WordTable(
        id=post.mailbox.pk, mailbox=post.mailbox, wanted_count=20, junk_count=20, version=1, counts=table.encode(),
        changed_at=post.mailbox.created_at,
    )  # fmt: skip
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
