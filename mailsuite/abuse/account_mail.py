"""Owners told by mail of what happened to their account (directory.account_events).

Each mail to a mailbox has an id before it is filed, under which it is filed once: a crash, or a store that is away,
neither loses one nor doubles it. Many events make one mail, and an account gets MAILS_A_DAY: what comes after waits for
the next. Of an administrator without a mailbox it is told where alarms go (abuse.telling).
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from mailsuite.abuse import telling
from mailsuite.abuse.telling import Matter
from mailsuite.database.stored_time import lately
from mailsuite.directory.models import AccountEvent, Mailbox, User
from mailsuite.ids import new_id
from mailsuite.pipeline.notices import file_notice, notice

logger = logging.getLogger(__name__)

MAILS_A_DAY = 6
DAY = timedelta(days=1)
# Accounts in one turn, and events in one mail.
MOST_ACCOUNTS = 200
MOST_EVENTS = 50

_SUBJECTS = {
    AccountEvent.Kind.PASSWORD: "Your password was changed",
    AccountEvent.Kind.APP_PASSWORD: "There is a new app password for your mail",
    AccountEvent.Kind.SIGN_IN: "A sign-in from a new network",
    AccountEvent.Kind.DELIVERY: "Where your mail goes was changed",
}
_SEVERAL = "What happened to your account"
TEXT = """\
This happened to the account {account}:

{events}

If that was you, or somebody who may, all is well. If not, somebody else knows
your password: change it on the web pages of your account, and revoke there
the app passwords that you don't know. The page "Sign-ins" shows who came in
from where. If you can't get in any more, ask whoever runs this mail host.
"""
SIGN_INS = """\

Programs that roam are told of five times in a month at most, sign-ins to the
web pages from a new network always.
"""


def tell(now: datetime) -> int:
    """Files a mail for each account with something to tell; returns how many."""
    waiting = AccountEvent.objects.filter(told_at=None).order_by().values_list("user", flat=True).distinct()
    told = 0
    for user in User.objects.filter(pk__in=list(waiting[:MOST_ACCOUNTS])):
        try:
            told += _tell(user, now)
        except Exception:
            # One account's trouble is not to keep the others from being told; its events stay, and are tried again.
            logger.exception("the owner of account %d can't be told what happened to it", user.pk)
    return told


def _tell(user: User, now: datetime) -> bool:
    mailbox = _reader(user)
    if mailbox is None and not user.is_staff:
        AccountEvent.objects.filter(user=user, told_at=None).update(told_at=now)
        logger.info("account %d has no mailbox, so nobody is told what happened to it", user.pk)
        return False
    events = _claimed(user) or _claim(user, now)
    if not events:
        return False
    subject = _SUBJECTS[AccountEvent.Kind(events[0].kind)] if len(events) == 1 else _SEVERAL
    lines = "\n".join(f"- {_line(event)}" for event in events)
    has_sign_in = any(event.kind == AccountEvent.Kind.SIGN_IN for event in events)
    text = TEXT.format(account=user.email, events=lines) + (SIGN_INS if has_sign_in else "")
    if mailbox is not None:
        file_notice(notice(mailbox, subject, text, "account", now, story_id=events[0].story_id))
    else:
        telling.tell(Matter(f"The administrator's account {user.email}", text, "account"), now)
    AccountEvent.objects.filter(story_id=events[0].story_id).update(told_at=now)
    return True


def _claimed(user: User) -> Sequence[AccountEvent]:
    """Those of a mail that was begun, and may be filed already."""
    first = AccountEvent.objects.filter(user=user, told_at=None).exclude(story_id=None).order_by("pk").first()
    return list(AccountEvent.objects.filter(story_id=first.story_id).order_by("pk")) if first else []


def _claim(user: User, now: datetime) -> Sequence[AccountEvent]:
    """Those that the next mail tells, under the id that it will have; none while the day's mails are used up."""
    told = AccountEvent.objects.filter(lately("told_at", now, DAY), user=user).exclude(story_id=None)
    if told.order_by().values("story_id").distinct().count() >= MAILS_A_DAY:
        return []
    waiting = AccountEvent.objects.filter(user=user, told_at=None, story_id=None).order_by("pk")
    ids = list(waiting.values_list("pk", flat=True)[:MOST_EVENTS])
    story_id = new_id()
    AccountEvent.objects.filter(pk__in=ids, story_id=None).update(story_id=story_id)
    return list(AccountEvent.objects.filter(story_id=story_id).order_by("pk"))


def _reader(user: User) -> Mailbox | None:
    """The mailbox of the account's own address, else its oldest."""
    kept = Mailbox.objects.filter(user=user).exclude(state=Mailbox.State.REMOVED).select_related("domain")
    return kept.filter(address_key=user.address_key).first() or kept.order_by("pk").first()


def _line(event: AccountEvent) -> str:
    where = f", from {event.client_address}" if event.client_address else ""
    match event.kind:
        case AccountEvent.Kind.PASSWORD:
            said = f"the password was changed by {event.by}{where}"
        case AccountEvent.Kind.APP_PASSWORD:
            said = f"the app password {event.what} was made by {event.by}{where}"
        case AccountEvent.Kind.DELIVERY:
            said = f"{event.what}; done by {event.by}"
        case _:
            said = f"a first sign-in from the network {event.what}{where}"
    return f"{event.at:%d %B %Y, %H:%M} UTC: {said}."
