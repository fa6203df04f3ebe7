"""AUTHENTICATE (RFC 3501 §6.2.2) by a SASL mechanism, with an initial response (SASL-IR, RFC 4959)."""

from binascii import b2a_base64
from dataclasses import dataclass

from mailsuite.protocol.sasl import EXCHANGES, Credentials, SaslError, decode_response
from retrieval.imap.context import Completion, Context, Output, State
from retrieval.imap.continuation import NextLine
from retrieval.imap.errors import BadCommand
from retrieval.imap.grammar import Scanner
from retrieval.imap.verb import BEFORE_LOGIN, Capability, Feature, Verb
from retrieval.imap.verbs.login import NEEDS_TLS, log_in


@dataclass(frozen=True, slots=True)
class Authenticate:
    """`initial_response` is in base64, None when there is none."""

    mechanism: str
    initial_response: bytes | None


def parse(scanner: Scanner) -> Authenticate:
    """authenticate = "AUTHENTICATE" SP auth-type [SP initial-resp] (RFC 4959 §3)"""
    scanner.space()
    mechanism = scanner.keyword()
    if scanner.at_end:
        return Authenticate(mechanism, None)
    scanner.space()
    return Authenticate(mechanism, scanner.rest())


async def authenticate(context: Context, command: Authenticate) -> Output:
    """Step through the exchange until it has credentials, and log in with them."""
    mechanism = EXCHANGES.get(command.mechanism)
    if not context.tls_active:
        yield NEEDS_TLS
        return
    if mechanism is None:
        yield Completion("NO", "There is no such mechanism", "CANNOT")
        return
    exchange, response = mechanism(), command.initial_response
    try:
        while not isinstance(
            answer := exchange.step(None if response is None else decode_response(response)), Credentials
        ):
            response = yield NextLine(b"+ " + b2a_base64(answer)[:-1] + b"\r\n")
            if response == b"*":
                raise BadCommand("Authentication cancelled")
    except SaslError as problem:
        raise BadCommand(str(problem)) from None
    yield await log_in(context, answer)


def _is_offered(context: Context) -> bool:
    return context.state is State.NOT_AUTHENTICATED and context.tls_active


FEATURE = Feature(
    verbs=(Verb("AUTHENTICATE", BEFORE_LOGIN, parse, authenticate),),
    capabilities=(Capability("SASL-IR"), Capability("AUTH=PLAIN", _is_offered), Capability("AUTH=LOGIN", _is_offered)),
)
