"""The form in front of the admin. Which of its reasons it is that keeps somebody out is not told."""

from unfold.forms import AuthenticationForm

_REFUSAL = (
    "That address and password don't fit together, or they are no administrator's. After several wrong passwords "
    "signing in pauses for some minutes."
)


class AdminSignInForm(AuthenticationForm):  # type: ignore[misc]
    error_messages = {"invalid_login": _REFUSAL, "inactive": _REFUSAL}
