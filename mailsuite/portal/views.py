"""The pages of those who have a mailbox: /, /sign-in, /password, /app-passwords, /sign-ins. More: junk.py, rules.py."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import segno
from django.contrib import messages
from django.contrib.auth import logout, update_session_auth_hash
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import LoginView
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from mailsuite.autoconfig import apple_profile, client_settings
from mailsuite.directory import history
from mailsuite.directory.account_events import OWNER
from mailsuite.directory.models import Credential, Mailbox, User
from mailsuite.portal import account, phone_link
from mailsuite.portal.forms import AppPasswordForm, PasswordForm, SignInForm
from mailsuite.provisioning import services
from mailsuite.web import hosts, own_password
from mailsuite.web.client import client_address

MOST_APP_PASSWORDS = 50
View = Callable[..., HttpResponse]


class SignIn(LoginView):
    template_name = "owner/sign_in.html"
    authentication_form = SignInForm
    redirect_authenticated_user = True


sign_in = never_cache(SignIn.as_view())


def signed_in(view: View) -> View:
    """A page for one who is signed in and whose account still holds; never kept by browser or proxy."""

    @never_cache
    @login_required
    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not account.may_sign_in(_user(request)):
            logout(request)
            return redirect("sign-in")
        return view(request, *args, **kwargs)

    return guarded


def own_mailbox(request: HttpRequest, mailbox_id: int) -> Mailbox:
    """The mailbox, in use and the person's own; 404 for every other."""
    mailbox = account.mailbox_of(_user(request), mailbox_id)
    if mailbox is None:
        raise Http404
    return mailbox


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """Ends the session."""
    logout(request)
    return redirect("sign-in")


@require_safe
@signed_in
def overview(request: HttpRequest) -> HttpResponse:
    """Each mailbox with what it holds, and how to set up programs and telephones."""
    context = {
        "mailboxes": account.mailboxes_of(_user(request)),
        "ways": _ways(),
        "has_profile": apple_profile.is_possible(),
    }
    return render(request, "owner/overview.html", context)


