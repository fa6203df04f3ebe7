"""The submission side of a session (RFC 6409): our own users, who have logged in, writing as themselves."""

import asyncio

from mailsuite.mail import reply as replies
from mailsuite.mail.reply import Reply
from smtpd_service.inbound import decisions
from smtpd_service.inbound.decisions import Refusal
from smtpd_service.inbound.parameters import Mail
from smtpd_service.inbound.reception import Reception
from smtpd_service.inbound.sasl import Credentials


class Submission(Reception):
    kind = "submission"
    may_relay = True

    async def login(self, credentials: Credentials) -> Reply:
        """Log in, or fail as slowly as the directory says."""
        answer = await self._here.directory.login(credentials.name, credentials.password, self.client.address)
        await asyncio.sleep(answer.delay_seconds)
        if answer.submitter is None:
            return self.refuse(decisions.LOGIN_BLOCKED if answer.try_later else decisions.LOGIN_FAILED)
        self.client.submitter = answer.submitter
        return replies.AUTHENTICATED

    async def _refuse_sender(self, mail: Mail) -> Refusal | None:
        submitter, address = self.client.submitter, mail.reverse_path.address
        assert submitter is not None
        if not await self._here.directory.still_holds(submitter):
            return decisions.LOGIN_REVOKED
        if address is None or await self._here.directory.may_send_as(submitter.user_id, address):
            return None
        return decisions.SENDER_NOT_OWNED
