"""CAPABILITY (RFC 3501 §6.1.1): what this server can do now, put together from what its commands announce."""

from retrieval.imap.context import Context, Output
from retrieval.imap.verb import ALWAYS, Capability, Feature, Plain, Verb, no_arguments


async def capability(context: Context, command: Plain) -> Output:
    """The words of every feature, as of this state."""
    yield b"* CAPABILITY %b\r\n" % context.capabilities.encode()


FEATURE = Feature(
    verbs=(Verb("CAPABILITY", ALWAYS, no_arguments("CAPABILITY"), capability),),
    # The session itself reads literals without waiting for a word (RFC 7888).
    capabilities=(Capability("IMAP4rev1"), Capability("LITERAL+")),
)
