"""The owner's page on rules: senders who are always or never wanted, and how long strangers wait; each for a mailbox
of one's own."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from mailsuite.directory import history
from mailsuite.directory.models import User
from mailsuite.errors import ChangeRefused
from mailsuite.portal import account
from mailsuite.portal.forms import PauseForm, RuleForm
from mailsuite.portal.views import own_mailbox, signed_in
from mailsuite.screening import own_rules, services

OUTCOMES = {"allow": "always goes to the inbox", "junk": "always goes to Junk", "block": "is refused"}


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def rules(request: HttpRequest) -> HttpResponse:
    """The rules of each mailbox, and the form that adds one; what the address asks for stands in it already."""
    assert isinstance(request.user, User)
    mailboxes = account.mailboxes_of(request.user)
    mine = [(one.mailbox_id, one.address) for one in mailboxes if not one.is_suspended]
    asked = {name: request.GET[name] for name in ("mailbox", "sender", "action") if name in request.GET}
    form = RuleForm(mine, request.POST if request.method == "POST" else None, initial=asked)
    if request.method == "POST" and form.is_valid() and _is_kept(request, form):
        return redirect("rules")
    context = {"form": form, "may_add": bool(mine), "mailboxes": [_view(one) for one in mailboxes]}
    return render(request, "owner/rules.html", context)


@require_POST
@signed_in
def remove_rule(request: HttpRequest, mailbox_id: int, rule_id: int) -> HttpResponse:
    """Removes one of the mailbox's own rules; one that is gone already changes nothing."""
    mailbox = own_mailbox(request, mailbox_id)
    if own_rules.remove_rule(mailbox.pk, rule_id):
        history.note_by_owner(mailbox, "A rule of its own was removed.", str(request.user))
        messages.success(request, "The rule is removed.")
    return redirect("rules")


@require_POST
@signed_in
def sender_pause(request: HttpRequest, mailbox_id: int) -> HttpResponse:
    """Sets how many minutes strangers' first mail to the mailbox waits."""
    mailbox = own_mailbox(request, mailbox_id)
    form = _pause_form(mailbox.pk, request.POST)
    if form.is_valid():
        own_rules.set_own_pause(mailbox.pk, form.cleaned_data["minutes"])
        history.note_by_owner(
            mailbox, f"Strangers' pause, in minutes: {form.cleaned_data['minutes']}", str(request.user)
        )
        messages.success(request, f"How long strangers wait who write to {mailbox.address} is kept.")
    else:
        messages.error(request, "Choose one of the times that are offered.")
    return redirect("rules")


def _is_kept(request: HttpRequest, form: RuleForm) -> bool:
    given = form.cleaned_data
    # Asked once more: the domain may have been switched off.
    mailbox = own_mailbox(request, given["mailbox"])
    try:
        rule = own_rules.set_rule(mailbox.pk, given["action"], given["sender"], given["note"])
    except ChangeRefused as error:
        form.add_error("sender", str(error))
        return False
    history.note_by_owner(mailbox, f"A rule: mail of {rule.about} {OUTCOMES[rule.action]}.", str(request.user))
    messages.success(request, f"Mail of {rule.about} to {mailbox.address} {OUTCOMES[rule.action]} from now on.")
    return True


def _pause_form(mailbox_id: int, data: Any = None) -> PauseForm:
    site_minutes = round(services.policy().first_sender_pause.total_seconds() / 60)
    return PauseForm(site_minutes, own_rules.own_pause(mailbox_id), data, auto_id=f"pause-{mailbox_id}-%s")


def _view(mailbox: account.MailboxView) -> dict[str, Any]:
    return {
        "mailbox_id": mailbox.mailbox_id,
        "address": mailbox.address,
        "is_suspended": mailbox.is_suspended,
        "rules": [{"row": one, "outcome": OUTCOMES[one.action]} for one in own_rules.rules_of(mailbox.mailbox_id)],
        "pause": _pause_form(mailbox.mailbox_id),
    }
