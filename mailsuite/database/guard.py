"""What keeps rows of mail from being changed past the store: a folder's counts, the quota, sessions that are open and
blobs depend on them, and a QuerySet's update() or delete() tells none of these.

Reading is free to everybody. Writing is for the project's own modules, which know what belongs together; whoever else
tries (a shell, a view, another app, the admin) is told the right call before anything has changed. It guards against
mistakes, not against those who mean it: SQL is a door that stays open.
"""

import sys
from typing import Any, ClassVar, TypeVar

from django.db import models

M = TypeVar("M", bound=models.Model)

OWN_PACKAGES = {"mailsuite", "retrieval", "smtpd_service"}
# Between a caller and this module.
_PASSED_THROUGH = ("mailsuite.database.guard", "django.db.")


class BypassesStore(RuntimeError):
    """A row was to be changed past the store; nothing was. The text names the right call."""


def check_caller(model: type[models.Model], call: str) -> None:
    """Raises BypassesStore unless a module of the project has asked for this."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(_PASSED_THROUGH):
        frame = frame.f_back
    if frame.f_globals.get("__name__", "").partition(".")[0] in OWN_PACKAGES:
        return
    instead = getattr(model, "change_by", "") or "the functions of mailsuite.store.shell"
    raise BypassesStore(
        f"{model.__name__} rows can't be changed by {call}(): folders, quota and open sessions would know nothing of "
        f"it. Use {instead}."
    )


class GuardedQuerySet(models.QuerySet[M]):
    """Reads like any other; each way to write asks `check_caller` first."""

    def create(self, **kwargs: Any) -> M:
        """As Django's, for the project's own modules. Raises BypassesStore for others."""
        check_caller(self.model, "create")
        return super().create(**kwargs)

    def bulk_create(self, *args: Any, **kwargs: Any) -> list[M]:
        """As Django's, for the project's own modules. Raises BypassesStore for others."""
        check_caller(self.model, "bulk_create")
        return super().bulk_create(*args, **kwargs)

    def bulk_update(self, *args: Any, **kwargs: Any) -> int:
        """As Django's, for the project's own modules. Raises BypassesStore for others."""
        check_caller(self.model, "bulk_update")
        return super().bulk_update(*args, **kwargs)

    def update(self, **kwargs: Any) -> int:
        """As Django's, for the project's own modules. Raises BypassesStore for others."""
        check_caller(self.model, "update")
        return super().update(**kwargs)

    def delete(self) -> tuple[int, dict[str, int]]:
        """As Django's, for the project's own modules. Raises BypassesStore for others."""
        check_caller(self.model, "delete")
        return super().delete()

    # As Django marks its own: a template may call none of these, and a manager has no delete().
    create.alters_data = bulk_create.alters_data = bulk_update.alters_data = True  # type: ignore[attr-defined]
    update.alters_data = delete.alters_data = delete.queryset_only = True  # type: ignore[attr-defined]


class StoreOwned(models.Model):
    """A row that the store alone changes; `change_by` names what does it for others."""

    change_by: ClassVar[str] = ""
    objects = models.Manager.from_queryset(GuardedQuerySet)()

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        """As Django's, for the project's own modules. Raises BypassesStore for others."""
        check_caller(type(self), "save")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """As Django's, for the project's own modules. Raises BypassesStore for others."""
        check_caller(type(self), "delete")
        return super().delete(*args, **kwargs)


class UndeletedQuerySet(models.QuerySet[M]):
    """Of rows that mail hangs on: deleting one would delete that, past the store."""

    def delete(self) -> tuple[int, dict[str, int]]:
        """As Django's, for the project's own modules. Raises BypassesStore for others."""
        check_caller(self.model, "delete")
        return super().delete()

    delete.alters_data = delete.queryset_only = True  # type: ignore[attr-defined]


class MailHolder(models.Model):
    """A row that mail hangs on: anybody may change it, its removal is `change_by`'s."""

    change_by: ClassVar[str] = ""
    objects = models.Manager.from_queryset(UndeletedQuerySet)()

    class Meta:
        abstract = True

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """As Django's, for the project's own modules. Raises BypassesStore for others."""
        check_caller(type(self), "delete")
        return super().delete(*args, **kwargs)
