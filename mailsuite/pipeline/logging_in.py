"""A login at the doors for our people: who writes, before the first message."""

import asyncio

from mailsuite.mail import reply as replies
from mailsuite.mail.reply import Reply
from mailsuite.pipeline import decisions
from mailsuite.pipeline.intakes import SUBMISSION
from mailsuite.pipeline.parties import Client
from mailsuite.pipeline.refusing import refuse_client
from mailsuite.pipeline.transaction import Services
from mailsuite.protocol.sasl import Credentials


async def log_in(services: Services, client: Client, credentials: Credentials) -> Reply:
    """Log the client in, or fail as slowly as the directory says; a success is noted as its submitter."""
    name, password = credentials.authentication_identity, credentials.password
    answer = await services.directory.login(name, password, client.address)
    await asyncio.sleep(answer.delay_seconds)
    if answer.submitter is None:
        refusal = decisions.LOGIN_BLOCKED if answer.try_later else decisions.LOGIN_FAILED
        return refuse_client(services, SUBMISSION, client, refusal)
    client.submitter = answer.submitter
    return replies.AUTHENTICATED
