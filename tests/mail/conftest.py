import re

import pytest

_TOKEN = re.compile(rb'([()])|"((?:[^"\\\r\n\x00\x80-\xff]|\\["\\])*)"|\{(\d+)\}\r\n|(NIL)|(\d+)| ')


def _read_imap(octets):
    """Return an IMAP answer as nested lists of bytes, int and None; strict, so that a malformed one fails the test."""
    stack, at = [[]], 0
    while at < len(octets):
        match = _TOKEN.match(octets, at)
        assert match, octets[at : at + 40]
        at = match.end()
        parenthesis, quoted, literal, nil, number = match.groups()
        if parenthesis == b"(":
            stack.append([])
        elif parenthesis == b")":
            inner = stack.pop()
            stack[-1].append(inner)
        elif quoted is not None:
            stack[-1].append(re.sub(rb"\\(.)", rb"\1", quoted))
        elif literal is not None:
            value = octets[at : at + int(literal)]
            assert len(value) == int(literal) and b"\0" not in value
            stack[-1].append(value)
            at += int(literal)
        elif nil is not None:
            stack[-1].append(None)
        elif number is not None:
            stack[-1].append(int(number))
    (top,) = stack
    (answer,) = top
    return answer


@pytest.fixture
def read_imap():
    return _read_imap
