"""The buttons beside a group of the queue: what they post, and what comes of it."""

from typing import Any

from django import forms
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import reverse

from mailsuite.adminkit import proof
from mailsuite.adminkit.scoping import ACT
from mailsuite.directory import history
from mailsuite.queue import groups
from mailsuite.queue.models import QueuedMessage

# The buttons, and what the histories of the messages call them.
LABELS = {"retry": "Retry now", "fail": "Fail with bounce"}


class GroupForm(forms.Form):
    """Which group it is: one that the page had, by then perhaps gone."""

    destination = forms.CharField(max_length=255, strip=False)
    cause = forms.CharField(max_length=40, required=False, strip=False)


def group_view(admin: Any, request: HttpRequest, verb: str) -> HttpResponse:
    """Does it to all that wait for a destination for one cause, as far as they are the person's, by POST alone."""
    if verb not in LABELS:
        raise Http404
    if not admin.allows(request, ACT):
        raise PermissionDenied
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    form = GroupForm(request.POST)
    if not form.is_valid():
        raise BadRequest("no group of the queue")
    back, group = reverse("admin:queue_queuedmessage_changelist"), form.cleaned_data
    if verb == "fail":
        proof.demand(request, f"Give up on all that waits for {group['destination']}, and tell the senders.", back)
    messages = admin.in_scope(request, QueuedMessage.objects.all())
    admin.act(request, lambda: _do(verb, messages, group["destination"], group["cause"], str(request.user)))
    return HttpResponseRedirect(back)


def _do(verb: str, messages: Any, destination: str, cause: str, by: str) -> str:
    retries = verb == "retry"
    done = groups.retry(messages, destination, cause) if retries else groups.fail(messages, destination, cause, by)
    rows = QueuedMessage.objects.filter(pk__in=done.message_ids)
    history.note_all(rows.iterator(), f"{LABELS[verb]}: all that waits for {destination}.", by)
    told = f"{done.count} message{'' if done.count == 1 else 's'} for {destination} "
    told += "tried again now." if retries else "given up; the senders are told."
    return f"{told} There are {done.left} more: press once more for the next." if done.left else told
