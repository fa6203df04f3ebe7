"""STARTTLS (RFC 3501 §6.2.1): the transport goes on under TLS behind the tagged OK."""

from retrieval.imap.context import Completion, Context, Output, State
from retrieval.imap.errors import BadCommand
from retrieval.imap.verb import BEFORE_LOGIN, Capability, Feature, Plain, Verb, no_arguments


async def starttls(context: Context, command: Plain) -> Output:
    """Have the transport start TLS; the session forgets what came in clear text."""
    if context.tls_active or not context.starttls_available:
        raise BadCommand("TLS is active already, or not available")
    context.wants_starttls = True
    yield Completion("OK", "Begin TLS now")


def _is_offered(context: Context) -> bool:
    return context.state is State.NOT_AUTHENTICATED and context.starttls_available and not context.tls_active


FEATURE = Feature(
    verbs=(Verb("STARTTLS", BEFORE_LOGIN, no_arguments("STARTTLS"), starttls),),
    capabilities=(Capability("STARTTLS", _is_offered),),
)
