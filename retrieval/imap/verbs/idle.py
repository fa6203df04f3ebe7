"""IDLE (RFC 2177): changes of the selected folder are told at once, until the client says DONE."""

from retrieval.imap.context import Completion, Context, Output
from retrieval.imap.continuation import NextLineOrChange
from retrieval.imap.errors import BadCommand
from retrieval.imap.updates import FolderVanished, claim_seen, untagged_updates
from retrieval.imap.verb import LOGGED_IN, Capability, Feature, Plain, Verb, logged_in, no_arguments


async def idle(context: Context, command: Plain) -> Output:
    """Tell what has changed until now, then each change as it comes; the session ends when the folder goes."""
    yield await untagged_updates(context, expunges=True, ask=True)
    line = yield NextLineOrChange(b"+ Idling\r\n")
    while line is None:
        try:
            yield await untagged_updates(context, expunges=True, ask=False, claim=False)
        except FolderVanished:
            yield Completion("BYE", "The selected folder was deleted")
            return
        line = yield NextLineOrChange()
    await claim_seen(context)
    if line.strip().upper() != b"DONE":
        raise BadCommand("Expected DONE")
    yield Completion("OK", "IDLE completed")


FEATURE = Feature(
    verbs=(Verb("IDLE", LOGGED_IN, no_arguments("IDLE"), idle),), capabilities=(Capability("IDLE", logged_in),)
)
