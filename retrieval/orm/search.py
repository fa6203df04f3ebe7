"""Searches texts of messages: in columns where they are kept whole, else in the messages themselves."""

import asyncio
from bisect import bisect_right
from collections.abc import Sequence

from mailsuite.mail.folding import folded_field
from retrieval.orm import reads
from retrieval.orm.mailbox import OpenMailbox
from retrieval.orm.text_search import Searched, field_text, matching_uids, read_header
from retrieval.pace import STEP_OCTETS
from retrieval.search_budget import SearchBudget

SEARCH_ROWS = 100
# Where a field's text is kept and at how many characters it was cut.
_COLUMNS = {
    "subject": ("c.subject", 500),
    "from": ("c.from_text", 500),
    "to": ("c.to_text", 1000),
    "cc": ("c.cc_text", 1000),
}


class OrmSearch(OpenMailbox):
    """The search of MessageStore (retrieval.mail_store), which works in a thread that mailboxes take turns at."""

    async def search_text(
        self, folder_id: int, uids: Sequence[int], needle: str, *, where: str, budget: SearchBudget
    ) -> set[int]:
        """The uids that match, looked for in portions; between two another mailbox has its turn."""
        search = self._search_columns if where in _COLUMNS or where == "bcc" else self._search_blobs
        matching, backend, at = set[int](), self._backend, 0
        try:
            while at < len(uids):
                portion = uids[at : at + SEARCH_ROWS]
                async with backend.search_turns.turn(self._mailbox_id):
                    more, last = await backend.reader.run_long(search, folder_id, portion, needle, where, budget)
                matching |= more
                at = bisect_right(uids, last, at)
        except asyncio.CancelledError:
            budget.give_up()  # the thread is told by nothing else
            raise
        return matching

    # In the search thread: what matches, and the uid up to which was looked

    def _search_columns(
        self, folder_id: int, uids: Sequence[int], needle: str, where: str, budget: SearchBudget
    ) -> tuple[set[int], int]:
        """Columns are cut at a length; a text that has reached it, and Bcc, is read from the header itself, and that
        from the blob where it is too large for a row."""
        column, cut_at = _COLUMNS.get(where, ("''", 0))
        storage, wanted, matching = self._backend.storage, folded_field(needle), set[int]()
        columns = f"{column}, CASE WHEN LENGTH({column}) >= {cut_at} THEN c.header END, c.blob, c.header_octets"
        with budget.working():
            for uid, text, header, blob, header_octets in reads.searchable(self._mailbox_id, folder_id, uids, columns):
                budget.spend(STEP_OCTETS + (len(text) if len(text) < cut_at else header_octets))
                if len(text) >= cut_at:
                    block = read_header(storage, blob, header_octets) if header is None else bytes(header)
                    text = f"{text}\n{field_text(block, where)}"
                if wanted in folded_field(text):
                    matching.add(uid)
        return matching, uids[-1]

    def _search_blobs(
        self, folder_id: int, uids: Sequence[int], needle: str, where: str, budget: SearchBudget
    ) -> tuple[set[int], int]:
        with budget.working():
            rows = reads.searchable(self._mailbox_id, folder_id, uids, "m.prefix, c.blob, c.parts")
            messages = [Searched(uid, bytes(prefix), blob, bytes(parts)) for uid, prefix, blob, parts in rows]
            storage, headers = self._backend.storage, where == "text"
            matching, count = matching_uids(storage, messages, needle, headers=headers, budget=budget)
        return matching, messages[count - 1].uid if count < len(messages) else uids[-1]
