"""LOGOUT (RFC 3501 §6.1.3): BYE, the tagged OK, and the end of the session."""

from retrieval.imap.context import Completion, Context, Output, State
from retrieval.imap.verb import ALWAYS, Feature, Plain, Verb, no_arguments


async def logout(context: Context, command: Plain) -> Output:
    """End the session; nothing that others changed is told any more."""
    context.state, context.view_or_none = State.LOGOUT, None
    yield b"* BYE Logging out\r\n"
    yield Completion("OK", "LOGOUT completed")


FEATURE = Feature(verbs=(Verb("LOGOUT", ALWAYS, no_arguments("LOGOUT"), logout),))
