"""What waits for a domain that has come to be hosted here: it arrives as it would have at the MX, instead of going out.

The recipient is resolved again; what it leads to is filed from the content that the queue holds, in the transaction
that settles it. Reads the directory, so it runs in the queue reader's thread.
"""

import logging
from collections.abc import Sequence

from django.db import DatabaseError

from mailsuite.directory import lookup
from mailsuite.directory.resolution import Resolution
from mailsuite.ids import new_id, reference
from mailsuite.mail.address import AddressError, Path, parse_path
from mailsuite.mail.header import MAX_HEADER_OCTETS, collect_fields, header_end
from mailsuite.pipeline import decisions
from mailsuite.pipeline.decisions import Refusal
from mailsuite.pipeline.delivery_plan import Client, DeliveryPlanner, PlannedMessage, Recipient, address_keys
from mailsuite.pipeline.destinations import Destinations
from mailsuite.queue.operations import Arrival, Claim
from mailsuite.writer.storage import MailStorage
from smtpd_service.outbound.courier import Delivery
from smtpd_service.outbound.transaction import Fate, Outcome

logger = logging.getLogger(__name__)

HEAD_OCTETS = MAX_HEADER_OCTETS
HOSTED = "the domain is hosted here by now"


class Homecomings:
    """`storage` has the messages; `srs_secrets` sign the reverse-paths of what goes on from here."""

    def __init__(self, hostname: str, storage: MailStorage, srs_secrets: Sequence[bytes]) -> None:
        self._storage, self._hostname = storage, hostname
        self._composer = DeliveryPlanner(hostname, srs_secrets)

    def find(self, claims: Sequence[Claim]) -> dict[int, Delivery]:
        """What is done with those of the claims that are for us, by recipient id."""
        found = ((claim.recipient_id, self._of(claim)) for claim in claims)
        return {recipient_id: delivery for recipient_id, delivery in found if delivery}

    def _of(self, claim: Claim) -> Delivery | None:
        try:
            # Mail that was kept for the host's own postmaster is for us, though the name is not hosted.
            if claim.destination != self._hostname and lookup.hosted_domain(claim.destination) is None:
                return None
            return self._judge(claim, parse_path(f"<{claim.recipient.forward_path}>"))
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

    def _judge(self, claim: Claim, path: Path) -> Delivery:
        resolution = lookup.resolve(path)
        if any(target.address == claim.recipient.forward_path for target in resolution.kept):
            return _delivery(
                Fate.LATER, "4.2.1", f"nobody reads {claim.recipient.forward_path} yet", "no-administrator"
            )
        found = decisions.recipient(resolution, may_relay=False) or self._room_and_places(claim, path, resolution)
        if isinstance(found, Refusal):
            reply = found.reply
            fate = Fate.LATER if reply.is_transient else Fate.NEVER
            return _delivery(fate, reply.enhanced_code or "5.0.0", f"{HOSTED}: {reply.text}", found.reason)
        return _delivery(Fate.DELIVERED, "2.0.0", f"{HOSTED}, so the message did not go out", "hosted-here", found)

    def _room_and_places(self, claim: Claim, path: Path, resolution: Resolution) -> Arrival | Refusal:
        destinations = Destinations.of(path, resolution)
        used = lookup.used_octets([one for one, copy in destinations.copies.items() if copy.target.quota_octets])
        if refusal := decisions.quota(destinations.whole(), used, claim.size_octets):
            return refusal
        return self._places(claim, Recipient(claim.recipient, path, resolution.domain_id), destinations)

    def _places(self, claim: Claim, recipient: Recipient, destinations: Destinations) -> Arrival | Refusal:
        """Where it goes from here; what stands in front of it in the queue is its trace."""
        with self._storage.open(claim.blob) as blob:
            head = claim.prefix + blob.read(0, HEAD_OCTETS)
        before = collect_fields(head[: header_end(head, 0, len(head))]).get(b"delivered-to", [])
        accepted = PlannedMessage(
            story_id=claim.story_id or claim.message_id,
            at=claim.created_at,
            spool="",
            size_octets=claim.size_octets,
            eight_bit=claim.envelope.eight_bit,
            is_header_ascii=not claim.envelope.smtputf8,
            client=Client("", ""),
            envelope=claim.envelope,
            reverse_path=parse_path(f"<{claim.envelope.reverse_path}>"),
            recipients=[recipient],
            destinations=destinations,
            rewrites_sender=bool(destinations.forwards) and self._rewrites_sender(claim),
            delivered_before=address_keys(before),
        )
        return self._composer.places(accepted, claim.prefix)

    def _rewrites_sender(self, claim: Claim) -> bool:
        return lookup.hosted_domain(claim.envelope.reverse_path.rpartition("@")[2]) is None


def _delivery(fate: Fate, status: str, text: str, reason: str, arrival: Arrival | None = None) -> Delivery:
    return Delivery(Outcome(fate, status, text, reason), dialog=f"*: {text}", arrival=arrival)
