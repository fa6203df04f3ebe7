"""What owners say of messages, noted in the batch of what they did; mailsuite.junk.training learns it later."""

from mailsuite.ids import new_id
from mailsuite.junk.rows import JudgementRow
from mailsuite.writer.batch import Batch


def hear(batch: Batch, mailbox_id: int, content_id: int, story_id: int | None, word: str) -> None:
    """`word` is one of mailsuite.mail.junk_keywords."""
    batch.insert(JudgementRow(new_id(), mailbox_id, content_id, story_id, word, batch.now_value))
