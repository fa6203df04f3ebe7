"""What waits for a domain that has come to be hosted here: it arrives as it would have at the MX, instead of going out.

What is done with each is the pipeline's to say (mailsuite.pipeline.rehosted); here it is put in the words of delivery.
Reads the directory, so it runs in the queue reader's thread.
"""

import logging
from collections.abc import Sequence

from django.db import DatabaseError

from mailsuite.directory import lookup
from mailsuite.ids import new_id, reference
from mailsuite.mail.address import AddressError
from mailsuite.mail.header import MAX_HEADER_OCTETS
from mailsuite.pipeline.decisions import Refusal
from mailsuite.pipeline.direct import direct_services
from mailsuite.pipeline.rehosted import STILL_UNREAD, arrival
from mailsuite.queue.operations import Arrival, Claim
from mailsuite.writer.storage import MailStorage
from smtpd_service.outbound.courier import Delivery
from smtpd_service.outbound.transaction import Fate, Outcome

logger = logging.getLogger(__name__)

HEAD_OCTETS = MAX_HEADER_OCTETS
HOSTED = "the domain is hosted here by now"


class RehostedMail:
    """`storage` has the messages; `srs_secrets` sign the reverse-paths of what goes on from here."""

    def __init__(self, hostname: str, storage: MailStorage, srs_secrets: Sequence[bytes]) -> None:
        self._storage, self._hostname = storage, hostname
        self._services = direct_services(hostname, srs_secrets)

    def find(self, claims: Sequence[Claim]) -> dict[int, Delivery]:
        """What is done with those of the claims that are for us, by recipient id."""
        found = ((claim.recipient_id, self._of(claim)) for claim in claims)
        return {recipient_id: delivery for recipient_id, delivery in found if delivery}

    def _of(self, claim: Claim) -> Delivery | None:
        try:
            # Mail that was kept for the host's own postmaster is for us, though the name is not hosted.
            if claim.destination != self._hostname and lookup.hosted_domain(claim.destination) is None:
                return None
            return self._judge(claim)
        except AddressError:
            return None
        except OSError as error:
            logger.error("%s can't be read: %s", claim.blob, error)
            return _delivery(Fate.LATER, "4.3.0", "the message can't be read now", "unreadable")
        except DatabaseError:
            raise
        except Exception:
            # One that can't be understood must not keep the others from going out, nor bounce because of us.
            number = reference(new_id())
            logger.exception("%s can't be filed here: %s", reference(claim.message_id), number)
            return _delivery(Fate.LATER, "4.3.0", f"internal error {number}", "internal-error")

    def _judge(self, claim: Claim) -> Delivery:
        found = arrival(self._services, claim, lambda: self._head(claim))
        if isinstance(found, Refusal):
            fate = Fate.LATER if found.reply.is_transient else Fate.NEVER
            text = found.reply.text if found.reason == STILL_UNREAD else f"{HOSTED}: {found.reply.text}"
            return _delivery(fate, found.reply.enhanced_code or "5.0.0", text, found.reason)
        return _delivery(Fate.DELIVERED, "2.0.0", f"{HOSTED}, so the message did not go out", "hosted-here", found)

    def _head(self, claim: Claim) -> bytes:
        with self._storage.open(claim.blob) as blob:
            return blob.read(0, HEAD_OCTETS)


def _delivery(fate: Fate, status: str, text: str, reason: str, arrival: Arrival | None = None) -> Delivery:
    return Delivery(Outcome(fate, status, text, reason), dialog=f"*: {text}", arrival=arrival)
