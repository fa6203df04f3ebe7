"""Form fields, and cells of lists, that the admin pages of all rooms share."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.utils import timezone
from django.utils.formats import localize
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextInputWidget, UnfoldBooleanWidget

from mailsuite.adminkit.scoping import scope_of
from mailsuite.directory import parsing
from mailsuite.directory.account_events import OWNER
from mailsuite.directory.models import KEPT_REMOVED, Domain, Mailbox, User
from mailsuite.errors import ChangeRefused
from mailsuite.sizes import write_limit

# More than that can't be chosen from: their names are written.
MOST_DOMAINS = 1000
TONES = {"active": "good", "suspended": "waiting", "disabled": "waiting", "removed": "bad"}


class QuotaField(forms.CharField):
    """Octets, written as `500M`, `2G` or `none`; empty is None, which is refused where something was there before."""

    widget = UnfoldAdminTextInputWidget

    def __init__(self, **kwargs: Any) -> None:
        help_text = kwargs.pop("help_text", "Such as 500M or 2G; none for no limit.")
        super().__init__(**{"required": False, "help_text": help_text} | kwargs)

    def prepare_value(self, value: Any) -> Any:
        """Octets as people write them."""
        return write_limit(value) if isinstance(value, int) else value

    def to_python(self, value: Any) -> int | None:  # type: ignore[override]
        """The octets, None for an empty field. Raises ValidationError for what is no quota."""
        if value in self.empty_values:
            return None
        try:
            return parsing.quota(str(value))
        except ChangeRefused as error:
            raise ValidationError(str(error)) from None


class DomainPicker(UnfoldAdminTextInputWidget):  # type: ignore[misc]
    """An address in two parts, the second chosen from `domains`; a whole address in the first is taken as it is. A form
    that was not posted yet may begin with a domain alone, as `@example.org`."""

    template_name = "admin/domain_picker.html"

    def __init__(self, domains: Sequence[str]) -> None:
        super().__init__(attrs={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"})
        self.domains = domains
        # What was chosen in the form that was posted.
        self.posted: str | None = None

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        typed = str(value or "")
        local_part, _, domain = typed.rpartition("@")
        # Of what was posted `@example.org` is a catch-all, which stays as it was written.
        if domain in self.domains and (local_part or self.posted is None):
            typed, chosen = local_part, domain
        else:
            chosen = self.posted or ""
        context: dict[str, Any] = super().get_context(name, typed, attrs)
        context["widget"] |= {"domains": self.domains, "chosen": chosen}
        return context

    def value_from_datadict(self, data: Any, files: Any, name: str) -> str:
        self.posted = str(data.get(f"{name}_domain", ""))
        return whole_address(data, name)


def whole_address(posted: Any, name: str = "address") -> str:
    """The address that a DomainPicker has posted. Nothing before the @ is no address: for an alias it would be a
    catch-all, which somebody has to write."""
    typed, domain = str(posted.get(name, "")).strip(), str(posted.get(f"{name}_domain", ""))
    return f"{typed}@{domain}" if typed and domain and "@" not in typed else typed


def offered_domains(domains: QuerySet[Domain]) -> list[str]:
    """The names to choose from, of those that the person may see."""
    return list(
        domains.filter(state=Domain.State.ACTIVE).order_by("name").values_list("name", flat=True)[:MOST_DOMAINS]
    )


def require_quota(form: Any, name: str = "quota_octets") -> None:
    """On the page of what is there already: that there is to be no limit has to be said."""
    field = form.base_fields[name]
    field.required = True
    field.help_text = "Such as 500M or 2G; none for no limit."
    field.error_messages["required"] = "Write a quota such as 2G, or none for no limit."


def password_field(help_text: str, *, required: bool = False) -> forms.CharField:
    """A field for a new password."""
    return forms.CharField(
        label="Password",
        required=required,
        strip=False,
        help_text=help_text,
        # A form that was refused for something else still has it; its page is stored nowhere (Cache-Control).
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}, render_value=True),
    )


def must_change_field() -> forms.BooleanField:
    """Beside a password that is set for somebody else."""
    return forms.BooleanField(
        label="Must be changed",
        required=False,
        initial=True,
        help_text="At the first sign-in to the web pages, by its owner. Mail programs can use this one meanwhile.",
        widget=UnfoldBooleanWidget,
    )


def is_for_first_sign_in(request: HttpRequest, form: Any, user: User | None) -> bool:
    """Whether a password that was set has to be changed: never one's own."""
    return bool(form.cleaned_data["must_change"]) and (user is None or user.pk != request.user.pk)


