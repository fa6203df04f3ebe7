"""Has those whose password somebody else knows choose one of their own before the web does anything else for them.

Mail programs are let in by such a password: who was given it by letter sets up the telephone first.
"""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from mailsuite.directory.models import User

# By the names of their URLs: where the password is changed, and the ways in and out.
_OPEN = {"password", "sign-in", "sign-out", "admin:login", "admin:logout", "admin:jsi18n"}


class MustChange:
    """Middleware. Comes after that which knows who is signed in."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponse | None:
        user = request.user
        if not (isinstance(user, User) and user.must_change_password):
            return None
        match = request.resolver_match
        return None if match is not None and match.view_name in _OPEN else redirect("password")
