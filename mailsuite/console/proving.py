"""The page that asks an administrator for the password once more, before an act that does harm (adminkit.proof).

It holds what was posted, and posts it again together with the password: with the right one the act is done at once.
"""

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.contrib.auth.signals import user_logged_in
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.cache import add_never_cache_headers

from mailsuite.adminkit import proof
from mailsuite.adminkit.proof import PasswordWanted
from mailsuite.directory.models import User
from mailsuite.web import own_password

FIELD = "proving_password"
_NOT_REPEATED = {FIELD, "csrfmiddlewaretoken"}


class Proving:
    """Middleware. Comes after that which knows who is signed in and that which refuses other sites' posts."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> None:
        """Takes the password from what was posted. A wrong one proves nothing: the act then asks again."""
        if request.method == "POST" and FIELD in request.POST:
            user = request.user
            if isinstance(user, User) and user.is_active and user.is_staff:
                problem = own_password.problem_with(request, user, request.POST[FIELD])
                request.proving_problem = problem  # type: ignore[attr-defined]

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """The page that asks, where an act wants the password; None for every other exception."""
        return _ask(request, exception) if isinstance(exception, PasswordWanted) else None


def _ask(request: HttpRequest, wanted: PasswordWanted) -> HttpResponse:
    posted = [(name, value) for name, values in request.POST.lists() if name not in _NOT_REPEATED for value in values]
    context = admin.site.each_context(request) | {
        "title": "Your password, please",
        "act": wanted.act,
        "back": wanted.back,
        "posted": posted,
        "field": FIELD,
        "problem": getattr(request, "proving_problem", ""),
        "minutes": proof.LASTS_SECONDS // 60,
    }
    response = TemplateResponse(request, "admin/prove.html", context, status=403).render()
    add_never_cache_headers(response)
    return response


def note_sign_in(sender: Any, request: HttpRequest, **kwargs: Any) -> None:
    """Who signs in has just given the password."""
    proof.note(request)


def connect() -> None:
    """Has each sign-in count as the password given just now."""
    user_logged_in.connect(note_sign_in, dispatch_uid="mailsuite.console.proving")
