"""NAMESPACE (RFC 2342): where folders of one's own, of others and of all stand."""

from retrieval.imap.context import Context, Output
from retrieval.imap.grammar import DELIMITER
from retrieval.imap.verb import LOGGED_IN, Capability, Feature, Plain, Verb, logged_in, no_arguments


async def namespace(context: Context, command: Plain) -> Output:
    """One personal namespace without a prefix, none of others, none shared."""
    yield b'* NAMESPACE (("" "%b")) NIL NIL\r\n' % DELIMITER.encode()


FEATURE = Feature(
    verbs=(Verb("NAMESPACE", LOGGED_IN, no_arguments("NAMESPACE"), namespace),),
    capabilities=(Capability("NAMESPACE", logged_in),),
)
