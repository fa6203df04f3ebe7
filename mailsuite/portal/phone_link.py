"""Links that hand a mailbox's profile to a phone that is not signed in: signed, and good for minutes.

What they lead to holds no password; still a link says that an address exists, and so is nobody's to guess.
"""

from datetime import timedelta

from django.core import signing

from mailsuite.directory.models import Domain, Mailbox

LIFETIME = timedelta(minutes=15)
_SALT = "mailsuite.web.phone-link"


def token_for(mailbox: Mailbox) -> str:
    """The token of a link to the mailbox's profile, good for LIFETIME."""
    return signing.dumps([mailbox.pk, mailbox.user.credential_version], salt=_SALT)


def mailbox_for(token: str) -> Mailbox | None:
    """The mailbox of a link that still holds: a change of the password ends it, as time does."""
    try:
        mailbox_id, version = signing.loads(token, salt=_SALT, max_age=LIFETIME)
    except (signing.BadSignature, ValueError):
        return None
    live = Mailbox.objects.using("reader").filter(state=Mailbox.State.ACTIVE, domain__state=Domain.State.ACTIVE)
    return live.filter(pk=mailbox_id, user__credential_version=version, user__is_active=True).first()
