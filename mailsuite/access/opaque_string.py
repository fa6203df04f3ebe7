"""Passwords as RFC 8265 §4.2 compares them (the OpaqueString profile of PRECIS), whatever keyboard or system sent them.

One letter may come as one code point or as a base and an accent (Windows and macOS differ), one blank as a blank or a
no-break space (Option and space on a Mac). Contextual rules (RFC 5892 appendix A) are not applied: they part names that
look alike, and a password is never shown.
"""

import unicodedata

# RFC 8264 §9.6, from RFC 5892 §2.6: what its category would allow, and is disallowed all the same.
_EXCEPTIONS = frozenset("\u0640\u07fa\u302e\u302f\u3031\u3032\u3033\u3034\u3035\u303b")
# Letters and digits of all kinds, spaces, symbols, punctuation (RFC 8264 §9.1, §9.14 to §9.16, §9.18).
_CATEGORIES = frozenset("Ll Lu Lo Nd Lm Mn Mc Lt Nl No Me Zs Sm Sc Sk So Pc Pd Ps Pe Pi Pf Po".split())
_JOINERS = "\u200c\u200d"  # RFC 8264 §9.8: Persian and Indic scripts are written with them
# RFC 8264 §9.9, Old Hangul Jamo: what is left of conjoining letters once NFC has made syllables of the others.
_OLD_HANGUL_JAMO = ((0x1100, 0x11FF), (0xA960, 0xA97C), (0xD7B0, 0xD7C6), (0xD7CB, 0xD7FB))
# RFC 8264 §9.13, Default_Ignorable_Code_Point, as far as the category would allow it: nothing of it is seen.
_IGNORABLE = (
    *((0x034F, 0x034F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x3164, 0x3164), (0xFE00, 0xFE0F)),
    *((0xFFA0, 0xFFA0), (0xE0100, 0xE01EF)),
)


def opaque_string(password: str) -> str:
    """Return the form that is hashed and compared: all spaces as U+0020, then NFC (RFC 8265 §4.2.2); case stays."""
    if password.isascii():
        return password
    return unicodedata.normalize("NFC", "".join(" " if _is_space(each) else each for each in password))


def disallowed_in(password: str) -> str:
    """Return the first character that may not stand in a password, "" when there is none: it is a control character,
    can't be seen or means nothing yet (what RFC 8264 §4.3 keeps out of the FreeformClass)."""
    return next((each for each in opaque_string(password) if not _is_freeform(each)), "")


def _is_space(character: str) -> bool:
    return unicodedata.category(character) == "Zs"


def _is_freeform(character: str) -> bool:
    if character.isascii():
        return character.isprintable()
    if character in _JOINERS:
        return True
    if unicodedata.category(character) not in _CATEGORIES or character in _EXCEPTIONS:
        return False
    return not any(first <= ord(character) <= last for first, last in (*_OLD_HANGUL_JAMO, *_IGNORABLE))
