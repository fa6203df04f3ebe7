"""What the pipeline needs of the directory and the store, as protocols: rules and tests need no database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mailsuite.directory.resolution import Resolution
from mailsuite.mail.address import Address, Path
from mailsuite.mailauth.dkim.sign import SigningKey
from mailsuite.pipeline.parties import Submitter


@dataclass(frozen=True, slots=True)
class LoginAnswer:
    """`submitter` is None when the login failed, `try_later` when a right password would fail too. Wait
    `delay_seconds` before saying anything."""

    submitter: Submitter | None
    try_later: bool = False
    delay_seconds: float = 0.0


class DirectoryView(Protocol):
    """Asked at every recipient, so it answers from memory where it can."""

    async def resolve(self, path: Path) -> Resolution: ...

    async def is_hosted(self, domain: str) -> bool: ...

    async def used_octets(self, mailbox_ids: Sequence[int]) -> Mapping[int, int]:
        """What these mailboxes hold, by their ids."""
        ...

    async def keeps_no_more(self, domain_id: int | None) -> bool:
        """Whether as much mail to roles of the domain that nobody reads is kept as is kept at all."""
        ...

    async def may_send_as(self, user_id: int, address: Address) -> bool: ...

    async def login(self, name: str, password: str, client_address: str) -> LoginAnswer: ...

    async def still_holds(self, submitter: Submitter) -> bool:
        """Whether a login of minutes ago would still succeed."""
        ...

    async def has_sent_too_much(self, mailbox_id: int) -> bool:
        """Whether the mailbox is so far over its day's caps that nothing more is taken from it."""
        ...

    async def signing_keys(self, domain: str) -> tuple[SigningKey, ...]:
        """The active keys with which mail from an address at `domain` is signed, RSA first; none for a domain that is
        not ours. Raises when one can't be opened: mail waits rather than go unsigned."""
        ...


class Store(Protocol):
    """mailsuite.writer.client.StoreClient, or a test's own."""

    async def run(self, operation: Any) -> Any: ...

    def send(self, operation: Any) -> None: ...
