"""The admin's pages of accounts, app passwords and permissions to send as somebody."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.models import Group
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from mailsuite.access.credentials import SCOPES
from mailsuite.adminkit.fields import (
    badge,
    is_for_first_sign_in,
    must_change_field,
    password_field,
    refuse_foreign_account,
    who_does,
)
from mailsuite.adminkit.scoping import ACT, ADD, CHANGE, VIEW, ScopedAdmin, ServiceForm, Verb, scope_of
from mailsuite.directory.models import Credential, Mailbox, User
from mailsuite.provisioning import services
from mailsuite.provisioning.accounts import add_account, change_account

# Who may do what is told by domains, not by Django's groups.
admin.site.unregister(Group)


class UserForm(ServiceForm):
    password = password_field("At least ten characters.")
    must_change = must_change_field()

    class Meta:
        model = User
        fields = ["email", "name", "is_active", "is_staff", "is_superuser"]
        labels = {
            "is_staff": "Administers domains",
            "is_superuser": "Administers everything",
            "is_active": "May sign in",
        }
        help_texts = {
            "is_staff": "Which ones is set at each domain.",
            "is_superuser": "All domains, routes, the queue and all accounts.",
            "is_active": "",
        }


@admin.register(User)
class UserAdmin(ScopedAdmin):
    intro = "Who signs in: owners of mailboxes, and those who administer domains or everything."
    form = UserForm
    scope = ("mailboxes__domain",)
    superusers_may = frozenset({VIEW, ADD, CHANGE})
    domain_administrators_may = frozenset({VIEW})
    list_display = ("email", "name", "role", "mailbox_list", "last_login")
    list_filter = ("is_superuser", "is_staff", "is_active")
    asks_password = frozenset({ADD, CHANGE})
    search_fields = ("email", "name")
    ordering = ("email",)

    def in_scope(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Of a domain administrator: accounts that have mailboxes in their domains alone, and no administrators."""
        domains = scope_of(request)
        rows = super().in_scope(request, rows)
        if domains is None:
            return rows
        elsewhere = Mailbox.objects.filter(user=OuterRef("pk")).exclude(domain__in=domains)
        own = rows.filter(is_staff=False).exclude(Exists(elsewhere.exclude(state=Mailbox.State.REMOVED)))
        return own

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).filter(removed_at=None).prefetch_related("mailboxes")

    def get_fields(self, request: HttpRequest, obj: User | None = None) -> list[str]:
        if scope_of(request) is not None:
            return ["email", "name", "password_state", "mailbox_list", "last_login"]
        fields = ["email", "password", "must_change", "name", "is_active", "is_staff", "is_superuser"]
        return [*fields, "password_state", "mailbox_list", "last_login"] if obj else fields

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        facts = ("password_state", "mailbox_list", "last_login")
        return ("email", *facts) if obj else facts

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        fields = ["name", "is_active", "is_staff", "is_superuser"]
        if scope_of(request) is not None:
            return super().get_form(request, obj, change=change, **kwargs | {"fields": ["name"]})
        form = super().get_form(
            request, obj, change=change, **kwargs | {"fields": fields if obj else ["email", *fields]}
        )
        form.base_fields["password"].required = obj is None
        if obj is not None:
            form.base_fields["password"].help_text = "Leave empty to keep it. A new one ends all sessions."
        return form

    def prepare(self, request: HttpRequest, object_id: str | None) -> None:
        request.password_hash = ""  # type: ignore[attr-defined]
        if self.allows(request, CHANGE) and (password := request.POST.get("password", "")):
            user = self.find(request, object_id) if object_id else None
            email = user.email if user else request.POST.get("email", "")
            request.password_hash = services.hash_password(password, email=email)  # type: ignore[attr-defined]

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        given, hashed = form.cleaned_data, request.password_hash  # type: ignore[attr-defined]
        if change:
            flags = {name: given[name] for name in ("name", "is_active", "is_staff", "is_superuser")}
            must_change = is_for_first_sign_in(request, form, obj)
            change_account(obj.pk, password_hash=hashed, must_change=must_change, by=who_does(request, obj), **flags)
            return
        flags = {name: given[name] for name in ("name", "is_staff", "is_superuser")}
        obj.pk = add_account(given["email"], hashed, must_change=given["must_change"], **flags)
        obj.refresh_from_db()

    @admin.display(description="Role")
    def role(self, user: User) -> SafeString:
        if not user.is_active:
            return badge("switched off", "waiting")
        if user.is_superuser:
            return badge("superuser", "good")
        return badge("domain administrator", "good") if user.is_staff else badge("owner", "plain")

    @admin.display(description="Password now")
    def password_state(self, user: User) -> SafeString:
        if not user.must_change_password:
            return badge("holds until it is changed", "plain")
        return badge("to be changed at the next sign-in", "waiting")

    @admin.display(description="Mailboxes")
    def mailbox_list(self, user: User) -> str:
        live = [mailbox.address for mailbox in user.mailboxes.all() if mailbox.state != Mailbox.State.REMOVED]
        return ", ".join(live[:3]) + (f" and {len(live) - 3} more" if len(live) > 3 else "") or "none"


