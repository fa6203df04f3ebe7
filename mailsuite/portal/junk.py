"""The owner's page on junk: what the filter has learned of their mail, whom the mailbox knows, and forgetting both."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from mailsuite.directory import history
from mailsuite.directory.models import User
from mailsuite.junk import services
from mailsuite.portal import account
from mailsuite.portal.rules import OUTCOMES
from mailsuite.portal.views import own_mailbox, signed_in
from mailsuite.screening.own_rules import rules_of


@require_safe
@signed_in
def junk(request: HttpRequest) -> HttpResponse:
    """What the filter has learnt from each mailbox of the person's."""
    assert isinstance(request.user, User)
    return render(request, "owner/junk.html", {"mailboxes": [_view(row) for row in account.mailboxes_of(request.user)]})


@require_POST
@signed_in
def forget_words(request: HttpRequest, mailbox_id: int) -> HttpResponse:
    """Has the filter forget the words that it learnt from the mailbox."""
    mailbox = own_mailbox(request, mailbox_id)
    services.forget_words(mailbox.pk)
    history.note_by_owner(mailbox, "Its junk filter starts anew.", str(request.user))
    messages.success(request, f"The filter of {mailbox.address} starts anew.")
    return redirect("junk")


@require_POST
@signed_in
def forget_sender(request: HttpRequest, mailbox_id: int, sender_id: int) -> HttpResponse:
    """Has the filter forget what it learnt of one sender."""
    mailbox = own_mailbox(request, mailbox_id)
    if services.forget_senders([sender_id], mailbox.pk):
        history.note_by_owner(mailbox, "It forgot a sender.", str(request.user))
        messages.success(request, "The sender is forgotten.")
    return redirect("junk")


@require_POST
@signed_in
def forget_senders(request: HttpRequest, mailbox_id: int) -> HttpResponse:
    """Has the filter forget what it learnt of all senders of the mailbox."""
    mailbox = own_mailbox(request, mailbox_id)
    services.forget_all_senders(mailbox.pk)
    history.note_by_owner(mailbox, "It forgot all senders.", str(request.user))
    messages.success(request, f"{mailbox.address} knows no senders any more.")
    return redirect("junk")


def _view(mailbox: account.MailboxView) -> dict[str, Any]:
    senders = services.senders_of(mailbox.mailbox_id)
    rules = {one.value: OUTCOMES[one.action] for one in rules_of(mailbox.mailbox_id)}
    return {
        "mailbox_id": mailbox.mailbox_id,
        "address": mailbox.address,
        "is_suspended": mailbox.is_suspended,
        "learned": services.learned_by(mailbox.mailbox_id),
        "senders": [
            {"row": row, "standing": services.standing_of(row), "rule": rules.get(row.key, "")} for row in senders
        ],
        "shown": services.SENDERS_SHOWN if len(senders) == services.SENDERS_SHOWN else 0,
    }
