r"""EXPUNGE (RFC 3501 §6.4.3) and UID EXPUNGE (UIDPLUS, RFC 4315 §2.1): removes what is \Deleted."""

from dataclasses import dataclass

from retrieval.imap.context import Completion, Context, Output
from retrieval.imap.messages import parse_messages, remove_deleted, writable
from retrieval.imap.sequence_set import SequenceSet
from retrieval.imap.updates import untagged_updates
from retrieval.imap.verb import SELECTED, Capability, Feature, Verb, logged_in


@dataclass(frozen=True, slots=True)
class Expunge:
    """Of these uids, or of all messages when None."""

    messages: SequenceSet | None


async def expunge(context: Context, command: Expunge) -> Output:
    """Remove the messages; which they were is told behind."""
    writable(context)
    # Told before anything goes: no EXPUNGE names a message that no EXISTS has counted.
    yield await untagged_updates(context, expunges=True, ask=True)
    await remove_deleted(context, command.messages)
    yield Completion("OK", "EXPUNGE completed")


FEATURE = Feature(
    verbs=(
        Verb("EXPUNGE", SELECTED, lambda _: Expunge(None), expunge),
        Verb("UID EXPUNGE", SELECTED, lambda scanner: Expunge(parse_messages(scanner)), expunge),
    ),
    capabilities=(Capability("UIDPLUS", logged_in),),
)