@require_safe
@signed_in
def phone(request: HttpRequest, mailbox_id: int) -> HttpResponse:
    """A QR code that hands the profile to a telephone."""
    mailbox = own_mailbox(request, mailbox_id)
    if not apple_profile.is_possible():
        raise Http404
    link = request.build_absolute_uri(reverse("phone-profile", args=[phone_link.token_for(mailbox)]))
    context = {
        "mailbox": mailbox,
        "link": link,
        "code": _qr_code(link),
        "minutes": int(phone_link.LIFETIME.total_seconds() // 60),
        "is_loopback": hosts.is_loopback(hosts.name_of(request.get_host())),
    }
    return render(request, "owner/phone.html", context)


@require_safe
@signed_in
def profile(request: HttpRequest, mailbox_id: int) -> HttpResponse:
    """The mailbox's profile for Apple's devices, to whoever is signed in."""
    mailbox = own_mailbox(request, mailbox_id)
    if not apple_profile.is_possible():
        raise Http404
    return _profile(mailbox.address, mailbox.name or mailbox.user.name)


@require_safe
@never_cache
def phone_profile(request: HttpRequest, token: str) -> HttpResponse:
    """The profile for whoever holds a fresh link."""
    mailbox = phone_link.mailbox_for(token)
    if mailbox is None or not apple_profile.is_possible():
        return render(request, "owner/link_over.html", status=404)
    return _profile(mailbox.address, mailbox.name or mailbox.user.name)


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def password(request: HttpRequest) -> HttpResponse:
    """The form that changes the password, and the change: of all browsers this one alone stays signed in."""
    user = _user(request)
    is_first = user.must_change_password
    form = PasswordForm(user, request.POST or None)
    if request.method == "POST" and form.is_valid() and _old_password_is_right(request, user, form):
        hashed = services.hash_password(form.cleaned_data["new_password"], email=user.email, name=user.name)
        services.set_user_password(user.pk, hashed, by=OWNER, client_address=client_address(request))
        history.note_by_owner(user, "A new password.", str(user))
        user.refresh_from_db()
        # This browser stays signed in, with a new session; every other one is signed out.
        update_session_auth_hash(request, user)
        messages.success(
            request,
            "Your password is changed. Programs that used the old one will ask for the new one. App passwords are not "
            "changed by it.",
        )
        return redirect(_first_page(user) if is_first else "password")
    return render(request, "owner/password.html", {"form": form, "is_first": is_first})


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def app_passwords(request: HttpRequest) -> HttpResponse:
    """The list, and the form that makes one; a new one is shown in the answer to the form, and nowhere else."""
    user = _user(request)
    form = AppPasswordForm(request.POST or None)
    made, label = "", ""
    if request.method == "POST" and form.is_valid() and _old_password_is_right(request, user, form):
        if len(account.app_passwords_of(user)) >= MOST_APP_PASSWORDS:
            form.add_error(None, f"You have {MOST_APP_PASSWORDS} app passwords: revoke some first.")
        else:
            label = form.cleaned_data["label"]
            new = services.add_app_password(
                user.pk,
                label,
                scopes=form.cleaned_data["scopes"],
                expires_at=form.expires_at(),
                by=OWNER,
                client_address=client_address(request),
            )
            history.note_by_owner(user, f"A new app password: {label}", str(user))
            made, form = new.password, AppPasswordForm()
    context = {"form": form, "made": made, "label": label, "app_passwords": account.app_passwords_of(user)}
    return render(request, "owner/app_passwords.html", context)


@require_POST
@signed_in
def revoke_app_password(request: HttpRequest, credential_id: int) -> HttpResponse:
    """Ends one app password; one that is ended already changes nothing."""
    found = Credential.objects.filter(user=_user(request), pk=credential_id, revoked_at=None).first()
    if found is not None:
        services.revoke_app_password(found.pk)
        history.note_by_owner(found, "Revoked.", str(request.user))
        messages.success(request, f"The app password “{found.label}” is revoked.")
    return redirect("app-passwords")


@require_safe
@signed_in
def sign_ins(request: HttpRequest) -> HttpResponse:
    """The latest sign-ins and failures of the account."""
    context = {"logins": account.logins_of(_user(request)), "days": account.LOGINS_FROM.days}
    return render(request, "owner/sign_ins.html", context)


def _first_page(user: User) -> str:
    """Where one goes on who was kept at the password: administrators may have no mailbox."""
    return "admin:index" if user.is_staff else "overview"


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user


def _ways() -> list[dict[str, Any]]:
    """The servers by what they are for, the recommended one of each first."""
    servers = client_settings.servers()
    purposes = (("imap", "Reading mail", "IMAP"), ("smtp", "Sending mail", "SMTP"), ("pop3", "Fetching mail", "POP3"))
    found = [
        {"purpose": purpose, "name": name, "servers": [one for one in servers if one.protocol == protocol]}
        for protocol, purpose, name in purposes
    ]
    return [way for way in found if way["servers"]]


def _old_password_is_right(request: HttpRequest, user: User, form: PasswordForm | AppPasswordForm) -> bool:
    """Adds what is wrong with it to the form."""
    problem = own_password.problem_with(request, user, form.cleaned_data["old_password"])
    if problem:
        form.add_error("old_password", problem)
    return not problem


def _profile(address: str, name: str) -> HttpResponse:
    response = HttpResponse(apple_profile.profile(address, name), content_type=apple_profile.CONTENT_TYPE)
    response["Content-Disposition"] = 'attachment; filename="mail.mobileconfig"'
    return response


def _qr_code(link: str) -> SafeString:
    """An SVG with a quiet zone, without colours: the page's style gives them."""
    code = segno.make(link, error="l", micro=False)
    svg = code.svg_inline(dark="#000", light="#fff", border=4, omitsize=True, svgclass=None, lineclass=None)
    return mark_safe(svg)
