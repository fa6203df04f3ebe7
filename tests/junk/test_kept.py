"""Mail that was read and left for days speaks for its sender, weakly and once."""

from datetime import UTC, datetime, timedelta

import pytest

from mailsuite.junk import kept, training
from mailsuite.junk.models import Judgement, Sender, WordTable
from mailsuite.store import flags
from mailsuite.store.models import Message

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reader"])
LETTER = b"Subject: news\r\n\r\nThe news\r\n"


def later(days):
    return datetime.now(UTC) + timedelta(days=days)


def learn_kept(days):
    """Looks so many days later, and learns what was found; returns how many messages."""
    found = kept.learn_kept(later(days))
    training.learn_waiting(None)
    return found


def counts():
    return set(Sender.objects.values_list("kept", flat=True))


def known(mailbox_id=None):
    table = WordTable.objects.filter(mailbox=mailbox_id).first()
    return (table.wanted_count, table.junk_count) if table else (0, 0)


@pytest.mark.parametrize(
    ("role", "bits", "counted"),
    [
        ("inbox", flags.SEEN, {1}), ("archive", flags.SEEN | flags.FLAGGED, {1}), ("inbox", 0, set()),
        ("inbox", flags.SEEN | flags.DELETED, set()), ("junk", flags.SEEN, set()), ("trash", flags.SEEN, set()),
    ],
)  # fmt: skip
def test_what_counts_as_kept(post, report_of, role, bits, counted):
    post.deliver(LETTER, role, report_of("eve@shop.example"))
    Message.objects.update(flags=bits)
    assert learn_kept(4) == len(counted) and counts() == counted


def test_each_message_counts_once_and_not_before_its_time(post, report_of):
    post.deliver(LETTER, report=report_of("eve@shop.example"))
    Message.objects.update(flags=flags.SEEN)
    assert [learn_kept(days) for days in (2, 4, 5)] == [0, 1, 0]
    assert counts() == {1}


def test_what_the_owner_spoke_about_needs_no_guess(post, report_of):
    message = post.deliver(LETTER, report=report_of("eve@shop.example"))
    post.say(message, "add", "$NotJunk")
    training.learn_waiting(None)
    Message.objects.update(flags=flags.SEEN)
    assert learn_kept(4) == 0 and counts() == {0}


def test_a_crash_between_counts_nothing_twice(post, report_of, monkeypatch):
    for _ in range(2):
        post.deliver(LETTER, report=report_of("eve@shop.example"))
    Message.objects.update(flags=flags.SEEN)
    whole, calls = kept._is_kept, []

    def dies(bits):
        calls.append(bits)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return whole(bits)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(kept, "_is_kept", dies)
        kept.learn_kept(later(4))
    assert not Judgement.objects.exists()
    assert learn_kept(4) == 2 and counts() == {2}


def test_words_are_taught_until_wanted_mail_balances_junk(post, report_of, monkeypatch):
    """However much was kept, and however it is cut into slices; the rest speaks for its sender alone."""
    monkeypatch.setattr(kept, "ENOUGH", 2)
    monkeypatch.setattr(kept, "SLICE", 2)
    messages = [post.deliver(LETTER, report=report_of("eve@shop.example")) for _ in range(5)]
    Message.objects.update(flags=flags.SEEN)
    assert learn_kept(4) == 5 and counts() == {5}
    assert known() == known(messages[0].mailbox_id) == (2, 0)


def test_what_the_owner_says_later_takes_it_back(post, report_of):
    message = post.deliver(LETTER, report=report_of("eve@shop.example"))
    Message.objects.update(flags=flags.SEEN)
    learn_kept(4)
    assert known() == (1, 0)
    post.say(message, "add", "$Junk")
    training.learn_waiting(None)
    assert known() == (0, 1) and counts() == {0}
