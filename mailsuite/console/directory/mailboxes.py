"""The admin's pages of mailboxes."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Max, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget, UnfoldBooleanWidget

from mailsuite.adminkit.fields import (
    TONES,
    DomainPicker,
    QuotaField,
    badge,
    is_for_first_sign_in,
    moment,
    must_change_field,
    offered_domains,
    password_field,
    refuse_foreign_account,
    refuse_foreign_domain,
    refuse_wider_administrator,
    require_quota,
    usage_bar,
    who_does,
    whole_address,
)
from mailsuite.adminkit.scoping import (
    ACT,
    ADD,
    CHANGE,
    VIEW,
    ScopedAdmin,
    ScopedFilter,
    ServiceForm,
    Verb,
    scope_of,
)
from mailsuite.adminkit.verb_pages import VerbPage, VerbPages
from mailsuite.directory import parsing
from mailsuite.directory.models import Domain, Mailbox, User
from mailsuite.errors import ChangeRefused
from mailsuite.provisioning import effects, services, suspension
from mailsuite.provisioning.removal import ends_account
from mailsuite.queue.held_mail import held_count, held_mail


class MailboxForm(ServiceForm):
    quota_octets = QuotaField(label="Quota", help_text="Such as 500M or 2G; none for no limit; empty for the domain's.")
    password = password_field("At least ten characters. Also the password of the account's web pages.")
    must_change = must_change_field()

    class Meta:
        model = Mailbox
        fields = ["address", "name", "quota_octets"]


class ForwardForm(forms.Form):
    targets = forms.CharField(
        label="Addresses",
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="One a line, here or elsewhere. Empty: its mail is forwarded no more.",
    )
    keep = forms.BooleanField(label="Keep a copy in the mailbox", required=False, widget=UnfoldBooleanWidget)

    @staticmethod
    def ask(mailbox: Mailbox) -> dict[str, Any]:
        targets, keeps = services.forwarding_of(mailbox)
        return {"targets": "\n".join(targets), "keep": keeps}


class RenameForm(forms.Form):
    address = forms.CharField(label="New address", widget=UnfoldAdminTextInputWidget)


def _has_app_passwords(mailbox: Mailbox) -> bool:
    return services.app_passwords_in_force(mailbox.user_id).exists()


def _has_held(mailbox: Mailbox) -> bool:
    return held_count(mailbox.pk) > 0


class StateFilter(admin.SimpleListFilter):
    title, parameter_name = "state", "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("active", "active"), ("suspended", "suspended")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(state=self.value()) if self.value() else queryset


@admin.register(Mailbox)
class MailboxAdmin(VerbPages, ScopedAdmin):
    intro = "Addresses that keep mail, each with an account that opens it."
    form = MailboxForm
    scope = ("domain",)
    superusers_may = domain_administrators_may = frozenset({VIEW, ADD, CHANGE, ACT})
    list_display = ("address", "name", "used", "state_badge", "last_login")
    list_filter = (StateFilter, ("domain", ScopedFilter))
    search_fields = ("address", "name")
    ordering = ("address_key",)
    actions = ("suspend", "resume")
    verbs = (
        Verb(
            "suspend",
            "Suspend",
            "pause",
            "Refuse its logins, end its sessions and hold its mail in the queue?",
            lambda m: m.state == "active",
        ),
        Verb(
            "resume",
            "Resume",
            "play_arrow",
            "Let its owner sign in again, and whoever else knows its password or one of its app passwords? If they may "
            "be stolen, set a new password and revoke the app passwords first.",
            lambda m: m.state == "suspended",
            asks_password=True,
        ),
        Verb(
            "revoke_app_passwords",
            "Revoke app passwords",
            "key_off",
            "Void all app passwords of its account? The programs and devices that use them need new ones.",
            _has_app_passwords,
        ),
        Verb(
            *("release_held", "Send held mail", "send", "Send all of its mail that is held in the queue?", _has_held),
            asks_password=True,
        ),
        Verb(
            *("drop_held", "Drop held mail", "delete_sweep", "Drop its held mail without telling anybody?", _has_held),
            asks_password=True,
        ),
        Verb("forward", "Forward", "forward_to_inbox", has_page=True, asks_password=True),
        Verb("rename", "Rename", "drive_file_rename_outline", has_page=True, asks_password=True),
        Verb("remove", "Remove", "delete", has_page=True, asks_password=True),
    )
    verb_pages = {
        "forward": VerbPage(
            "Forward mail of {}",
            lambda request, mailbox: [
                "Its mail goes on to these addresses, by the same rules as an alias' mail; what is taken for junk does "
                "not. Its owner signs in, and sends, as before."
            ],
            ForwardForm,
            ForwardForm.ask,
        ),
        "rename": VerbPage("Give {} another address", lambda request, mailbox: [effects.renaming(mailbox)], RenameForm),
        "remove": VerbPage("Remove {}?", lambda request, mailbox: effects.of_mailbox(mailbox, scope_of(request))),
    }

    def get_queryset(self, request: HttpRequest) -> QuerySet[Mailbox]:
        rows = super().get_queryset(request).exclude(state=Mailbox.State.REMOVED)
        rows = rows.select_related("usage", "domain", "user")
        return rows.annotate(login_at=Max("user__logins__at", filter=Q(user__logins__succeeded=True)))  # type: ignore[no-any-return]

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        mailbox = super().get_object(request, object_id, from_field)
        if mailbox is not None:
            mailbox.seen_by = request
        return mailbox

    def get_fields(self, request: HttpRequest, obj: Mailbox | None = None) -> list[str]:
        if obj is None:
            return ["address", "password", "must_change", "name", "quota_octets"]
        facts = ["app_passwords", "owner", "created_at", "last_login"]
        return [
            "address",
            "state_told",
            "name",
            "quota_octets",
            "used",
            "held",
            "forwarding",
            "password",
            "must_change",
            *facts,
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Mailbox | None = None) -> tuple[str, ...]:
        facts = ("owner", "created_at", "last_login")
        return ("address", "state_told", "used", "held", "forwarding", "app_passwords", *facts) if obj else ()

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        fields = ["name", "quota_octets"] if obj else ["address", "name", "quota_octets"]
        form = super().get_form(request, obj, change=change, **kwargs | {"fields": fields})
        if obj is not None:
            form.base_fields[
                "password"
            ].help_text = (
                "Leave empty to keep it. A new one ends all sessions; app passwords stay valid until they are revoked."
            )
            require_quota(form)
        else:
            form.base_fields["address"].widget = DomainPicker(offered_domains(self.visible(request, Domain)))
        return form

    def is_dangerous(self, request: HttpRequest, what: str, object_id: str | None = None) -> bool:
        """A new password lets somebody in."""
        has_password = bool(request.POST.get("password"))
        return super().is_dangerous(request, what, object_id) or (what in (ADD, CHANGE) and has_password)

    def prepare(self, request: HttpRequest, object_id: str | None) -> None:
        """Hashes before the transaction, and asks whether this person may."""
        request.password_hash = ""  # type: ignore[attr-defined]
        password, mailbox = request.POST.get("password", ""), self.find(request, object_id) if object_id else None
        if object_id and mailbox is None:
            return
        if mailbox is not None:
            user, email = mailbox.user, mailbox.user.email
        else:
            address = parsing.address(whole_address(request.POST))
            refuse_foreign_domain(request, address.domain)
            user = User.objects.filter(address_key=address.key).first()
            email = str(address)
            refuse_foreign_account(request, user)
        if not password:
            return
        refuse_foreign_account(request, user)
        name = request.POST.get("name", "")
        request.password_hash = services.hash_password(password, email=email, name=name)  # type: ignore[attr-defined]

    def save_model(self, request: HttpRequest, obj: Mailbox, form: Any, change: bool) -> None:
        given, hashed = form.cleaned_data, request.password_hash  # type: ignore[attr-defined]
        if change:
            services.change_mailbox(obj.address, name=given["name"], quota_octets=given["quota_octets"])
            if hashed:
                must_change = is_for_first_sign_in(request, form, obj.user)
                services.set_user_password(obj.user_id, hashed, must_change=must_change, by=who_does(request, obj.user))
            return
        obj.pk = services.add_mailbox(
            given["address"],
            name=given["name"],
            quota_octets=given["quota_octets"],
            password_hash=hashed,
            must_change=given["must_change"],
        )
        obj.refresh_from_db()

    @admin.action(description="Suspend: refuse logins, end sessions, hold queued mail")
    def suspend(self, request: HttpRequest, queryset: QuerySet[Mailbox]) -> None:
        for mailbox in queryset:
            self.act(request, lambda mailbox=mailbox: self.do_suspend(request, mailbox))  # type: ignore[misc]

    @admin.action(description="Resume")
    def resume(self, request: HttpRequest, queryset: QuerySet[Mailbox]) -> None:
        for mailbox in queryset:
            self.act(request, lambda mailbox=mailbox: self.do_resume(request, mailbox))  # type: ignore[misc]

    def do_suspend(self, request: HttpRequest, mailbox: Mailbox) -> str:
        count = suspension.suspend(mailbox.address)
        others = suspension.still_open(mailbox.pk)
        return f"{mailbox} is suspended; messages held in the queue: {count}. Mail to it is still taken.{others}"

    def do_resume(self, request: HttpRequest, mailbox: Mailbox) -> str:
        services.resume_mailbox(mailbox.address)
        count = held_count(mailbox.pk)
        rest = f" Of its mail {count} in the queue are still held: send or drop them." if count else ""
        return f"{mailbox} is active.{rest}"

    def do_revoke_app_passwords(self, request: HttpRequest, mailbox: Mailbox) -> str:
        refuse_foreign_account(request, mailbox.user)
        count = services.revoke_all_app_passwords(mailbox.user_id)
        return f"App passwords of {mailbox.user} that are void now: {count}."

    def do_release_held(self, request: HttpRequest, mailbox: Mailbox) -> str:
        return f"Messages of {mailbox} that go on: {suspension.release_held(mailbox.address)}."

    def do_drop_held(self, request: HttpRequest, mailbox: Mailbox) -> str:
        return f"Messages of {mailbox} that are dropped: {suspension.drop_held(mailbox.address, str(request.user))}."

    def do_forward(self, request: HttpRequest, mailbox: Mailbox) -> str:
        refuse_wider_administrator(request, mailbox.user)
        given = self.given(request, "forward")
        if targets := given["targets"].replace(",", "\n").split():
            by = who_does(request, mailbox.user)
            services.forward_mailbox(mailbox.address, targets, keep=given["keep"], by=by)
        elif services.forwarding_of(mailbox)[0]:
            services.stop_forwarding(mailbox.address)
        return f"Mail of {mailbox} {effects.forwarded(mailbox)}."

    def do_rename(self, request: HttpRequest, mailbox: Mailbox) -> str:
        refuse_wider_administrator(request, mailbox.user)
        address = self.given(request, "rename")["address"]
        refuse_foreign_domain(request, parsing.address(address).domain)
        if mailbox.user.address_key == mailbox.address_key:
            refuse_foreign_account(request, mailbox.user)
        services.rename_mailbox(mailbox.address, address, by=who_does(request, mailbox.user))
        return f"{mailbox} is {address} now. {effects.renamed(mailbox.address, address)}"

    def do_remove(self, request: HttpRequest, mailbox: Mailbox) -> str:
        refuse_wider_administrator(request, mailbox.user)
        if mailbox.user.is_staff and ends_account(mailbox):
            refuse_foreign_account(request, mailbox.user)
        services.remove_mailbox(mailbox.address)
        return f"{mailbox} is removed. {effects.KEPT}"

    @admin.display(description="Used", ordering="usage__used_octets")
    def used(self, mailbox: Mailbox) -> SafeString:
        return usage_bar(mailbox.usage.used_octets, mailbox.quota_octets)

    @admin.display(description="Held in the queue")
    def held(self, mailbox: Mailbox) -> str:
        return held_mail(mailbox)

    @admin.display(description="Its mail")
    def forwarding(self, mailbox: Mailbox) -> str:
        return effects.forwarded(mailbox)

    @admin.display(description="App passwords")
    def app_passwords(self, mailbox: Any) -> str:
        """How many open its account, as a link to them."""
        try:
            refuse_foreign_account(mailbox.seen_by, mailbox.user)
        except ChangeRefused:
            return "another account's"
        count = services.app_passwords_in_force(mailbox.user_id).count()
        url = reverse("admin:directory_credential_changelist", query={"q": mailbox.user.email})
        return format_html('<a class="ms-link" href="{}">{} in force</a>', url, count) if count else "none"

    @admin.display(description="State", ordering="state")
    def state_badge(self, mailbox: Mailbox) -> SafeString:
        return badge(mailbox.state, TONES.get(mailbox.state, "plain"))

    @admin.display(description="State")
    def state_told(self, mailbox: Mailbox) -> SafeString:
        """The same with what it means, on the mailbox's page."""
        if mailbox.state != Mailbox.State.SUSPENDED:
            return self.state_badge(mailbox)
        return format_html(
            "{} Nobody gets in, by app passwords neither. Mail to it is taken; what it has in the queue is held.",
            self.state_badge(mailbox),
        )

    @admin.display(description="Last login", ordering="login_at")
    def last_login(self, mailbox: Any) -> Any:
        return moment(mailbox.login_at, "never")

    @admin.display(description="Account")
    def owner(self, mailbox: Any) -> str:
        try:
            refuse_foreign_account(mailbox.seen_by, mailbox.user)
        except ChangeRefused:
            return "another account"
        return str(mailbox.user.email)
