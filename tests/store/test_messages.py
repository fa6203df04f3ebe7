"""Flags, removal, copies and moves: rows, counters, modseqs and tombstones after each."""

import pytest
from django.db.models import Count, Q, Sum

from mailsuite.store import flags
from mailsuite.store.models import Folder, Message, Tombstone, Usage
from mailsuite.store.operations import ClaimRecent, Copy, Expunge, StoreFlags
from mailsuite.writer.operation import Refused
from mailsuite.writer.run import execute

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def counters_agree():
    """Whatever a test did, the counters kept in rows must equal what counting finds."""
    yield
    for folder in Folder.objects.all():
        counted = folder.messages.aggregate(
            message_count=Count("pk"),
            unseen_count=Count("pk", filter=Q(flags__in=[f for f in range(32) if not f & flags.SEEN])),
            deleted_count=Count("pk", filter=Q(flags__in=[f for f in range(32) if f & flags.DELETED])),
            size_octets=Sum("size_octets", default=0),
        )
        assert counted == {name: getattr(folder, name) for name in counted}, folder.name
        assert not folder.messages.filter(Q(uid__gte=folder.uid_next) | Q(modseq__gt=folder.highest_modseq)).exists()
    for usage in Usage.objects.all():
        held = Message.objects.filter(mailbox=usage.mailbox_id).aggregate(
            n=Count("pk"), s=Sum("size_octets", default=0)
        )
        assert held == {"n": usage.message_count, "s": usage.used_octets}


def change(folder, uids, mode, bits=0, keywords=(), **more):
    return execute(StoreFlags(folder.mailbox_id, folder.pk, list(uids), mode, bits, list(keywords), **more))


@pytest.mark.parametrize(
    ("before", "mode", "given", "after"),
    [
        (0, "add", flags.SEEN, flags.SEEN),
        (flags.SEEN, "add", flags.DELETED, flags.SEEN | flags.DELETED),
        (flags.SEEN | flags.DRAFT, "remove", flags.SEEN, flags.DRAFT),
        (flags.SEEN | flags.DELETED, "replace", flags.FLAGGED, flags.FLAGGED),
    ],
)
def test_flags(fill, before, mode, given, after):
    inbox = fill(before)
    answer = change(inbox, [1], mode, given)
    assert [(state.uid, state.flags) for state in answer.changed] == [(1, after)]
    assert answer.changed[0].modseq == inbox.highest_modseq + 1
    assert Message.objects.get().flags == after


def test_a_change_that_changes_nothing_draws_no_modseq(fill):
    inbox = fill(flags.SEEN)
    assert change(inbox, [1], "add", flags.SEEN).changed[0].modseq == inbox.highest_modseq
    assert Folder.objects.get(pk=inbox.pk).highest_modseq == inbox.highest_modseq


def test_keywords_are_equal_whatever_their_case(fill):
    inbox = fill(0)
    assert change(inbox, [1], "add", 0, ["$Forwarded", "work"]).changed[0].keywords == "$Forwarded work"
    assert change(inbox, [1], "add", 0, ["WORK"]).changed[0].keywords == "$Forwarded work"
    assert change(inbox, [1], "remove", 0, ["$FORWARDED"]).changed[0].keywords == "work"
    assert change(inbox, [1], "replace", 0, ["b", "a"]).changed[0].keywords == "a b"


def test_keywords_of_a_message_are_bounded_however_they_add_up(fill):
    inbox = fill(0, 0)
    change(inbox, [1], "add", 0, ["k" * (flags.MAX_KEYWORDS_OCTETS - 1)])
    with pytest.raises(Refused) as refused:
        change(inbox, [1, 2], "add", flags.SEEN, ["x"])
    assert refused.value.code == "limit"
    assert not Message.objects.filter(uid__in=[1, 2]).exclude(flags=0).exists()
    assert change(inbox, [1], "remove", 0, ["none"]).changed and change(inbox, [2], "add", 0, ["x"]).changed


def test_unchanged_since_spares_what_was_changed(fill):
    inbox = fill(0, 0)
    change(inbox, [2], "add", flags.SEEN)
    answer = change(inbox, [1, 2], "add", flags.FLAGGED, unchanged_since=inbox.highest_modseq)
    assert ([state.uid for state in answer.changed], answer.modified) == ([1], [2])


def test_uids_that_are_gone_are_passed_over(fill):
    assert [state.uid for state in change(fill(0), [1, 7], "add", flags.SEEN).changed] == [1]


def test_expunge_removes_what_is_deleted_and_leaves_tombstones(fill):
    inbox = fill(flags.DELETED, 0, flags.DELETED)
    answer = execute(Expunge(inbox.mailbox_id, inbox.pk, [1, 2, 3]))
    assert answer.uids == [1, 3]
    assert list(Tombstone.objects.order_by("uid").values_list("uid", "modseq")) == [
        (1, answer.modseq),
        (3, answer.modseq),
    ]


def test_expunge_of_given_uids_spares_the_other_deleted(fill):
    inbox = fill(flags.DELETED, flags.DELETED, 0)
    assert execute(Expunge(inbox.mailbox_id, inbox.pk, [2, 3])).uids == [2]


def test_uids_are_never_given_twice(fill):
    fill(flags.DELETED)
    inbox = Folder.objects.get(role="inbox")
    execute(Expunge(inbox.mailbox_id, inbox.pk, [1]))
    fill(0)
    assert Message.objects.get().uid == 2


def test_copy_makes_new_unique_ids_and_keeps_the_rest(fill, mailbox):
    inbox = fill(flags.SEEN, flags.FLAGGED)
    target = Folder.objects.get(role="archive")
    answer = execute(Copy(mailbox.pk, inbox.pk, target.pk, [1, 2]))
    assert (answer.uid_validity, answer.pairs) == (target.uid_validity, [(1, 1), (2, 2)])
    originals, copies = inbox.messages.order_by("uid"), target.messages.order_by("uid")
    for old, new in zip(originals, copies, strict=True):
        assert (old.content_id, old.flags, old.internal_date) == (new.content_id, new.flags, new.internal_date)
        assert old.unique_id != new.unique_id


def test_copy_over_quota_changes_nothing(fill, mailbox):
    inbox, target = fill(0), Folder.objects.get(role="archive")
    with pytest.raises(Refused) as refusal:
        execute(Copy(mailbox.pk, inbox.pk, target.pk, [1], quota_octets=20))
    assert refusal.value.code == "over-quota"


def test_move_keeps_unique_ids_and_leaves_tombstones(fill, mailbox):
    inbox, target = fill(0, flags.SEEN), Folder.objects.get(role="archive")
    before = dict(Message.objects.values_list("pk", "unique_id"))
    answer = execute(Copy(mailbox.pk, inbox.pk, target.pk, [2, 1], move=True, quota_octets=1))
    assert answer.pairs == [(1, 1), (2, 2)]
    assert dict(target.messages.values_list("pk", "unique_id")) == before
    assert sorted(inbox.tombstones.values_list("uid", flat=True)) == [1, 2]


def test_move_into_the_same_folder_gives_new_uids(fill, mailbox):
    inbox = fill(0)
    assert execute(Copy(mailbox.pk, inbox.pk, inbox.pk, [1], move=True)).pairs == [(1, 2)]


def test_recent_is_claimed_once(fill, mailbox):
    inbox = fill(0, 0)
    assert execute(ClaimRecent(mailbox.pk, inbox.pk)) == 1
    assert execute(ClaimRecent(mailbox.pk, inbox.pk)) == 3
