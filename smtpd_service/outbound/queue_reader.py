"""What the delivery worker reads for itself: when something is due, routes, whom to tell. In one thread of its own,
with a database connection of its own, so that no query ever stalls a connection to a remote host. Whatever is asked
raises StoreUnavailable while the database does not answer."""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import ParamSpec, TypeVar

from django.db import Error

from mailsuite.database.threads import DatabaseThreads
from mailsuite.mailauth.dkim.sign import SigningKey
from mailsuite.pipeline.notifications import compose_notifications
from mailsuite.queue.models import QueuedRecipient, Route
from mailsuite.queue.operations import Claim
from mailsuite.queue.outcomes import Fate
from mailsuite.queue.routes import route_password
from mailsuite.records.setup import versions_without_name
from mailsuite.secrets import SecretError
from mailsuite.signing import lookup as signing
from mailsuite.store.operations import Deliver
from mailsuite.trace.models import Story
from mailsuite.writer.operation import StoreUnavailable
from smtpd_service.outbound.courier import Delivery
from smtpd_service.outbound.rehosted_mail import RehostedMail
from smtpd_service.outbound.routing import RouteFacts, Security

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")
# Composing notifications reads messages; nobody waits longer for an answer.
ANSWER_SECONDS = 60.0
_SECURITY = {
    Route.Scheme.SMTP: Security.OPPORTUNISTIC,
    Route.Scheme.SMTP_STARTTLS: Security.STARTTLS,
    Route.Scheme.SMTPS: Security.IMPLICIT,
}


class QueueReader:
    """`rehosted` is for whoever delivers: it says what is done here instead."""

    def __init__(self, rehosted: RehostedMail | None = None) -> None:
        self._rehosted = rehosted
        self._database = DatabaseThreads("queue", seconds=ANSWER_SECONDS)

    async def next_due(self) -> datetime | None:
        """When the first recipient that waits is due; it may be long past."""
        return await self.ask(_next_due)

    async def held_by(self, token: str) -> list[int]:
        """The recipients that a worker of this token left behind."""
        return await self.ask(_held_by, token)

    async def routes(self) -> list[RouteFacts]:
        return await self.ask(_routes)

    async def versions_without_name(self) -> frozenset[int]:
        """The IP versions whose address here has no reverse name."""
        return await self.ask(versions_without_name)

    async def rehosted(self, claims: Sequence[Claim]) -> dict[int, Delivery]:
        """What is done here with those of the claims that are for us after all, by recipient id."""
        rehosted = self._rehosted
        return await self.ask(rehosted.find, claims) if rehosted else {}

    async def notifications(self, fates: Sequence[Fate], now: datetime) -> list[Deliver]:
        return await self.ask(compose_notifications, fates, now)

    async def signing_keys(self, claim: Claim, author_domain: str) -> tuple[SigningKey, ...]:
        """The keys with which a message of one of our users is signed; none for what came from elsewhere, whatever it
        says. Raises when there are some that can't be opened."""
        return await self.ask(_signing_keys, claim, author_domain)

    def close(self) -> None:
        self._database.close()

    async def ask(self, question: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The answer to a question that reads the database, in the thread for that. Raises StoreUnavailable:
        what was to be asked, or told, waits till there is a database again."""
        try:
            return await self._database.ask(question, *args, **kwargs)
        except TimeoutError:
            raise StoreUnavailable("the database does not answer in time") from None
        except Error as error:
            raise StoreUnavailable(str(error)) from error


def _next_due() -> datetime | None:
    waiting = QueuedRecipient.objects.using("reader").filter(settled_at=None).exclude(next_attempt_at=None)
    return waiting.order_by("next_attempt_at").values_list("next_attempt_at", flat=True).first()


def _held_by(token: str) -> list[int]:
    held = QueuedRecipient.objects.using("reader").filter(settled_at=None, claim_token=token)
    return list(held.exclude(claim_token="").values_list("pk", flat=True))


def _signing_keys(claim: Claim, author_domain: str) -> tuple[SigningKey, ...]:
    # Nobody submits in a name that is not theirs; stories outlive the mail that waits.
    submitted = Story.objects.using("reader").filter(pk=claim.story_id or 0, kind=Story.Kind.SUBMISSION)
    return signing.signing_keys(author_domain) if submitted.exists() else ()


def _routes() -> list[RouteFacts]:
    return [_facts(route) for route in Route.objects.using("reader").filter(is_active=True)]


def _facts(route: Route) -> RouteFacts:
    try:
        password = route_password(route)
    except SecretError as error:
        # The host will refuse the login, and the mail waits.
        logger.error("the password of the route for %s can't be read: %s", route.pattern, error)
        password = ""
    security = _SECURITY[Route.Scheme(route.scheme)]
    return RouteFacts(route.pattern, route.host, route.port, security, route.username, password)
