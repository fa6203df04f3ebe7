"""NOOP and CHECK (RFC 3501 §6.1.2 and §6.4.1): nothing of their own; what others have changed is told behind them."""

from retrieval.imap.context import Completion, Context, Output
from retrieval.imap.verb import ALWAYS, SELECTED, Feature, Plain, Verb, no_arguments


async def nothing(context: Context, command: Plain) -> Output:
    """Only give others the word."""
    yield Completion("OK", f"{command.verb} completed")


FEATURE = Feature(
    verbs=(
        Verb("NOOP", ALWAYS, no_arguments("NOOP"), nothing, asks=True),
        Verb("CHECK", SELECTED, no_arguments("CHECK"), nothing, asks=True),
    )
)
