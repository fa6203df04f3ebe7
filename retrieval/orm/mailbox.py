"""Whose mailbox a session has open, with the store service for writes and the reader for reads: what every part of its
store (retrieval.orm.store) works with."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ParamSpec, TypeVar

from mailsuite.access.authentication import Authentication
from retrieval.mail_values import Principal
from retrieval.orm.backend import Backend

P = ParamSpec("P")
T = TypeVar("T")


class OpenMailbox:
    """One logged-in mailbox."""

    def __init__(self, backend: Backend, authentication: Authentication) -> None:
        assert authentication.user_id is not None and authentication.mailbox_id is not None
        self.principal = Principal(
            authentication.user_id, authentication.mailbox_id, authentication.address, authentication.quota_octets
        )
        self._backend, self._authentication = backend, authentication
        self._mailbox_id = authentication.mailbox_id

    async def _run(self, operation: Any) -> Any:
        """Return the store service's answer. Raises Refused, StoreUnavailable, or StoreBug."""
        return await self._backend.run(operation)

    async def _read(self, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return the answer of one of retrieval.orm.reads. Raises Refused, StoreUnavailable."""
        return await self._backend.reader.run(read, *args, **kwargs)


def portions(uids: Sequence[int], count: int) -> Iterable[Sequence[int]]:
    """Return the uids in order, at most `count` in each portion."""
    return (uids[start : start + count] for start in range(0, len(uids), count))