class CredentialForm(ServiceForm):
    scopes = forms.MultipleChoiceField(
        choices=[("smtp", "send mail (SMTP)"), ("imap", "read by IMAP"), ("pop3", "pick up by POP3")],
        initial=SCOPES,
        label="Good for",
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )

    class Meta:
        model = Credential
        fields = ["user", "label", "scopes", "expires_at"]
        help_texts = {"label": "The device or program it is for.", "expires_at": "Empty: it does not expire."}


@admin.register(Credential)
class CredentialAdmin(ScopedAdmin):
    intro = (
        "Passwords for single programs and devices. They open mail and no web page, and stay valid when the account's "
        "password is changed: revoke those of lost devices, and all of an account whose password was stolen."
    )
    form = CredentialForm
    scope = ("user__mailboxes__domain",)
    superusers_may = domain_administrators_may = frozenset({VIEW, ADD, ACT})
    list_display = ("label", "user", "scopes", "state_badge", "last_used_at", "created_at")
    search_fields = ("label", "user__email")
    autocomplete_fields = ("user",)
    asks_password = frozenset({ADD})
    verbs = (Verb("revoke", "Revoke", "block", "Void this app password now?", lambda c: c.revoked_at is None),)

    def in_scope(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        rows = super().in_scope(request, rows)
        return rows.filter(user__in=self.visible(request, User).order_by().values("pk"))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Credential]:
        return super().get_queryset(request).select_related("user")

    def get_fields(self, request: HttpRequest, obj: Credential | None = None) -> list[str]:
        fields = ["user", "label", "scopes", "expires_at"]
        return [*fields, "last_used_at", "created_at", "revoked_at"] if obj else fields

    def save_model(self, request: HttpRequest, obj: Credential, form: Any, change: bool) -> None:
        given = form.cleaned_data
        refuse_foreign_account(request, given["user"])
        new = services.add_app_password(
            given["user"].pk,
            given["label"],
            scopes=given["scopes"],
            expires_at=given["expires_at"],
            by=who_does(request, given["user"]),
        )
        obj.pk = new.credential_id
        obj.refresh_from_db()
        obj.password = new.password  # type: ignore[attr-defined]

    def response_add(self, request: HttpRequest, obj: Credential, post_url_continue: str | None = None) -> HttpResponse:
        """The password in the answer itself: a message would carry it in a cookie or keep it in the session."""
        context = self.admin_site.each_context(request) | {
            "title": f"The app password “{obj.label}”",
            "credential": obj,
            "password": obj.password,  # type: ignore[attr-defined]
        }
        response = TemplateResponse(request, "admin/app_password.html", context)
        add_never_cache_headers(response)
        return response

    def do_revoke(self, request: HttpRequest, credential: Credential) -> str:
        services.revoke_app_password(credential.pk)
        return f"{credential} is void."

    @admin.display(description="State")
    def state_badge(self, credential: Credential) -> SafeString:
        if credential.revoked_at:
            return badge("revoked", "bad")
        expired = credential.expires_at and credential.expires_at < timezone.now()
        return badge("expired", "waiting") if expired else badge("in force", "good")
