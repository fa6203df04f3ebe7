"""The replies of an SMTP server (RFC 5321 §4.2), each with its enhanced code (RFC 3463, RFC 2034)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reply:
    """One SMTP reply (RFC 5321 §4.2). `detail` is the enhanced code less its class digit, which always follows
    `code` (RFC 2034 §4); None where none belongs. `text` is for strangers: ASCII, one line, no internals."""

    code: int
    detail: str | None
    text: str

    @property
    def enhanced_code(self) -> str | None:
        """Return the whole enhanced code, such as 5.1.1, or None."""
        return f"{self.code // 100}.{self.detail}" if self.detail else None

    @property
    def is_positive(self) -> bool:
        """Return whether the command did what was asked or goes on (2yz, 3yz)."""
        return self.code < 400

    @property
    def is_transient(self) -> bool:
        """Return whether the client should try again later (4yz)."""
        return 400 <= self.code < 500

    @property
    def is_permanent(self) -> bool:
        """Return whether trying again as it is can't help (5yz)."""
        return self.code >= 500

    def with_text(self, text: str) -> "Reply":
        """Return the same reply with another text, made one line of printable ASCII."""
        return Reply(self.code, self.detail, printable(text))

    def __str__(self) -> str:
        enhanced = f"{self.code // 100}.{self.detail} " if self.detail else ""
        return f"{self.code} {enhanced}{self.text}"


def printable(text: str) -> str:
    """Return the text as one line of printable ASCII; whatever else it holds becomes a question mark."""
    line = " ".join(text.split())
    return line if line.isascii() and line.isprintable() else "".join(c if " " <= c <= "~" else "?" for c in line)


# The course of a session. Greeting, EHLO and HELO carry no enhanced code (RFC 2034 §3), nor do 3yz replies.
CLOSING = Reply(221, "0.0", "Goodbye")
START_TLS = Reply(220, "0.0", "Ready to start TLS")
AUTHENTICATED = Reply(235, "7.0", "Authentication successful")
OK = Reply(250, "0.0", "OK")
SENDER_OK = Reply(250, "1.0", "Sender accepted")
RECIPIENT_OK = Reply(250, "1.5", "Recipient accepted")
CANNOT_VERIFY = Reply(252, "5.0", "Send some mail, I'll do my best")
SEND_DATA = Reply(354, None, "End data with <CRLF>.<CRLF>")

# Try again later
SHUTTING_DOWN = Reply(421, "3.2", "Service is restarting, try again in a moment")
TOO_MANY_CONNECTIONS = Reply(421, "7.0", "Too many connections, try again later")
MAKING_ROOM = Reply(421, "7.0", "Idle for too long while others wait, connect again")
LONG_ENOUGH = Reply(421, "3.2", "This connection has lasted long enough, connect again")
TOO_MANY_ERRORS = Reply(421, "7.0", "Too many errors, goodbye")
TOO_MANY_LOGINS = Reply(421, "7.0", "Too many failed logins, goodbye")
NOT_SMTP = Reply(421, "7.0", "This is a mail server and speaks SMTP, goodbye")
TIMED_OUT = Reply(421, "4.2", "Waited too long for you, goodbye")
LOCAL_ERROR = Reply(451, "3.0", "Temporary error here, try again later")
TOO_MANY_RECIPIENTS = Reply(452, "5.3", "Too many recipients, send the rest in another message")
STORAGE_FULL = Reply(452, "3.1", "Storage is nearly full, try again later")
DOMAIN_DISABLED = Reply(450, "2.1", "This domain takes no mail for now, try again later")
MAILBOX_FULL = Reply(452, "2.2", "Mailbox is full")

# The client broke a rule
LINE_TOO_LONG = Reply(500, "5.2", "Line is too long")
BARE_LINE_ENDING = Reply(500, "5.2", "Bare CR or LF in a command, end lines with CRLF")
UNKNOWN_COMMAND = Reply(500, "5.2", "Command not recognized")
SYNTAX_ERROR = Reply(501, "5.4", "Syntax error in the argument")
BAD_HELLO = Reply(501, "5.4", "Give a domain or address literal")
BAD_SENDER_ADDRESS = Reply(501, "1.7", "Sender address is malformed")
BAD_RECIPIENT_ADDRESS = Reply(501, "1.3", "Recipient address is malformed")
AUTH_CANCELLED = Reply(501, "7.0", "Authentication cancelled")
AUTH_MALFORMED = Reply(501, "5.2", "Authentication response is malformed")
NOT_IMPLEMENTED = Reply(502, "5.1", "Command not implemented")
BAD_SEQUENCE = Reply(503, "5.1", "Command out of order")
SEND_HELLO_FIRST = Reply(503, "5.1", "Send EHLO or HELO first")
SEND_MAIL_FIRST = Reply(503, "5.1", "Send MAIL first")
SEND_RECIPIENT_FIRST = Reply(503, "5.1", "Send RCPT first")
NO_VALID_RECIPIENTS = Reply(554, "5.1", "No valid recipients")
NESTED_MAIL = Reply(503, "5.1", "There is a sender already, send RSET first")
ALREADY_TLS = Reply(503, "5.1", "TLS is active already")
ALREADY_AUTHENTICATED = Reply(503, "5.1", "Authenticated already")
MECHANISM_UNKNOWN = Reply(504, "5.4", "Authentication mechanism not offered")
PARAMETER_NOT_IMPLEMENTED = Reply(555, "5.4", "Parameter not recognized")
NEEDS_SMTPUTF8 = Reply(553, "6.7", "Address is not ASCII, say SMTPUTF8 in MAIL")

# Refused for what it asks
MUST_START_TLS = Reply(530, "7.0", "Send STARTTLS first")
AUTH_REQUIRED = Reply(530, "7.0", "Authentication required")
AUTH_FAILED = Reply(535, "7.8", "Wrong user name or password")
AUTH_NEEDS_TLS = Reply(538, "7.11", "Encryption is needed for authentication, send STARTTLS first")
NO_SUCH_MAILBOX = Reply(550, "1.1", "No such mailbox here")
RELAYING_DENIED = Reply(550, "7.1", "This server does not relay to that address")
SENDER_NOT_OWNED = Reply(550, "7.1", "You may not send as that address")
MAIL_LOOP = Reply(554, "4.6", "Mail loop, the message has been here before")
MESSAGE_TOO_BIG = Reply(552, "3.4", "Message is larger than this server accepts")
MESSAGE_BARE_LINE_ENDING = Reply(554, "6.0", "Message has a bare CR or LF, end lines with CRLF")
MESSAGE_MALFORMED = Reply(554, "6.0", "Message is malformed")
