"""rspamd as a scanner, by its HTTP protocol (POST /checkv2). The message streams from its file, one connection each."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from mailsuite.scanning.scanner import ScanAction, ScannerError, ScanRequest, ScanResult
from mailsuite.server.http_client import HttpError, HttpExchange, TooLarge

MAX_ANSWER_OCTETS = 1024 * 1024
MAX_SYMBOLS = 50
# rspamd's own greylisting turns `greylist` into `soft reject` where it wants that; ours has its own.
ACTIONS = {
    "no action": ScanAction.ACCEPT,
    "greylist": ScanAction.ACCEPT,
    "add header": ScanAction.JUNK,
    "rewrite subject": ScanAction.JUNK,
    # Nothing that was acknowledged is thrown away.
    "quarantine": ScanAction.JUNK,
    "discard": ScanAction.JUNK,
    "soft reject": ScanAction.DEFER,
    "reject": ScanAction.REJECT,
}


class Rspamd:
    """A worker of kind normal, or a proxy, at host and port. `hostname` is the name that it is told as ours."""

    def __init__(self, host: str, port: int, *, hostname: str) -> None:
        self._host, self._port, self._hostname = host, port, hostname

    async def scan(self, request: ScanRequest) -> ScanResult:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        exchange, host = HttpExchange(reader, writer), f"{self._host}:{self._port}"
        try:
            head = await exchange.ask(
                *(host, "/checkv2", self._fields(request)), body=_chunks(request), body_octets=request.size_octets
            )
            if head.status != 200:
                raise ScannerError(f"rspamd answered {head.status}")
            return read_answer(await exchange.body(MAX_ANSWER_OCTETS))
        except HttpError as error:
            raise ScannerError(f"rspamd: {error}") from None
        except TooLarge:
            raise ScannerError("rspamd's answer has no end") from None
        finally:
            writer.close()

    def _fields(self, request: ScanRequest) -> list[tuple[str, str]]:
        fields = [
            ("Queue-Id", request.queue_id),
            ("Ip", request.client_address),
            ("Helo", request.helo),
            ("Hostname", request.client_name),
            ("MTA-Name", self._hostname),
            ("From", request.reverse_path),
            *(("Rcpt", recipient) for recipient in request.recipients),
            ("User", request.user),
            ("TLS-Version", request.tls_version),
            ("TLS-Cipher", request.tls_cipher),
        ]
        return [(name, value) for name, value in fields if value]


def read_answer(octets: bytes) -> ScanResult:
    """The result in rspamd's JSON. Raises ScannerError."""
    try:
        answer = msgspec.json.decode(octets)
        action = ACTIONS[answer["action"]]
        score, required = float(answer.get("score", 0)), float(answer.get("required_score", 0))
        symbols = _symbols(answer.get("symbols") or {})
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ScannerError(f"rspamd's answer makes no sense ({type(error).__name__}: {error})") from None
    reason = f"rspamd says “{answer['action']}”, with a score of {score:g} of {required:g}"
    return ScanResult(action, score, reason, symbols)


def _symbols(found: dict[str, Any]) -> tuple[str, ...]:
    """The symbols that count, the heaviest first, then those that only tell something."""
    scores = {name: float(symbol.get("score", 0)) for name, symbol in found.items()}
    heaviest = sorted(scores, key=lambda name: (-abs(scores[name]), name))
    return tuple(f"{name} ({scores[name]:g})" for name in heaviest[:MAX_SYMBOLS])


async def _chunks(request: ScanRequest) -> AsyncIterator[bytes]:
    chunks = iter(request.chunks())
    while chunk := next(chunks, b"") if request.is_in_memory else await asyncio.to_thread(next, chunks, b""):
        yield chunk
