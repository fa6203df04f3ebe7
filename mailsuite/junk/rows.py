"""Rows of what owners said of messages as batches of the store insert them."""

from typing import Any, NamedTuple

from mailsuite.database.sql import row_of
from mailsuite.junk.models import Judgement


@row_of(Judgement)
class JudgementRow(NamedTuple):
    id: int
    mailbox_id: int
    content_id: int
    story_id: int | None
    word: str
    at: Any
