"""What mail programs set themselves up by: Thunderbird's autoconfig, Outlook's autodiscover, asked for as they do."""

import asyncio
from xml.parsers.expat import ExpatError, ParserCreate

from mailsuite.records.live.reach import Met, Reach, fails, good, no_connection, unknown, warns
from mailsuite.server.http_client import Head, HttpError, HttpExchange, TooLarge, in_one_piece
from mailsuite.transport_security.connecting import Cause, ConnectError

HTTPS_PORT = 443
SECONDS = 8.0
MAX_OCTETS = 64 * 1024
# Any address of the domain is answered alike, so one that everybody has.
NAME = "postmaster"
REQUEST = """\
<?xml version="1.0" encoding="utf-8"?>
<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006"><Request>\
<EMailAddress>{address}</EMailAddress><AcceptableResponseSchema>\
http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a</AcceptableResponseSchema>\
</Request></Autodiscover>
"""
ELEMENTS = {"autoconfig": "hostname", "autodiscover": "Server"}

Texts = list[tuple[str, str]]


async def meet_file(reach: Reach, label: str, domain: str, host: str) -> Met:
    """What a mail program gets from `autoconfig.DOMAIN` or `autodiscover.DOMAIN`; it should be sent to `host`."""
    name = f"{label}.{domain}"
    try:
        async with asyncio.timeout(SECONDS):
            head, octets = await _fetch(reach, label, name, f"{NAME}@{domain}")
    except ConnectError as error:
        met = no_connection(error, name, HTTPS_PORT, "HTTPS")
        # Thunderbird then asks by HTTP, which this host answers as well.
        is_softer = error.cause is Cause.CERTIFICATE and label == "autoconfig"
        return warns(met.judgement.sentence, met.text) if is_softer else met
    except TimeoutError:
        return unknown(f"{name} did not answer within {SECONDS:g} seconds")
    except (OSError, HttpError, TooLarge):
        return fails(f"{name} gives no proper answer: let it lead to this host's web service.", "no proper answer")
    if head.status != 200:
        sentence = f"{name} answers {head.status}, not the settings: let it lead to this host's web service."
        return fails(sentence, f"answers {head.status}")
    return judge(octets, label, name, host)


def judge(octets: bytes, label: str, name: str, host: str) -> Met:
    """What the file tells mail programs."""
    try:
        servers = [text for element, text in texts_of(octets) if element == ELEMENTS[label] and text]
    except (ExpatError, LookupError, ValueError):
        servers = []
    if not servers:
        return fails(f"{name} answers with no settings: let it lead to this host's web service.", "no settings")
    found = ", ".join(dict.fromkeys(servers))
    if other := next((one for one in servers if one.lower() != host), ""):
        sentence = f"{name} sends mail programs to {other}, not to {host}: see the MAILSUITE_LISTEN_ settings."
        return warns(sentence, f"settings: {found}")
    return good(f"settings: {found}")


def texts_of(octets: bytes) -> Texts:
    """The text of each element without children, by its local name. Raises ExpatError, LookupError and ValueError; a
    document type is refused, and with it entities."""
    parser, found, gathered = ParserCreate(namespace_separator=" "), [], [""]

    def refuse(*declaration: object) -> None:
        raise ValueError("a document type")

    def start(name: str, attributes: dict[str, str]) -> None:
        gathered[0] = ""

    def end(name: str) -> None:
        found.append((name.rpartition(" ")[2], gathered[0].strip()))
        gathered[0] = ""

    def text(characters: str) -> None:
        gathered[0] += characters

    parser.StartDoctypeDeclHandler, parser.StartElementHandler = refuse, start
    parser.EndElementHandler, parser.CharacterDataHandler = end, text
    parser.Parse(octets, True)
    return found


async def _fetch(reach: Reach, label: str, name: str, address: str) -> tuple[Head, bytes]:
    streams = await reach.connect(name, HTTPS_PORT, tls=True)
    exchange = HttpExchange(*streams)
    try:
        if label == "autoconfig":
            target = f"/mail/config-v1.1.xml?emailaddress={address.replace('@', '%40')}"
            head = await exchange.ask(name, target, [("Accept", "text/xml")])
        else:
            request = REQUEST.format(address=address).encode()
            fields = [("Accept", "text/xml"), ("Content-Type", "text/xml; charset=utf-8")]
            target = "/autodiscover/autodiscover.xml"
            head = await exchange.ask(name, target, fields, body=in_one_piece(request), body_octets=len(request))
        return head, await exchange.body(MAX_OCTETS)
    finally:
        streams[1].transport.abort()
