"""The pipeline for code that runs in no event loop: periodic work, commands, whoever composes mail in a thread.

Its services answer at once, from the database of this thread, so that the stages never wait: they are run to their end
by one call.
"""

from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from mailsuite.directory import lookup
from mailsuite.directory.resolution import Resolution
from mailsuite.mail.address import Address, Path
from mailsuite.mailauth.dkim.sign import SigningKey
from mailsuite.pipeline.parties import Submitter
from mailsuite.pipeline.services import LoginAnswer
from mailsuite.pipeline.transaction import Services
from mailsuite.queue import kept
from mailsuite.signing import lookup as signing
from mailsuite.store import usage
from mailsuite.writer.run import execute
from mailsuite.writer.spool import Spool
from mailsuite.writer.storage import mail_storage

T = TypeVar("T")


class DirectDirectory:
    """The directory of this installation's database, asked in the caller's thread."""

    async def resolve(self, path: Path) -> Resolution:
        """Where mail to the path goes."""
        return lookup.resolve(path)

    async def is_hosted(self, domain: str) -> bool:
        """Whether the domain is one of ours."""
        return lookup.hosted_domain(domain) is not None

    async def used_octets(self, mailbox_ids: Sequence[int]) -> Mapping[int, int]:
        """What these mailboxes hold, by their ids."""
        return usage.used_octets(mailbox_ids)

    async def keeps_no_more(self, domain_id: int | None) -> bool:
        """Whether as much is kept for the domain's roles as is kept at all."""
        return kept.is_full(domain_id)

    async def may_send_as(self, user_id: int, address: Address) -> bool:
        """Whether the address is one of the user's."""
        return lookup.may_send_as(user_id, address)

    async def login(self, name: str, password: str, client_address: str) -> LoginAnswer:
        """Nobody logs in here: whoever submits by this way is vouched for by the caller."""
        return LoginAnswer(None)

    async def still_holds(self, submitter: Submitter) -> bool:
        """Whoever the caller vouches for may go on."""
        return True

    async def has_sent_too_much(self, mailbox_id: int) -> bool:
        """Left to the store, which counts, and holds in the queue what is too much."""
        return False

    async def signing_keys(self, domain: str) -> tuple[SigningKey, ...]:
        """The active keys of the domain. Raises SecretError when one can't be opened."""
        return signing.signing_keys(domain)


class DirectStore:
    """The writer's operations, run by the caller itself."""

    async def run(self, operation: Any) -> Any:
        """Does it at once. Raises what the writer raises."""
        return execute(operation)

    def send(self, operation: Any) -> None:
        """Nothing: what the writer gathers and may lose, such as refusals, the caller is told at once."""


def direct_services(hostname: str, srs_secrets: Sequence[bytes] = ()) -> Services:
    """What transactions need whose stages are run by `at_once`; nothing is evaluated. Their messages are in memory, and
    no spool file is made."""
    return Services(hostname, DirectDirectory(), DirectStore(), Spool(mail_storage()), srs_secrets)


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """Return what comes of it. Raises RuntimeError when it waits for something, which no stage may here."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        found: T = done.value
        return found
    coroutine.close()
    raise RuntimeError("a stage waits, where nothing can be waited for")
