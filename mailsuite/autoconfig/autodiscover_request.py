"""What Outlook asks for, read from XML that strangers send: a small size, no document type, so no entities."""

from dataclasses import dataclass
from xml.parsers.expat import ExpatError, ParserCreate

LARGEST_OCTETS = 16 * 1024
DEEPEST = 10


class RequestError(ValueError):
    """The request can't be used; str() says why, for strangers."""


@dataclass(frozen=True, slots=True)
class AutodiscoverRequest:
    address: str
    schema: str


def parse_request(octets: bytes) -> AutodiscoverRequest:
    """The address and the schema of answers that a POX request names; "" for what it does not. Raises RequestError."""
    if len(octets) > LARGEST_OCTETS:
        raise RequestError("The request is too large.")
    reader = _Reader()
    try:
        return reader.read(octets)
    except (ExpatError, LookupError, ValueError) as error:
        if isinstance(error, RequestError):
            raise
        raise RequestError("The request is not well-formed XML.") from None


class _Reader:
    """Gathers the text of the elements that matter, by local name."""

    def __init__(self) -> None:
        self._path: list[str] = []
        self._texts: dict[str, str] = {}

    def read(self, octets: bytes) -> AutodiscoverRequest:
        parser = ParserCreate(namespace_separator=" ")
        parser.StartDoctypeDeclHandler = self._refuse
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.Parse(octets, True)
        return AutodiscoverRequest(
            self._texts.get("EMailAddress", "").strip(), self._texts.get("AcceptableResponseSchema", "").strip()
        )

    def _refuse(self, *declaration: object) -> None:
        raise RequestError("A document type is not accepted here.")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._path.append(name.rpartition(" ")[2])
        if len(self._path) > DEEPEST:
            raise RequestError("The request is nested too deeply.")

    def _end(self, name: str) -> None:
        self._path.pop()

    def _text(self, text: str) -> None:
        if self._path[1:2] == ["Request"] and len(self._path) == 3:
            self._texts[self._path[2]] = self._texts.get(self._path[2], "") + text
