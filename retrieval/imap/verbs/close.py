r"""CLOSE (RFC 3501 §6.4.2), which removes what is \Deleted and tells nothing, and UNSELECT (RFC 3691), which removes
nothing."""

from retrieval.imap.context import Completion, Context, Output
from retrieval.imap.messages import remove_deleted
from retrieval.imap.updates import refresh
from retrieval.imap.verb import SELECTED, Capability, Feature, Plain, Verb, logged_in, no_arguments


async def close(context: Context, command: Plain) -> Output:
    """Leave the folder; with CLOSE, of one that was not opened by EXAMINE, empty it of what is deleted first."""
    if command.verb == "CLOSE" and not context.view.read_only:
        await refresh(context)
        await remove_deleted(context)
    await context.unselect()
    yield Completion("OK", f"{command.verb} completed")


FEATURE = Feature(
    verbs=(
        Verb("CLOSE", SELECTED, no_arguments("CLOSE"), close),
        Verb("UNSELECT", SELECTED, no_arguments("UNSELECT"), close),
    ),
    capabilities=(Capability("UNSELECT", logged_in),),
)
