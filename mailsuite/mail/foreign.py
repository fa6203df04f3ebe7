"""What was never meant for a mail server: the first octets of other protocols' clients, as browsers, scanners and mail
programs with a wrong setting send them."""

import re

_HTTP = re.compile(rb"(?:GET|POST|PUT|HEAD|OPTIONS|CONNECT|PATCH|DELETE|TRACE|PRI) [^\r\n]{1,8000} HTTP/\d")
# A handshake record of any version (RFC 8446 §5.1); what the client's and server's versions are is told inside.
_TLS = re.compile(rb"\x16\x03[\x00-\x04]")
_SSH = re.compile(rb"SSH-[12]\.")


def foreign_protocol(first_octets: bytes) -> str:
    """Return the name of the protocol that these octets, the first that a client sends, begin; "" for any other."""
    for name, pattern in (("HTTP", _HTTP), ("TLS", _TLS), ("SSH", _SSH)):
        if pattern.match(first_octets):
            return name
    return ""
