"""The services that SRV records name, and what TLSA records vouch for: connected to, greeted, and under TLS."""

import asyncio
import ssl
from contextlib import suppress
from dataclasses import dataclass

from cryptography import x509

from mailsuite.records.live.reach import Met, Reach, fails, good, no_connection, unknown
from mailsuite.records.planning import PUBLIC_PORTS
from mailsuite.transport_security.connecting import ConnectError, Streams
from mailsuite.transport_security.keys import spki_digest

SMTP_PORT = 25
# A server that greets strangers late, as some do against junk, is waited for.
ANSWER_SECONDS = 6.0
LEAVE_SECONDS = 1.0
MAX_LINES = 100


@dataclass(frozen=True, slots=True)
class Dialog:
    """What a server begins with, the commands that lead to TLS, each with what its answer's last line begins with, and
    what takes leave. Lines that begin with one of `more` are passed over."""

    name: str
    greeting: bytes
    start_tls: tuple[tuple[bytes, bytes], ...]
    goodbye: bytes
    more: tuple[bytes, ...] = ()


IMAP = Dialog("IMAP", b"* OK", ((b"a STARTTLS\r\n", b"a OK"),), b"b LOGOUT\r\n", (b"* CAPABILITY",))
POP3 = Dialog("POP3", b"+OK", ((b"STLS\r\n", b"+OK"),), b"QUIT\r\n")
SMTP = Dialog(
    "SMTP", b"220 ", ((b"EHLO [127.0.0.1]\r\n", b"250 "), (b"STARTTLS\r\n", b"220 ")), b"QUIT\r\n", (b"220-", b"250-")
)
DIALOGS = {
    "SUBMISSIONS": (SMTP, True),
    "SUBMISSION": (SMTP, False),
    "IMAPS": (IMAP, True),
    "IMAP": (IMAP, False),
    "POP3S": (POP3, True),
    "POP3": (POP3, False),
}


class Odd(Exception):
    """The server says something else than it should; str() ends the sentence that begins with its place."""


async def meet_service(reach: Reach, host: str, listener: str) -> Met:
    """What a mail program meets at the port of a listener."""
    port = PUBLIC_PORTS[listener]
    if port not in reach.memory.met:
        reach.memory.met[port] = await _met(reach, host, listener, port)
    return reach.memory.met[port]


async def meet_key(reach: Reach, host: str, digests: frozenset[str]) -> Met:
    """Whether the key that senders meet at port 25 is one of those that TLSA records name (SHA-256 of SPKI, hex)."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            digest = await _key(reach, host)
    except ConnectError as error:
        return no_connection(error, host, SMTP_PORT, "SMTP")
    except Odd as problem:
        return fails(f"{host} {problem}: senders who go by TLSA deliver nothing.", str(problem))
    except (OSError, EOFError, ValueError):
        return unknown(f"{host} gave no answer at port {SMTP_PORT}")
    if digest in digests:
        return good("port 25 shows the key that TLSA names")
    sentence = (
        f"{host} shows another key at port 25 than the TLSA records name, so that hosts with DANE send nothing: "
        "restart with the certificate that the records are for, or publish those of the key in use."
    )
    return fails(sentence, f"port 25 shows the key {digest[:16]}…")


async def _met(reach: Reach, host: str, listener: str, port: int) -> Met:
    dialog, is_implicit = DIALOGS[listener]
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            streams = await reach.connect(host, port, tls=is_implicit)
            try:
                await _greet(streams, dialog)
                if not is_implicit:
                    await _ask_for_tls(streams, dialog)
                    await reach.start_tls(streams, host)
                await _leave(streams, dialog)
            finally:
                streams[1].transport.abort()
    except ConnectError as error:
        return no_connection(error, host, port, listener)
    except Odd as problem:
        return fails(f"What answers at {host} port {port} {problem}: is it this host?", str(problem))
    except TimeoutError:
        return unknown(f"{host} said nothing at port {port} within {ANSWER_SECONDS:g} seconds")
    except (OSError, EOFError, ValueError) as problem:
        sentence = f"What answers at {host} port {port} ends the connection: see the log of this host."
        return fails(sentence, f"the connection broke ({type(problem).__name__})")
    return good(f"{dialog.name} answers at port {port}, with a good certificate")


async def _key(reach: Reach, host: str) -> str:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    streams = await reach.connect(host, SMTP_PORT, tls=False)
    try:
        await _greet(streams, SMTP)
        await _ask_for_tls(streams, SMTP)
        await reach.start_tls(streams, host, context)
        octets = streams[1].get_extra_info("ssl_object").getpeercert(True)
        await _leave(streams, SMTP)
    finally:
        streams[1].transport.abort()
    return spki_digest(x509.load_der_x509_certificate(octets).public_key())


async def _greet(streams: Streams, dialog: Dialog) -> None:
    if not await _answers(streams, dialog, dialog.greeting):
        raise Odd(f"is no {dialog.name} server")


async def _ask_for_tls(streams: Streams, dialog: Dialog) -> None:
    for command, wanted in dialog.start_tls:
        streams[1].write(command)
        if not await _answers(streams, dialog, wanted):
            raise Odd("offers no STARTTLS")


async def _leave(streams: Streams, dialog: Dialog) -> None:
    """Takes leave, so that no log tells of a broken connection; what was met is known by then."""
    streams[1].write(dialog.goodbye)
    with suppress(OSError, EOFError, ValueError):
        async with asyncio.timeout(LEAVE_SECONDS):
            await streams[0].readline()


async def _answers(streams: Streams, dialog: Dialog, wanted: bytes) -> bool:
    """Whether the next line that is no continuation begins as wanted."""
    for _ in range(MAX_LINES):
        line = await streams[0].readline()
        if not line.startswith(dialog.more):
            return line.upper().startswith(wanted.upper())
    return False
