"""The envelope of a message (RFC 5321 §2.3.1): the one spelling of it, from a client's MAIL and RCPT to the queue's
rows, the delivery agent's claims and what the next host is told.

A field added here needs a column of the same name in the queue's tables; nothing between spells fields out.
"""

from datetime import datetime

from msgspec import Struct


class Envelope(Struct, frozen=True):
    """What is said once for all recipients. `reverse_path` "" is the null one."""

    reverse_path: str
    # The header or an address is not ASCII (RFC 6531 §3.4), or the body has octets beyond it (RFC 6152 §2).
    smtputf8: bool = False
    eight_bit: bool = False
    # The way must be encrypted and proved, hop by hop (RFC 8689 §2).
    require_tls: bool = False
    # What the sender asked to hear of: FULL or HDRS, and the envelope id as xtext (RFC 3461 §4.3, §4.4).
    dsn_ret: str = ""
    dsn_envid: str = ""
    # Not before this (RFC 4865 §4); not after that: a message that is still here then is given up.
    hold_until: datetime | None = None
    expires_at: datetime | None = None
    # From -9 to 9, the higher the sooner (RFC 6710 §4).
    priority: int = 0


class EnvelopeRecipient(Struct, frozen=True):
    """What is said of one recipient. NOTIFY and ORCPT are as they are written in a command (RFC 3461 §4.1, §4.2)."""

    forward_path: str
    dsn_notify: str = ""
    dsn_orcpt: str = ""
