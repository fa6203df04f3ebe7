"""ENABLE (RFC 5161): a client asks for what it must not get unasked."""

from dataclasses import dataclass

from retrieval.imap.context import Context, Output
from retrieval.imap.grammar import Scanner
from retrieval.imap.verb import LOGGED_IN, Capability, Feature, Verb


@dataclass(frozen=True, slots=True)
class Enable:
    """Names of capabilities, in upper case."""

    names: tuple[str, ...]


def parse(scanner: Scanner) -> Enable:
    """enable = "ENABLE" 1*(SP capability)"""
    names: list[str] = []
    while not names or not scanner.at_end:
        scanner.space()
        names.append(scanner.keyword())
    return Enable(tuple(names))


async def enable(context: Context, command: Enable) -> Output:
    """Enable nothing: nothing that we announce needs it, and unknown names are passed over."""
    context.asked_utf8 = context.asked_utf8 or "UTF8=ACCEPT" in command.names
    yield b"* ENABLED\r\n"


FEATURE = Feature(verbs=(Verb("ENABLE", LOGGED_IN, parse, enable),), capabilities=(Capability("ENABLE"),))
