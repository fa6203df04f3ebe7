"""The forms of the owner's pages."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm

from mailsuite.access.password_hasher import LONGEST_TYPED
from mailsuite.directory.models import User
from mailsuite.provisioning import services

_SCOPES = (
    ("imap", "Read mail (IMAP)"),
    ("pop3", "Fetch mail (POP3)"),
    ("smtp", "Send mail (SMTP)"),
)
_RULE_ACTIONS = (
    ("allow", "Always to the inbox"),
    ("junk", "Always to Junk"),
    ("block", "Refuse it"),
)
_PAUSES = (0, 5, 15, 30, 60)
_LIFETIMES = (("0", "Until I revoke it"), ("30", "30 days"), ("90", "90 days"), ("365", "One year"))


class SignInForm(AuthenticationForm):
    """Says the same of a wrong password, an unknown address and an account that may not sign in."""

    error_messages = {
        "invalid_login": "That address and password don't fit together. After several wrong passwords signing in "
        "pauses for some minutes.",
        "inactive": "That address and password don't fit together.",
    }
    username = forms.CharField(
        label="E-mail address",
        max_length=320,
        # Not type=email: browsers would refuse local-parts beyond ASCII (RFC 6531).
        widget=forms.TextInput(
            attrs={"inputmode": "email", "autocomplete": "username", "autofocus": True, "autocapitalize": "none"}
        ),
    )
    password = forms.CharField(
        label="Password",
        strip=False,
        max_length=LONGEST_TYPED,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )


def _current_password() -> forms.CharField:
    """Whether it is right is the view's to ask."""
    return forms.CharField(
        label="Current password",
        strip=False,
        max_length=LONGEST_TYPED,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )


class PasswordForm(forms.Form):
    """Takes the new password twice."""

    old_password = _current_password()
    new_password = forms.CharField(
        label="New password",
        strip=False,
        max_length=LONGEST_TYPED,
        help_text="At least 10 characters. A few words that only you would put together are good.",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    repeated = forms.CharField(
        label="New password again",
        strip=False,
        max_length=LONGEST_TYPED,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        self._user = user
        super().__init__(*args, **kwargs)

    def clean_new_password(self) -> str:
        password: str = self.cleaned_data["new_password"]
        try:
            services.check_strength(password, self._user.email, self._user.name)
        except services.ChangeRefused as error:
            raise forms.ValidationError(str(error)) from None
        return password

    def clean(self) -> dict[str, Any] | None:
        data = super().clean() or {}
        if data.get("old_password") and data.get("new_password") == data["old_password"]:
            self.add_error("new_password", "This is the password that you have: choose another one.")
        if "repeated" in data and data.get("new_password", data["repeated"]) != data["repeated"]:
            self.add_error("repeated", "This is not the same as the new password above.")
        return data


class AppPasswordForm(forms.Form):
    """Asks for the account's password: who finds a browser open must not take away a key to the mail."""

    label = forms.CharField(
        label="Device or program",
        max_length=100,
        widget=forms.TextInput(attrs={"placeholder": "Phone, laptop, printer…", "autocomplete": "off"}),
    )
    scopes = forms.MultipleChoiceField(
        label="May be used to",
        choices=_SCOPES,
        initial=["imap", "smtp"],
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Choose at least one."},
    )
    lifetime = forms.ChoiceField(label="Valid", choices=_LIFETIMES, initial="0")
    old_password = _current_password()

    def expires_at(self) -> datetime | None:
        """When the new app password ends; None for never."""
        days = int(self.cleaned_data["lifetime"])
        return datetime.now(UTC) + timedelta(days=days) if days else None


class RuleForm(forms.Form):
    """What is to become of a sender's mail. `mailboxes` are the owner's that are in use: no other can be chosen."""

    mailbox = forms.TypedChoiceField(label="Mailbox", coerce=int)
    sender = forms.CharField(
        label="Sender",
        max_length=500,
        help_text="An address, or a domain such as example.org for everybody there and below it.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}),
    )
    action = forms.ChoiceField(label="What to do with its mail", choices=_RULE_ACTIONS, initial="junk")
    note = forms.CharField(
        label="Note (for yourself)",
        max_length=200,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )

    def __init__(self, mailboxes: Sequence[tuple[int, str]], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choice = self.fields["mailbox"]
        assert isinstance(choice, forms.TypedChoiceField)
        choice.choices = list(mailboxes)
        if len(mailboxes) == 1:
            choice.widget, self.initial["mailbox"] = forms.HiddenInput(), mailboxes[0][0]


class PauseForm(forms.Form):
    """How many minutes strangers wait; "" leaves it to the site, whose own are `site_minutes`."""

    minutes = forms.TypedChoiceField(
        label="Senders who write for the first time", coerce=int, required=False, empty_value=None
    )

    def __init__(self, site_minutes: int, own_minutes: int | None, data: Any = None, *, auto_id: str) -> None:
        super().__init__(data, auto_id=auto_id)
        choice = self.fields["minutes"]
        assert isinstance(choice, forms.TypedChoiceField)
        choice.initial = "" if own_minutes is None else own_minutes
        known = sorted({*_PAUSES, *(() if own_minutes is None else (own_minutes,))})
        choice.choices = [("", f"As this host does it: {_waits(site_minutes)}"), *((one, _waits(one)) for one in known)]


def _waits(minutes: int) -> str:
    return f"wait {minutes} minute{'' if minutes == 1 else 's'}" if minutes else "don't wait"
