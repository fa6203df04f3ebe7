"""Commands that come before a mailbox is open: CAPABILITY, ID, LOGIN and AUTHENTICATE (RFC 3501 §6.1 and §6.2)."""

from mailsuite.mail.imap_string import imap_string
from mailsuite.protocol.credential_text import credential_text
from mailsuite.protocol.sasl import Credentials
from retrieval.imap.commands import Enable, Id, Login, Plain
from retrieval.imap.context import Completion, Context, Output, State
from retrieval.imap.errors import CommandRefused
from retrieval.mail_store import LoginAnswer

# Only what is complete stands here.
_ALWAYS = "IMAP4rev1 LITERAL+ SASL-IR ID ENABLE"
_LOGGED_IN = "IDLE NAMESPACE CHILDREN UIDPLUS UNSELECT MOVE SPECIAL-USE CREATE-SPECIAL-USE"
_REFUSALS = {
    "throttled": Completion("NO", "Too many failed logins, try again later", "UNAVAILABLE"),
    "suspended": Completion("NO", "This mailbox is suspended", "CONTACTADMIN"),
    "unavailable": Completion("NO", "Logins can't be checked now, try again later", "UNAVAILABLE"),
}
_WRONG = Completion("NO", "Wrong name or password", "AUTHENTICATIONFAILED")
NEEDS_TLS = Completion("NO", "Start TLS first", "PRIVACYREQUIRED")
_CLIENT_NAME_CHARACTERS = 100


def capabilities(context: Context) -> str:
    """Return the capabilities as of now (RFC 3501 §6.1.1)."""
    if context.state is not State.NOT_AUTHENTICATED:
        return f"{_ALWAYS} {_LOGGED_IN} APPENDLIMIT={context.limits.message_octets}"
    if context.tls_active:
        return f"{_ALWAYS} AUTH=PLAIN AUTH=LOGIN"
    return f"{_ALWAYS} {'STARTTLS ' if context.starttls_available else ''}LOGINDISABLED"


async def capability(context: Context, command: Plain) -> Output:
    yield b"* CAPABILITY %b\r\n" % capabilities(context).encode()


async def client_id(context: Context, command: Id) -> Output:
    """RFC 2971: who we are; who the client is goes into the stories of messages it reads."""
    fields = dict(command.fields)
    name = " ".join(filter(None, (fields.get("name", ""), fields.get("version", ""))))
    context.client_name = "".join(filter(str.isprintable, name))[:_CLIENT_NAME_CHARACTERS]
    version = b' "version" %b' % imap_string(context.version.encode()) if context.version else b""
    yield b'* ID ("name" "Mailsuite"%b)\r\n' % version


async def enable(context: Context, command: Enable) -> Output:
    """RFC 5161: nothing that we announce needs enabling, and unknown names are passed over."""
    context.asked_utf8 = context.asked_utf8 or "UTF8=ACCEPT" in command.names
    yield b"* ENABLED\r\n"


async def login(context: Context, command: Login) -> Output:
    """RFC 3501 §6.2.3."""
    if not context.tls_active:
        yield NEEDS_TLS
        return
    yield await log_in(context, Credentials(credential_text(command.name), credential_text(command.password)))


async def log_in(context: Context, credentials: Credentials) -> Completion:
    """Open the mailbox, or count a failure; how the command ends."""
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
    return Completion("OK", "Logged in", f"CAPABILITY {capabilities(context)}")


def _refused(context: Context, answer: LoginAnswer) -> Completion:
    context.failed_logins += 1
    if context.failed_logins >= context.limits.failed_logins:
        context.closing_text = "Too many failed logins"
    return _REFUSALS.get(answer.reason, _WRONG)
