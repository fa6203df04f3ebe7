"""What screening tells, and is told, as plain values."""

from dataclasses import dataclass

from mailsuite.mail.reply import Reply
from mailsuite.verdict.facts import ListHit

SPARED = frozenset({"127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From which sum of weights on a message is junk, and refused."""

    junk: float = 1.0
    reject: float = 2.0


@dataclass(frozen=True, slots=True)
class ClientSigns:
    """What HELO and reverse DNS say: `hits` are small weights beside the lists' (together they never make junk alone),
    `doubts` the same as words for greylisting, `refusal` the one thing that is refused by itself: a stranger who calls
    itself by our name."""

    hits: tuple[ListHit, ...] = ()
    doubts: tuple[str, ...] = ()
    refusal: Reply | None = None


@dataclass(frozen=True, slots=True)
class SenderFacts:
    """Who sends. `reverse_path` is MAIL FROM's address, "" for the null one; `authors` are the From addresses; the two
    flags say whether their domains stand behind them: rules that allow ask for that. `client_name` is the confirmed
    reverse name of the client, or ""; `message_id` the message's, or ""."""

    client_address: str
    reverse_path: str = ""
    authors: tuple[str, ...] = ()
    is_reverse_path_authentic: bool = False
    is_author_authentic: bool = False
    client_name: str = ""
    message_id: str = ""

    @property
    def author(self) -> str:
        """The author when there is exactly one, or ""."""
        return self.authors[0] if len(self.authors) == 1 else ""


@dataclass(frozen=True, slots=True)
class Deferral:
    """`reason` is greylisted or first-time-sender."""

    reason: str
    text: str
    reply: Reply
