"""What smtpd asks: a message through the facade, with what its mailboxes have learned by the store's own operations."""

import asyncio

import pytest

from mailsuite.authcheck.content import Content
from mailsuite.junk import contacts, training
from mailsuite.junk import filter as content_filter
from mailsuite.junk.memory import Memory
from mailsuite.mail.parsed_header import Header
from mailsuite.trace.models import Story
from mailsuite.verdict.facts import MailboxFacts, MessageFacts
from mailsuite.verdict.judge import judge

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reader"])
JUNK = (
    b"From: Eve <eve@shop.example>\r\nSubject: cheap watches\r\n\r\nBuy cheap pills, replica watches, casino bonus\r\n"
)
LETTER = (
    b"From: Liz <liz@far.example>\r\nSubject: dinner\r\n\r\nCome to dinner with grandma and the children on Sunday\r\n"
)


def ask(post, octets, report, monkeypatch, fields=b""):
    """The facts and the verdict on such a message to the mailbox."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    header, _, body = (fields + octets).partition(b"\r\n\r\n")
    content = Content(Header.parse(header + b"\r\n\r\n"), lambda: iter([body]), len(body))
    one = post.mailbox.pk

    async def both():
        memory = Memory()
        try:
            return (await memory.standings([one], report, content))[one], (
                await memory.opinions([one], report, content)
            )[one]
        finally:
            memory.close()

    standing, opinion = asyncio.run(both())
    return standing, opinion, judge(MessageFacts(report), MailboxFacts(None, standing, opinion))


def test_strangers_are_judged_by_words_and_known_senders_before_them(post, report_of, monkeypatch):
    for number in range(20):
        post.move(post.deliver(JUNK + b"%d" % number, report=report_of("eve@shop.example")), "junk")
        post.say(post.deliver(LETTER + b"%d" % number, report=report_of("liz@far.example")), "add", "$NotJunk")
        if number == 18:
            training.learn_waiting(None)
            assert ask(post, JUNK, report_of("max@new.example"), monkeypatch)[1].probability is None
    training.learn_waiting(None)
    standing, opinion, verdict = ask(post, JUNK, report_of("max@new.example", client="198.51.100.1"), monkeypatch)
    assert (standing.label, verdict.reason, verdict.action.value) == ("unknown", "content", "junk")
    assert opinion.clues and all(weight > 0 for _, weight in opinion.clues)
    # What the owner did with a sender comes before the words.
    assert ask(post, LETTER, report_of("eve@shop.example"), monkeypatch)[2].reason == "unwanted-sender"
    assert ask(post, JUNK, report_of("liz@far.example"), monkeypatch)[2].reason == "wanted-sender"
    # Whoever forges a wanted sender is a stranger.
    forged = report_of("liz@far.example", dmarc="none", signer="", client="198.51.100.1")
    assert ask(post, JUNK, forged, monkeypatch)[2].reason == "content"


def test_an_answer_to_our_mail_is_wanted_whatever_its_words(post, report_of, monkeypatch):
    Story.objects.create(
        kind="submission", outcome="accepted", at=post.mailbox.created_at, sender_mailbox=post.mailbox,
        message_id="<ours@example.org>", data='{"recipients": ["max@new.example"]}',
    )  # fmt: skip
    contacts.learn_submissions(None)
    answer = ask(post, JUNK, report_of("new@new.example"), monkeypatch, b"In-Reply-To: <ours@example.org>\r\n")
    assert answer[0].rung == "reply" and answer[2].action.value == "inbox"
    assert ask(post, JUNK, report_of("max@new.example"), monkeypatch)[2].reason == "wanted-sender"


@pytest.mark.parametrize("seconds, times", [(60.0, 1), (0.0, 3)])
def test_a_filter_that_knew_nothing_is_not_asked_at_once_again(post, report_of, monkeypatch, seconds, times):
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    monkeypatch.setattr("mailsuite.junk.memory.NOTHING_SECONDS", seconds)
    asked, knows_anything = [], content_filter.knows_anything
    monkeypatch.setattr(content_filter, "knows_anything", lambda ids: asked.append(ids) or knows_anything(ids))

    async def thrice():
        memory, content = Memory(), Content(Header.parse(LETTER), lambda: iter([]), 0)
        try:
            for _ in range(3):
                opinions = await memory.opinions([post.mailbox.pk], report_of("liz@far.example"), content)
                assert opinions == {post.mailbox.pk: content_filter.NEUTRAL}
        finally:
            memory.close()

    asyncio.run(thrice())
    assert len(asked) == times
