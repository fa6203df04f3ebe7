"""CREATE (RFC 3501 §6.3.3), with a special use (RFC 6154 §3): makes a folder."""

from dataclasses import dataclass

from retrieval.imap.context import Completion, Context, Output
from retrieval.imap.errors import BadCommand, CommandRefused
from retrieval.imap.folder_names import check_new_name, parse_name
from retrieval.imap.grammar import DELIMITER, Scanner
from retrieval.imap.special_use import role_of
from retrieval.imap.verb import LOGGED_IN, Feature, Verb


@dataclass(frozen=True, slots=True)
class Create:
    r"""`special_uses` are attributes such as \Sent, as the client wrote them."""

    name: str
    special_uses: tuple[str, ...] = ()


def parse(scanner: Scanner) -> Create:
    """create = "CREATE" SP mailbox [SP "(" "USE" SP "(" [use-attr *(SP use-attr)] ")" ")"] (RFC 6154 §3)"""
    name = parse_name(scanner).removesuffix(DELIMITER)
    if scanner.at_end:
        return Create(name)
    scanner.space()
    return Create(name, tuple(use for uses in scanner.parenthesized(lambda: _uses(scanner)) for use in uses))


def _uses(scanner: Scanner) -> list[str]:
    if scanner.keyword() != "USE":
        raise BadCommand("Unknown parameter of CREATE")
    scanner.space()
    return scanner.flag_list()


async def create(context: Context, command: Create) -> Output:
    """Make the folder and those above it; for a special use only when no other folder has that."""
    check_new_name(command.name)
    role = ""
    if command.special_uses:
        role = role_of(command.special_uses[0])
        taken = {folder.role for folder in await context.store.folders()}
        if len(command.special_uses) > 1 or not role or role in taken:
            raise CommandRefused("USEATTR", "No folder can be made for that use")
    await context.store.create_folder(command.name, role)
    yield Completion("OK", "CREATE completed")


FEATURE = Feature(verbs=(Verb("CREATE", LOGGED_IN, parse, create),))
