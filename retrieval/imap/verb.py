"""What the module of a command hands to the registry: verbs, and the capabilities that it makes true.

A module in `verbs` holds a command whole: its value, its grammar, its handler, and at its end

    FEATURE = Feature(
        verbs=(Verb("MOVE", SELECTED, parse, move, expunges=False, current=True),),
        capabilities=(Capability("MOVE", logged_in),),
    )
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mailsuite.protocol.literals import Announcement
from retrieval.imap.context import Context, Output, State
from retrieval.imap.grammar import Scanner

BEFORE_LOGIN = frozenset({State.NOT_AUTHENTICATED})
LOGGED_IN = frozenset({State.AUTHENTICATED, State.SELECTED})
SELECTED = frozenset({State.SELECTED})
ALWAYS = BEFORE_LOGIN | LOGGED_IN

# A command comes as the value that its parser made; the row of a verb pairs the two.
Parser = Callable[[Scanner], Any]
LiteralParser = Callable[[Context, Scanner, Announcement], Any]
Handler = Callable[[Context, Any], Output]


@dataclass(frozen=True, slots=True)
class Verb:
    """One row of the table of commands; a UID command has a row of its own, its name begins with "UID ".

    `parse` finds the scanner behind the verb and returns the command; it raises BadCommand or CommandRefused.
    `parse_to_literal` is there when a literal of the command is to be taken as it comes: it finds the scanner behind
    the verb, whose text ends with an announcement, and returns the command, or None when this literal is another one
    and belongs to the line.
    `expunges`: EXPUNGE may be told at the command's end (RFC 3501 §7.4.1). `asks`: the store is asked for changes then
    even without a hint. `current`: changes are told before it runs, too.
    """

    name: str
    states: frozenset[State]
    parse: Parser
    run: Handler
    parse_to_literal: LiteralParser | None = None
    expunges: bool = True
    asks: bool = False
    current: bool = False


def always(context: Context) -> bool:
    """Whether a capability that always holds is told: yes."""
    return True


def logged_in(context: Context) -> bool:
    """Whether a capability that is told behind the login is told now."""
    return context.state in LOGGED_IN


@dataclass(frozen=True, slots=True)
class Capability:
    """A word of CAPABILITY, or what makes it, and when it is told. Only what is complete has one."""

    word: str | Callable[[Context], str]
    when: Callable[[Context], bool] = always

    def text(self, context: Context) -> str:
        """Return the word as it is told in this session."""
        return self.word if isinstance(self.word, str) else self.word(context)


@dataclass(frozen=True, slots=True)
class Feature:
    """What one module adds to the protocol. An extension of several commands may have capabilities and no verb."""

    verbs: tuple[Verb, ...] = ()
    capabilities: tuple[Capability, ...] = ()


@dataclass(frozen=True, slots=True)
class Plain:
    """A command without arguments, such as NOOP."""

    verb: str


def no_arguments(verb: str) -> Parser:
    """Return the parser of a command that has none."""
    return lambda _: Plain(verb)
