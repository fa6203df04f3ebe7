"""mailsuite.W007: the TLSA records that were last seen in DNS match no key of this host."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Warning
from django.db import DatabaseError, connections

from mailsuite.transport_security.models import DaneLook


def check_tlsa(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """What the last look has found; asks no DNS, and says nothing before the tables are there."""
    was_open = connections["reader"].connection is not None
    try:
        looks = DaneLook.objects.using("reader").filter(hostname=settings.MAILSUITE.hostname)
        look = looks.filter(state=DaneLook.State.MISMATCH).first()
    except DatabaseError:
        return []
    finally:
        if not was_open:
            connections["reader"].close()
    if look is None:
        return []
    return [Warning(look.text, hint="Look again with: manage.py certificate check", id="mailsuite.W007")]