def who_does(request: HttpRequest, user: User) -> str:
    """What an account's owner is told of who changed it."""
    return OWNER if user.pk == request.user.pk else f"the administrator {request.user}"


def badge(text: str, tone: str = "plain") -> SafeString:
    """A word in a coloured field; the tone is good, waiting, bad or plain."""
    return format_html('<span class="ms-badge ms-{}">{}</span>', tone, text)


def moment(at: datetime | None, never: str = "–") -> SafeString:
    """A time that stays on one line."""
    return format_html('<span class="ms-time">{}</span>', localize(timezone.localtime(at)) if at else never)


def as_lines(text: str) -> SafeString | str:
    """Text in several lines, as it stands: a page of the admin would make one line of it."""
    return format_html('<span class="ms-value ms-lines">{}</span>', text) if text else "-"


def usage_bar(used: int, quota: int) -> SafeString:
    """What is used of a quota, as a bar that turns red over 90 %."""
    if not quota:
        return format_html('<span class="ms-usage">{}, no quota</span>', filesizeformat(used))
    percent = min(100, used * 100 // quota)
    tone = "bad" if percent >= 90 else "waiting" if percent >= 75 else "good"
    return format_html(
        '<span class="ms-usage"><span class="ms-bar"><span class="ms-fill ms-{}" style="width:{}%"></span></span>'
        "{} of {}</span>",
        tone,
        percent,
        filesizeformat(used),
        filesizeformat(quota),
    )


def refuse_foreign_domain(request: HttpRequest, domain_text: str) -> None:
    """Raises ChangeRefused when the domain is not the person's to change."""
    domains = scope_of(request)
    if domains is not None and parsing.live_domain(domain_text).pk not in domains:
        raise ChangeRefused(f"{parsing.domain_name(domain_text)} is not one of your domains.")


def refuse_foreign_account(request: HttpRequest, user: User | None) -> None:
    """Raises ChangeRefused when the account is an administrator's or reaches beyond the person's domains; one that was
    removed with its mailboxes, when one of them can be restored there. It is named to those who know its domain."""
    domains = scope_of(request)
    if domains is None or user is None:
        return
    beyond = user.mailboxes.exclude(domain__in=domains)
    beyond = (
        beyond.filter(removed_at__gt=timezone.now() - KEPT_REMOVED)
        if user.removed_at
        else beyond.exclude(state=Mailbox.State.REMOVED)
    )
    if user.is_staff or beyond.exists():
        is_known = Domain.objects.filter(pk__in=domains, name=user.address_key.rpartition("@")[2]).exists()
        account = f"The account {user.email}" if is_known else "The account of this mailbox"
        raise ChangeRefused(f"{account} is not yours to change: ask the host's administrator.")


def refuse_wider_administrator(request: HttpRequest, user: User) -> None:
    """Raises ChangeRefused when the account administers more than the person does: what its mailbox gets (alarms,
    postmaster's mail) is of others, too, and not the person's to lead elsewhere."""
    domains = scope_of(request)
    if domains is None or not user.is_staff:
        return
    others = user.administered_domains.exclude(state=Domain.State.REMOVED).exclude(pk__in=domains)
    if user.is_superuser or others.exists():
        raise ChangeRefused("This mailbox is of somebody who administers more than you do: ask them to do it.")
