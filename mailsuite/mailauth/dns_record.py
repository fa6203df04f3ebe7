"""One DNS record to publish, as a plain value and as a line of a zone file. Which ones a domain needs: planning.py."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

# One character-string of a TXT record (RFC 1035 §3.3.14).
STRING_OCTETS = 255


class Purpose(StrEnum):
    """What a record is good for: the headings of the page, in their order."""

    RECEIVING = "Receiving mail"
    SENDING = "Sending mail that is believed"
    HOST = "This host"
    TRANSPORT = "Encrypted on the way"
    CLIENTS = "Mail programs set themselves up"
    ZONE = "The name servers"


@dataclass(frozen=True, slots=True)
class Record:
    """One record to publish. `name` is whole, without the last dot; a TXT `value` is one string, without quotes; an
    empty one means that we can't know it, or that there is nothing to publish.

    `needed` says that mail fails or is doubted without it; `why` is one sentence for people; `asked_for` that what is
    in DNS asks for it, not what is set up here.
    """

    type: str
    name: str
    value: str
    why: str
    needed: bool = True
    purpose: Purpose = Purpose.SENDING
    asked_for: bool = False

    @property
    def zone_value(self) -> str:
        """The value as a zone file wants it: TXT in quoted strings of at most 255 octets."""
        if self.type != "TXT":
            return self.value
        return " ".join(f'"{_escaped(part)}"' for part in text_strings(self.value))

    @property
    def zone_line(self) -> str:
        return f"{self.name}. 3600 IN {self.type} {self.zone_value}"


def zone_text(records: Iterable[Record], domain: str) -> str:
    """The records as text for a zone file; those that belong to another zone than the domain's as comments, since no
    name server takes them there."""
    lines = []
    for record in records:
        if record.value:
            inside = record.name == domain or record.name.endswith(f".{domain}")
            lines.append(f"{'' if inside else '; elsewhere: '}{record.zone_line}\n")
    return "".join(lines)


def text_strings(value: str) -> list[str]:
    """A TXT value cut into character-strings; who reads them joins them without a space."""
    return [value[start : start + STRING_OCTETS] for start in range(0, len(value), STRING_OCTETS)] or [""]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
