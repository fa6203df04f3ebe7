"""What is answered to requests that never reach the application."""


def plain_answer(status: int, reason: str, words: str) -> bytes:
    """A whole answer, behind which the connection ends."""
    body = f"{words}\n".encode()
    head = (
        f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


HEAD_TOO_LARGE = plain_answer(431, "Request Header Fields Too Large", "The request's header fields are too large.")
BODY_TOO_LARGE = plain_answer(413, "Content Too Large", "That is more than any page here takes.")
NEEDS_LENGTH = plain_answer(411, "Length Required", "Send the body with a Content-Length.")
NEEDS_HOST = plain_answer(400, "Bad Request", "Say in one Host field which site you mean.")
TOO_SLOW = plain_answer(408, "Request Timeout", "The request took too long to come.")
BUSY = plain_answer(503, "Service Unavailable", "Too much is under way, try again in a moment.")
BANNED = plain_answer(403, "Forbidden", "Your network is not served here.")
CROWDED = plain_answer(503, "Service Unavailable", "Too many connections, try again later.")
