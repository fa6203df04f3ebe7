"""What became of a message reads as a sentence, and another host's words are never ours."""

import pytest

from mailsuite.trace import sentences
from mailsuite.trace.fates import named, tries
from mailsuite.trace.models import StoryRecipient

Fate = StoryRecipient.Fate


@pytest.mark.parametrize(
    ("fate", "reason", "text", "words"),
    [
        (Fate.REFUSED, "unknown-recipient", "550 5.1.1 Unknown (unknown-recipient)", "there is no such address here"),
        (Fate.BOUNCED, "by-hand", "", "somebody gave it up"),
        (Fate.BOUNCED, "by-hand", "Given up by root", "given up by root"),
        (Fate.JUNK, "moved", "moved by its owner", "moved by its owner"),
        (Fate.DELIVERED, "", "mx.far.example: 250 2.0.0 queued", "mx.far.example took it"),
        (Fate.DELIVERED, "", "", ""),
        (
            Fate.BOUNCED, "", "mx.far.example: 550 5.7.1 Go away.", "mx.far.example says: Go away",
        ),
        (
            Fate.WAITING, "", "No connection to mx.far.example [192.0.2.1]:25: Connection refused",
            "its host mx.far.example refuses connections",
        ),
        (
            Fate.WAITING, "", "No connection to mx.far.example [2001:db8::1]:25: something odd",
            "its host mx.far.example gives no connection (something odd)",
        ),
        (Fate.WAITING, "", "The DNS does not answer.", "the DNS does not answer"),
        (Fate.WAITING, "", "DNS is silent", "DNS is silent"),
    ],
)  # fmt: skip
def test_why(fate, reason, text, words):
    assert sentences.why(fate, reason, text) == words


def test_a_well_known_reply_is_explained_and_quoted():
    text = "mx.far.example: 554 5.7.1 listed"
    assert sentences.why(Fate.BOUNCED, "blocklisted", text).startswith("mx.far.example takes no mail from this host's")
    assert sentences.why(Fate.BOUNCED, "blocklisted", "554").startswith("the other host takes no mail")
    assert "removal" in sentences.advice("blocklisted")
    assert sentences.said("blocklisted", text) == text


@pytest.mark.parametrize("reason", sentences.WHY)
def test_each_reason_of_ours_is_the_rest_of_a_sentence(reason):
    words, advice = sentences.WHY[reason]
    assert words and not words.endswith(".") and words[0].islower()
    assert sentences.advice(reason) == advice and (not advice or advice.endswith("."))


def test_what_nobody_knows_has_no_advice_and_no_words_of_others():
    assert sentences.advice("no-such-reason") == "" and sentences.said("no-such-reason", "mx.far.example: 550") == ""
    assert sentences.said("", "our own words") == ""


def test_every_fate_has_its_words_and_its_tone():
    assert set(sentences.TONES) == set(sentences.BEGINNINGS) == set(Fate)


@pytest.mark.parametrize(
    ("addresses", "words"),
    [
        ([], ""),
        (["a"], "a"),
        (["a", "b"], "a and b"),
        (["a", "", "b", "a", "c"], "a, b and c"),
        ([str(number) for number in range(10)], "0, 1, 2, 3, 4, 5, 6, 7 and 2 more"),
    ],
)
def test_addresses_in_words(addresses, words):
    assert named(addresses) == words


@pytest.mark.parametrize(
    ("fate", "count", "words"),
    [(Fate.WAITING, 0, ""), (Fate.WAITING, 1, "1 try"), (Fate.WAITING, 3, "3 tries"), (Fate.BOUNCED, 3, "")],
)
def test_tries_are_told_of_what_waits(fate, count, words):
    assert tries(fate, count) == words
