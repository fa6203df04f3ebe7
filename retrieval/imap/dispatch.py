"""Which command is legal when, who runs it, and what may be told at its end: one table (RFC 3501 §3 and §6)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from retrieval.imap import folder_commands, login_commands, message_commands
from retrieval.imap.context import Completion, Context, Output, State
from retrieval.imap.errors import BadCommand
from retrieval.imap.fetch import fetch
from retrieval.imap.grammar import Scanner
from retrieval.imap.list_command import list_folders
from retrieval.imap.search import search

BEFORE = frozenset({State.NOT_AUTHENTICATED})
OPEN = frozenset({State.AUTHENTICATED, State.SELECTED})
SELECTED = frozenset({State.SELECTED})
ALWAYS = BEFORE | OPEN

# A command comes as the value that its parser made; the table pairs each verb's parser and handler.
Handler = Callable[[Context, Any], Output]


@dataclass(frozen=True, slots=True)
class Verb:
    """`handler` is None where the session itself answers. `expunges`: EXPUNGE may be told (RFC 3501 §7.4.1).
    `asks`: the store is asked for changes even without a hint. `current`: changes are told before it runs, too."""

    states: frozenset[State]
    handler: Handler | None = None
    expunges: bool = True
    asks: bool = False
    current: bool = False


async def nothing(context: Context, command: Any) -> Output:
    """A command that only gives others the word."""
    yield Completion("OK", f"{command.verb} completed")


VERBS = {
    "CAPABILITY": Verb(ALWAYS, login_commands.capability),
    "NOOP": Verb(ALWAYS, nothing, asks=True),
    "ID": Verb(ALWAYS, login_commands.client_id),
    "LOGOUT": Verb(ALWAYS),
    "STARTTLS": Verb(BEFORE),
    "AUTHENTICATE": Verb(BEFORE),
    "LOGIN": Verb(BEFORE, login_commands.login),
    "ENABLE": Verb(OPEN, login_commands.enable),
    "SELECT": Verb(OPEN, folder_commands.select),
    "EXAMINE": Verb(OPEN, folder_commands.select),
    "CREATE": Verb(OPEN, folder_commands.create),
    "DELETE": Verb(OPEN, folder_commands.delete),
    "RENAME": Verb(OPEN, folder_commands.rename),
    "SUBSCRIBE": Verb(OPEN, folder_commands.subscribe),
    "UNSUBSCRIBE": Verb(OPEN, folder_commands.subscribe),
    "LIST": Verb(OPEN, list_folders),
    "LSUB": Verb(OPEN, list_folders),
    "STATUS": Verb(OPEN, folder_commands.status),
    "NAMESPACE": Verb(OPEN, folder_commands.namespace),
    "APPEND": Verb(OPEN),
    "IDLE": Verb(OPEN, asks=True),
    "CHECK": Verb(SELECTED, nothing, asks=True),
    "CLOSE": Verb(SELECTED, folder_commands.close),
    "UNSELECT": Verb(SELECTED, folder_commands.close),
    "EXPUNGE": Verb(SELECTED, message_commands.expunge),
    "SEARCH": Verb(SELECTED, search, expunges=False, current=True),
    "FETCH": Verb(SELECTED, fetch, expunges=False, current=True),
    "STORE": Verb(SELECTED, message_commands.store, expunges=False, current=True),
    "COPY": Verb(SELECTED, message_commands.copy, expunges=False, current=True),
    "MOVE": Verb(SELECTED, message_commands.copy, expunges=False, current=True),
    "UID EXPUNGE": Verb(SELECTED, message_commands.expunge),
    "UID SEARCH": Verb(SELECTED, search, current=True),
    "UID FETCH": Verb(SELECTED, fetch, current=True),
    "UID STORE": Verb(SELECTED, message_commands.store, current=True),
    "UID COPY": Verb(SELECTED, message_commands.copy, current=True),
    "UID MOVE": Verb(SELECTED, message_commands.copy, current=True),
}


def take_verb(scanner: Scanner, state: State) -> tuple[str, Verb]:
    """Take a command's name, with the one that follows UID. Raises BadCommand unless it is legal now."""
    scanner.space()
    name = scanner.keyword()
    if name == "UID":
        scanner.space()
        name = f"UID {scanner.keyword()}"
    verb = VERBS.get(name)
    if verb is None:
        raise BadCommand("Unknown command")
    if state not in verb.states:
        raise BadCommand(f"{name} is not valid in {state.value} state")
    return name, verb
