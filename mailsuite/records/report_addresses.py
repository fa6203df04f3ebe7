"""What a domain's published records say of where its reports go (RFC 9990 §4, RFC 8460 §3), as last seen in DNS."""

from mailsuite.directory.models import Domain
from mailsuite.mail.address import AddressError, parse_address
from mailsuite.records.models import Observation
from mailsuite.records.seen import values_of

MAX_URIS = 50


def names_address(domain: Domain, kind: str, address: str) -> bool:
    """Whether the record of the domain asks for reports of the kind (dmarc or
    tls) to be sent to the address. False when no record was seen."""
    name = f"_smtp._tls.{domain.name}" if kind == "tls" else f"_dmarc.{domain.name}"
    seen = Observation.objects.filter(domain=domain, name=name, type="TXT").exclude(source=Observation.Source.LIVE)
    key = _key(address)
    for source in (Observation.Source.OWN, Observation.Source.PUBLIC):
        if newest := seen.filter(source=source).order_by("-pk").first():
            return bool(key) and key in {_key(uri) for text in values_of(newest) for uri in _uris(text)}
    return False


def _uris(text: str) -> list[str]:
    """The addresses of a record's rua and ruf, their sizes taken off."""
    tags = (part.partition("=") for part in text.split(";"))
    listed = (value for name, _, value in tags if name.strip().lower() in ("rua", "ruf"))
    uris = [uri.strip().partition("!")[0] for value in listed for uri in value.split(",")[:MAX_URIS]]
    return [uri[len("mailto:") :] for uri in uris if uri.lower().startswith("mailto:")]


def _key(address: str) -> str:
    try:
        return parse_address(address).key
    except AddressError:
        return ""
