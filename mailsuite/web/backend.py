"""Signing in to the web, the admin included: the same check and the same throttle as over SMTP, IMAP and POP3."""

import time
from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from mailsuite.access import authentication
from mailsuite.directory.models import User
from mailsuite.web.client import client_address

# The few threads of the web service must not be put to sleep by strangers.
LONGEST_DELAY_SECONDS = 1.0


class PasswordBackend(ModelBackend):
    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        name = username or kwargs.get(User.USERNAME_FIELD) or ""
        if password is None:
            return None
        answer = authentication.authenticate(
            name, password, protocol="web", client_address=client_address(request) if request else ""
        )
        time.sleep(min(answer.delay_seconds, LONGEST_DELAY_SECONDS))
        if answer.reason == "too-many-failures":
            raise PermissionDenied
        if answer.user_id is None:
            return None
        return User.objects.filter(pk=answer.user_id).first()

    def user_can_authenticate(self, user: Any) -> bool:
        """Asked for each request of a session as well."""
        return user.removed_at is None and super().user_can_authenticate(user)
