"""ID (RFC 2971): who we are, and who the client is."""

from dataclasses import dataclass

from mailsuite.mail.imap_string import imap_string
from retrieval.imap.context import Context, Output
from retrieval.imap.errors import BadCommand
from retrieval.imap.grammar import Scanner
from retrieval.imap.verb import ALWAYS, Capability, Feature, Verb

# RFC 2971 §3.3
MAX_FIELDS = 30
MAX_NAME_OCTETS = 30
MAX_VALUE_OCTETS = 1024
_CLIENT_NAME_CHARACTERS = 100


@dataclass(frozen=True, slots=True)
class Id:
    """The client's fields, names in lower case."""

    fields: tuple[tuple[str, str], ...]


def parse(scanner: Scanner) -> Id:
    """id = "ID" SP ("(" [string SP nstring *(SP string SP nstring)] ")" / nil) (RFC 2971 §3)"""
    scanner.space()
    if not scanner.starts_with(b"("):
        if scanner.nil_or_string() is not None:
            raise BadCommand("Expected a list or NIL")
        return Id(())
    fields: list[tuple[str, str]] = []
    for name, value in scanner.parenthesized(lambda: _field(scanner)):
        fields.append((name.decode(errors="replace").lower(), value.decode(errors="replace")))
        if len(fields) > MAX_FIELDS or len(name) > MAX_NAME_OCTETS or len(value) > MAX_VALUE_OCTETS:
            raise BadCommand("Too long an ID")
    return Id(tuple(fields))


def _field(scanner: Scanner) -> tuple[bytes, bytes]:
    name = scanner.string()
    scanner.space()
    return name, scanner.nil_or_string() or b""


async def client_id(context: Context, command: Id) -> Output:
    """Tell our name and version; the client's go into the stories of messages that it reads."""
    fields = dict(command.fields)
    name = " ".join(filter(None, (fields.get("name", ""), fields.get("version", ""))))
    context.client_name = "".join(filter(str.isprintable, name))[:_CLIENT_NAME_CHARACTERS]
    version = b' "version" %b' % imap_string(context.version.encode()) if context.version else b""
    yield b'* ID ("name" "Mailsuite"%b)\r\n' % version


FEATURE = Feature(verbs=(Verb("ID", ALWAYS, parse, client_id),), capabilities=(Capability("ID"),))
