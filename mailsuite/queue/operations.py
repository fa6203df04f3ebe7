"""What the delivery agent asks of the writer: recipients that are due, and the results of trying them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar

from msgspec import Struct

from mailsuite.mail.envelope import Envelope, EnvelopeRecipient
from mailsuite.store.operations import Deliver, LocalDelivery, Outgoing, ReportDelivery
from mailsuite.trace.operations import EventFacts
from mailsuite.writer.operation import Operation, Spooled


class Claim(Struct, frozen=True):
    """A recipient that is now ours to try until the lease ends, with what sending needs."""

    recipient_id: int
    message_id: int
    recipient: EnvelopeRecipient
    envelope: Envelope
    destination: str
    attempt_count: int
    warned: bool
    blob: str
    prefix: bytes
    size_octets: int
    created_at: datetime
    story_id: int | None = None


class ClaimDue(Operation[list[Claim]], frozen=True, tag=True):
    """Leases recipients that are due, those due longest first, and records the attempt before anybody is dialled.
    `fresh` takes only those that were never tried."""

    Answer: ClassVar[Any] = list[Claim]
    token: str
    limit: int
    lease_seconds: int
    busy_destinations: list[str] = []
    fresh: bool = False


class RenewClaims(Operation[list[int]], frozen=True, tag=True):
    """Answers those of the recipients that are still held by `token`, their lease now ending later; at once when
    `lease_seconds` is 0. `untried` takes back the attempt too: nothing was done about them."""

    frees: ClassVar[bool] = True
    Answer: ClassVar[Any] = list[int]
    lasting: ClassVar[bool] = True
    token: str
    recipient_ids: list[int]
    lease_seconds: int
    untried: bool = False


class Arrival(Struct, frozen=True):
    """What is filed of a queued message whose recipient turned out to be ours, from the content that the queue holds:
    the same as of a Deliver."""

    local: list[LocalDelivery] = []
    outgoing: list[Outgoing] = []
    reports: list[ReportDelivery] = []
    events: list[EventFacts] = []


class AttemptResult(Struct, frozen=True):
    """What came of one claim. `state` is queued (try again at `next_attempt_at`), delivered, relayed or failed."""

    recipient_id: int
    state: str
    reply: str
    next_attempt_at: datetime | None = None
    code: int | None = None
    enhanced_code: str = ""
    remote_host: str = ""
    remote_address: str = ""
    tls: str = ""
    dialog: str = ""
    reason: str = ""
    warned: bool = False
    arrival: Arrival | None = None


class Settle(Operation[list[int]], frozen=True, tag=True):
    """Writes results where the token is still the writer's own, with the DSNs they call for and the mail that arrives
    here after all, in one transaction.

    Answers the recipient ids that were written.
    """

    frees: ClassVar[bool] = True
    Answer: ClassVar[Any] = list[int]
    # What a host took is taken, whoever waits to hear that it was written down.
    lasting: ClassVar[bool] = True
    token: str
    results: list[AttemptResult]
    notifications: list[Deliver] = []

    def mailbox_ids(self) -> set[int]:
        arrivals = [result.arrival.local for result in self.results if result.arrival]
        local = [*arrivals, *(notification.local for notification in self.notifications)]
        return {delivery.mailbox_id for some in local for delivery in some}

    def files(self) -> Sequence[Spooled]:
        return self.notifications
