"""SPF macros (RFC 7208 §7): parsed when the record is, since a mistake spoils it all; expanded when their turn comes.

macro-string  = *( macro-expand / macro-literal )
macro-expand  = ( "%{" macro-letter transformers *delimiter "}" ) / "%%" / "%_" / "%-"
macro-literal = %x21-24 / %x26-7E
macro-letter  = "s" / "l" / "o" / "d" / "i" / "p" / "h" / "c" / "r" / "t" / "v"
transformers  = *DIGIT [ "r" ]
delimiter     = "." / "-" / "+" / "," / "/" / "_" / "="
domain-spec   = macro-string domain-end
domain-end    = ( "." toplabel [ "." ] ) / macro-expand
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import quote

MAX_NAME_OCTETS = 253
# One token: a macro, an escape, or literal text; a % that begins none of them matches nothing.
_TOKEN = re.compile(r"%\{([a-zA-Z])(\d*)([rR]?)([-.+,/_=]*)\}|%([%_-])|([!-$&-~ ]+)", re.ASCII)
_TOP_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?", re.ASCII | re.IGNORECASE)
_ESCAPES = {"%": "%", "_": " ", "-": "%20"}
LETTERS = frozenset("slodiphv")
# Only in the text that exp= leads to (RFC 7208 §7.2).
EXPLANATION_LETTERS = LETTERS | frozenset("crt")


class MacroError(ValueError):
    """What is wrong with a macro-string, in words for whoever wrote the record."""


@dataclass(frozen=True, slots=True)
class Macro:
    """`labels` is how many of the right-hand parts stay, 0 for all; `is_escaped` asks for URL escaping."""

    letter: str
    labels: int
    is_reversed: bool
    delimiters: str
    is_escaped: bool

    def expand(self, value: str) -> str:
        parts = re.split(f"[{re.escape(self.delimiters)}]", value)
        if self.is_reversed:
            parts.reverse()
        text = ".".join(parts[-self.labels :] if self.labels else parts)
        return quote(text, safe="-._~") if self.is_escaped else text


MacroString: TypeAlias = tuple[str | Macro, ...]


def parse_macro_string(text: str, letters: frozenset[str] = LETTERS) -> MacroString:
    """Return the parts of the text. Raises MacroError."""
    parts: list[str | Macro] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise MacroError(f"{text[at : at + 20]!r} is neither text nor a macro such as %{{d}}")
        letter, digits, reverse, delimiters, escape, literal = match.groups()
        if letter is None:
            parts.append(literal or _ESCAPES[escape])
        elif letter.lower() not in letters:
            raise MacroError(f"%{{{letter}}} may not stand here")
        elif digits and not int(digits[:9]):
            raise MacroError(f"{match[0]} asks for no part at all")
        else:
            labels = int(digits[:9] or 0)
            parts.append(Macro(letter.lower(), labels, bool(reverse), delimiters or ".", letter.isupper()))
        at = match.end()
    return tuple(parts)


def parse_domain_spec(text: str) -> MacroString:
    """Return the parts of a domain-spec, which ends in a top label or in a macro. Raises MacroError."""
    parts = parse_macro_string(text)
    # What the last part was written as: an escape gives text, yet is a macro-expand.
    if not parts or not (text.endswith("}") or re.search(r"%[%_-]\Z", text)):
        literal = text[text.rfind("}") + 1 :].removesuffix(".")
        dot, label = literal.rpartition(".")[1:]
        if not dot or not _TOP_LABEL.fullmatch(label) or label.isdigit():
            raise MacroError(f"{text!r} ends in no top-level domain")
    return parts


def letters_of(parts: MacroString) -> frozenset[str]:
    """Return the letters whose values the text needs."""
    return frozenset(part.letter for part in parts if isinstance(part, Macro))


def expand(parts: MacroString, values: Mapping[str, str]) -> str:
    """Return the text with the macros' values in their places."""
    return "".join(part if isinstance(part, str) else part.expand(values[part.letter]) for part in parts)


def expand_name(parts: MacroString, values: Mapping[str, str]) -> str:
    """Return a domain name in lower case, without its last dot; what is too long loses labels on its left (§7.3)."""
    name = expand(parts, values).removesuffix(".").lower()
    while len(name) > MAX_NAME_OCTETS and "." in name:
        name = name.partition(".")[2]
    return name
