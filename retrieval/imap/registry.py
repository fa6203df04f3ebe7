"""All commands and capabilities of IMAP: a new one is one module in `verbs` and one line of the tuple here."""

from collections.abc import Iterable

from retrieval.imap import special_use
from retrieval.imap.context import Context, State
from retrieval.imap.errors import BadCommand
from retrieval.imap.grammar import Scanner
from retrieval.imap.verb import Feature, Verb, always
from retrieval.imap.verbs import (
    append,
    authenticate,
    capability,
    client_id,
    close,
    copy,
    create,
    delete,
    enable,
    expunge,
    fetch,
    idle,
    listing,
    login,
    logout,
    namespace,
    noop,
    rename,
    search,
    select,
    starttls,
    status,
    store,
    subscribe,
)

# In the order in which CAPABILITY tells them.
FEATURES: tuple[Feature, ...] = (
    capability.FEATURE,
    noop.FEATURE,
    logout.FEATURE,
    starttls.FEATURE,
    login.FEATURE,
    authenticate.FEATURE,
    client_id.FEATURE,
    enable.FEATURE,
    select.FEATURE,
    delete.FEATURE,
    rename.FEATURE,
    subscribe.FEATURE,
    status.FEATURE,
    idle.FEATURE,
    namespace.FEATURE,
    listing.FEATURE,
    expunge.FEATURE,
    close.FEATURE,
    copy.FEATURE,
    special_use.FEATURE,
    create.FEATURE,
    append.FEATURE,
    search.FEATURE,
    fetch.FEATURE,
    store.FEATURE,
)


class Registry:
    """The table of commands (RFC 3501 §3 and §6) and the list of capabilities that these features make."""

    def __init__(self, features: Iterable[Feature]) -> None:
        features = tuple(features)
        verbs = [verb for feature in features for verb in feature.verbs]
        self.verbs = {verb.name: verb for verb in verbs}
        if len(self.verbs) < len(verbs):
            raise ValueError("two features have a verb of the same name")
        # What holds in every state comes first.
        self._capabilities = sorted(
            (capability for feature in features for capability in feature.capabilities),
            key=lambda capability: capability.when is not always,
        )

    def take_verb(self, scanner: Scanner, state: State) -> Verb:
        """Take a command's name, with the one that follows UID. Raises BadCommand unless it is legal now."""
        scanner.space()
        name = scanner.keyword()
        if name == "UID":
            scanner.space()
            name = f"UID {scanner.keyword()}"
        verb = self.verbs.get(name)
        if verb is None:
            raise BadCommand("Unknown command")
        if state not in verb.states:
            raise BadCommand(f"{name} is not valid in {state.value} state")
        return verb

    def capabilities(self, context: Context) -> str:
        """Return the capabilities as of now, parted by spaces (RFC 3501 §6.1.1)."""
        return " ".join(capability.text(context) for capability in self._capabilities if capability.when(context))


REGISTRY = Registry(FEATURES)
