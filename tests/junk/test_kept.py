"""Mail that was read and left for days speaks for its sender, weakly and once."""

from datetime import UTC, datetime, timedelta

import pytest

from mailsuite.junk import kept, training
from mailsuite.junk.models import Sender
from mailsuite.store import flags
from mailsuite.store.models import Message

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reader"])
LETTER = b"Subject: news\r\n\r\nThe news\r\n"


def later(days):
    return datetime.now(UTC) + timedelta(days=days)


def counts():
    return set(Sender.objects.values_list("kept", flat=True))


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
    assert kept.learn_kept(later(4)) == len(counted) and counts() == counted


def test_each_message_counts_once_and_not_before_its_time(post, report_of):
    post.deliver(LETTER, report=report_of("eve@shop.example"))
    Message.objects.update(flags=flags.SEEN)
    assert [kept.learn_kept(later(days)) for days in (2, 4, 5)] == [0, 1, 0]
    assert counts() == {1}


def test_what_the_owner_spoke_about_needs_no_guess(post, report_of):
    message = post.deliver(LETTER, report=report_of("eve@shop.example"))
    post.say(message, "add", "$NotJunk")
    training.learn_waiting(None)
    Message.objects.update(flags=flags.SEEN)
    assert kept.learn_kept(later(4)) == 0 and counts() == {0}


def test_a_crash_between_counts_nothing_twice(post, report_of, monkeypatch):
    for _ in range(2):
        post.deliver(LETTER, report=report_of("eve@shop.example"))
    Message.objects.update(flags=flags.SEEN)
    whole, calls = kept._note, []

    def dies(*arguments):
        calls.append(whole(*arguments))
        if len(calls) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(kept, "_note", dies)
        kept.learn_kept(later(4))
    assert counts() == set()
    assert kept.learn_kept(later(4)) == 2 and counts() == {2}
