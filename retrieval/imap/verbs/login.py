"""LOGIN (RFC 3501 §6.2.3), and what it and AUTHENTICATE share: opening the mailbox, or counting a failure."""

from dataclasses import dataclass

from mailsuite.protocol.credential_text import credential_text
from mailsuite.protocol.sasl import Credentials
from retrieval.imap.context import Completion, Context, Output, State
from retrieval.imap.errors import CommandRefused
from retrieval.imap.grammar import Scanner
from retrieval.imap.verb import BEFORE_LOGIN, Capability, Feature, Verb
from retrieval.mail_values import LoginAnswer

NEEDS_TLS = Completion("NO", "Start TLS first", "PRIVACYREQUIRED")
_REFUSALS = {
    "throttled": Completion("NO", "Too many failed logins, try again later", "UNAVAILABLE"),
    "suspended": Completion("NO", "This mailbox is suspended", "CONTACTADMIN"),
    "unavailable": Completion("NO", "Logins can't be checked now, try again later", "UNAVAILABLE"),
}
_WRONG = Completion("NO", "Wrong name or password", "AUTHENTICATIONFAILED")


@dataclass(frozen=True, slots=True)
class Login:
    name: bytes
    password: bytes


def parse(scanner: Scanner) -> Login:
    """login = "LOGIN" SP userid SP password"""
    scanner.space()
    name = scanner.astring()
    scanner.space()
    return Login(name, scanner.astring())


async def login(context: Context, command: Login) -> Output:
    """Log in with a name and a password in plain text, which TLS alone may carry."""
    if not context.tls_active:
        yield NEEDS_TLS
        return
    yield await log_in(context, Credentials(credential_text(command.name), credential_text(command.password)))


async def log_in(context: Context, credentials: Credentials) -> Completion:
    """Open the mailbox, or count a failure; return how the command ends. Raises CommandRefused."""
    if credentials.acts_as_other:
        raise CommandRefused("AUTHORIZATIONFAILED", "Nobody may act as somebody else here")
    answer, store = await context.directory.login(
        credentials.authentication_identity,
        credentials.password,
        protocol="imap",
        client_address=context.client_address,
    )
    if answer.principal is None or store is None:
        return _refused(context, answer)
    context.store_or_none, context.state = store, State.AUTHENTICATED
    return Completion("OK", "Logged in", f"CAPABILITY {context.capabilities}")


def _refused(context: Context, answer: LoginAnswer) -> Completion:
    context.failed_logins += 1
    if context.failed_logins >= context.limits.failed_logins:
        context.closing_text = "Too many failed logins"
    return _REFUSALS.get(answer.reason, _WRONG)


def _is_disabled(context: Context) -> bool:
    return context.state is State.NOT_AUTHENTICATED and not context.tls_active


FEATURE = Feature(
    verbs=(Verb("LOGIN", BEFORE_LOGIN, parse, login),), capabilities=(Capability("LOGINDISABLED", _is_disabled),)
)
