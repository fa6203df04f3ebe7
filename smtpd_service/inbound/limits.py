"""What one SMTP client may do before it is refused or ended: octets, counts, seconds, all in one value."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SmtpLimits:
    """Of one connection, whatever it is for. Which connections there may be is mailsuite.server.admission's.

    A stranger is who has brought no message, or at submission has not logged in: it has `without_message_seconds` or
    `login_seconds`, whatever it says meanwhile. For `life_seconds` one connection is of use to another host.
    """

    line_octets: int = 4096  # RFC 5321 §4.5.3.1.4 asks for 512, extensions for some 1,000 more
    sasl_line_octets: int = 12_288  # RFC 4954 §4
    recipients: int = 1000
    errors: int = 10
    failed_logins: int = 5
    refusals: int = 100
    idle_commands: int = 100  # those that bring no message nearer, between two messages
    command_seconds: float = 300.0  # RFC 5321 §4.5.3.2.7
    chunk_seconds: float = 300.0  # RFC 5321 §4.5.3.2.5 asks for three minutes between blocks
    content_seconds: float = 600.0  # for a whole message, and one second more for every
    content_octets_per_second: int = 256
    login_seconds: float = 300.0
    without_message_seconds: float = 1800.0
    life_seconds: float = 3600.0
    # Content that comes slower than that may be broken off where others wait for the place, once it had its time.
    honest_octets_per_second: int = 1024
    honest_seconds: float = 10.0
    # What a client that does not read has to take what was said last.
    linger_seconds: float = 10.0
    # How often it is looked whether the time is over.
    tick_seconds: float = 5.0
