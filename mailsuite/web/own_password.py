"""Whether somebody who is signed in can name the account's password: asked as if they signed in anew, so that an open
browser buys no more guesses than anybody has."""

import time

from django.http import HttpRequest

from mailsuite.access import authentication
from mailsuite.adminkit import proof
from mailsuite.directory.models import Domain, Mailbox, User
from mailsuite.web.backend import LONGEST_DELAY_SECONDS
from mailsuite.web.client import client_address


def problem_with(request: HttpRequest, user: User, password: str) -> str:
    """Why the password is not taken, for the person; "" when it is right, which proves who is at the browser."""
    answer = authentication.authenticate(
        _login_name(user), password, protocol="web", client_address=client_address(request)
    )
    time.sleep(min(answer.delay_seconds, LONGEST_DELAY_SECONDS))
    if answer.succeeded and answer.user_id == user.pk:
        proof.note(request)
        return ""
    if answer.reason == "too-many-failures":
        return "There were too many wrong passwords. Wait some minutes, then try again."
    return "This is not your current password."


def _login_name(user: User) -> str:
    """A name that the account signs in by now."""
    live = Mailbox.objects.using("reader").filter(user=user, state=Mailbox.State.ACTIVE)
    first = live.filter(domain__state=Domain.State.ACTIVE).values_list("address", flat=True).first()
    return user.email if user.is_staff or first is None else first
