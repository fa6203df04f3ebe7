"""The submission side of a session (RFC 6409): our own users, who have logged in, writing as themselves.

A message is completed and signed before it is filed: what is stored, delivered and queued are the signed octets. A
domain with an active key sends nothing unsigned: when signing fails, the client is told to try again.
"""

import asyncio
import logging
from datetime import datetime
from functools import partial

from mailsuite.ids import reference
from mailsuite.mail import reply as replies
from mailsuite.mail.address import Address, AddressError, Path, parse_address
from mailsuite.mail.encoded_word import decode_text
from mailsuite.mail.header import collect_fields, header_end, unfold
from mailsuite.mail.message import FROM_CHARACTERS
from mailsuite.mail.reply import Reply
from mailsuite.mail.submission import Authors, author_addresses, complete_authors, prepare_header
from mailsuite.mailauth.authentication_results import strip
from mailsuite.mailauth.dkim.body import RelaxedBodyHash
from mailsuite.mailauth.dkim.sign import SigningError, SigningKey, signature_fields
from mailsuite.pipeline import decisions
from mailsuite.pipeline.decisions import Refusal
from mailsuite.pipeline.transaction import Prepared, Reception
from mailsuite.protocol.sasl import Credentials
from mailsuite.server.spool import HEAD_OCTETS, SpoolFile, undisturbed

logger = logging.getLogger(__name__)


class Submission(Reception):
    """A session that may send anywhere, once it has logged in."""

    kind = "submission"
    may_relay = True

    async def login(self, credentials: Credentials) -> Reply:
        """Log in, or fail as slowly as the directory says."""
        answer = await self._here.directory.login(
            credentials.authentication_identity, credentials.password, self.client.address
        )
        await asyncio.sleep(answer.delay_seconds)
        if answer.submitter is None:
            return self.refuse(decisions.LOGIN_BLOCKED if answer.try_later else decisions.LOGIN_FAILED)
        self.client.submitter = answer.submitter
        return replies.AUTHENTICATED

    async def _refuse_sender(self, reverse_path: Path) -> Refusal | None:
        submitter, address = self.client.submitter, reverse_path.address
        if submitter is None or not await self._here.directory.still_holds(submitter):
            return decisions.LOGIN_REVOKED
        if submitter.mailbox_id and await self._here.directory.has_sent_too_much(submitter.mailbox_id):
            return decisions.SENT_TOO_MUCH
        # The null path is for receipts and vacation answers (RFC 3798 §3, RFC 3834 §3.3); From is checked all the same.
        if address is None or await self._here.directory.may_send_as(submitter.user_id, address):
            return None
        return decisions.SENDER_NOT_OWNED

    async def _prepare(self, file: SpoolFile, story_id: int, at: datetime) -> Prepared | Refusal:
        length = header_end(file.head, 0, len(file.head))
        if refusal := decisions.header(
            file.head[:length], limit_octets=HEAD_OCTETS, max_fields=decisions.MAX_SUBMITTED_FIELDS
        ):
            return refusal
        seed = reference(story_id)
        block = prepare_header(file.head[:length], hostname=self._here.hostname, now=at, message_id_seed=seed)
        # What a user writes in our name would be signed by us, and believed here (RFC 8601 §5).
        block, _ = strip(block, self._here.authserv_ids)
        given, own = "", self._own_address()
        is_report = self._reverse_path.is_null
        if own and (completed := complete_authors(block, own, is_report=is_report)) != block:
            given, block = _from_text(block), completed
        try:
            authors = author_addresses(block)
        except AddressError as error:
            return decisions.bad_from(str(error))
        if not await self._may_write_as(authors):
            return decisions.FROM_NOT_OWNED
        fields = collect_fields(block[: header_end(block, 0, len(block))])
        if refusal := decisions.hops(len(fields.get(b"received", ()))):
            return refusal
        keys = await self._signing_keys(authors.from_addresses[0])
        if keys is None:
            return decisions.SIGNING_FAILED
        try:
            if file.is_small:
                _complete(file, length, block, keys, at)
            else:
                await undisturbed(partial(_complete, file, length, block, keys, at))
        except SigningError as error:
            logger.error("%s: can't sign: %s", seed, error)
            return decisions.SIGNING_FAILED
        signed_by = tuple(f"{key.selector}._domainkey.{key.domain}" for key in keys)
        return Prepared(signed_by=signed_by, from_given=given)

    def _own_address(self) -> Address | None:
        """The address that a message without an author is from: the one in MAIL FROM, which was checked, or for the
        null path the name that was logged in with. None when that is no address."""
        assert self.client.submitter is not None
        try:
            return self._reverse_path.address or parse_address(self.client.submitter.name)
        except AddressError:
            return None

    async def _may_write_as(self, authors: Authors) -> bool:
        submitter = self.client.submitter
        assert submitter is not None
        for address in authors.all:
            if not await self._here.directory.may_send_as(submitter.user_id, address):
                return False
        return True

    async def _signing_keys(self, author: Address) -> tuple[SigningKey, ...] | None:
        """The keys of the author's domain; None when there are some that can't be read."""
        try:
            return await self._here.directory.signing_keys(author.domain)
        except Exception:
            # Whatever is wrong, the mail must wait: without a signature it would be taken for forged.
            logger.exception("the keys of %s can't be read", author.domain)
            return None


def _from_text(block: bytes) -> str:
    values = collect_fields(block[: header_end(block, 0, len(block))]).get(b"from")
    return (decode_text(unfold(values[0]), FROM_CHARACTERS) if values else "") or "none"


def _complete(file: SpoolFile, length: int, block: bytes, keys: tuple[SigningKey, ...], at: datetime) -> None:
    """Put the completed header, under its signatures, in place of the first `length` octets. Raises SigningError."""
    signatures = b""
    if keys:
        # The block may end with lines that its writer took for header fields: they are the body's first now.
        end = header_end(block, 0, len(block))
        body = RelaxedBodyHash()
        body.update(block[end:])
        for chunk in file.chunks(length):
            body.update(chunk)
        signatures = signature_fields(block[:end], body.digest(), keys, int(at.timestamp()))
    file.replace_head(length, signatures + block)
