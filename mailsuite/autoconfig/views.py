"""How mail clients set themselves up: Thunderbird's autoconfig and Outlook's autodiscover (POX, [MS-OXDSCLI]).

Both answer alike for every address of a hosted domain, whether somebody has it or not, and 404 for other domains.
"""

from xml.etree import ElementTree

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_safe

from mailsuite.autoconfig import client_settings
from mailsuite.autoconfig.autodiscover_request import RequestError, parse_request
from mailsuite.autoconfig.client_settings import Server
from mailsuite.directory import lookup
from mailsuite.mail.address import Address, AddressError, parse_address
from mailsuite.web import hosts

OUTER_NAMESPACE = "http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006"
OUTLOOK_SCHEMA = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"


@require_safe
def thunderbird(request: HttpRequest) -> HttpResponse:
    """clientConfig 1.1 for the domain of `emailaddress`, or for the one that the Host belongs to."""
    text = request.GET.get("emailaddress", "")
    domain = _hosted_domain(text) if text else hosts.hosted_domain_of(request.get_host())
    if not domain:
        return _not_found()
    return _xml(_client_config(domain))


@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def outlook(request: HttpRequest) -> HttpResponse:
    """The POX answer for the address in the request's XML, or, for a GET, in `EMailAddress` or the Host."""
    text = next((request.GET[key] for key in request.GET if key.lower() in ("email", "emailaddress")), "")
    if request.method == "POST":
        try:
            asked = parse_request(request.body)
        except RequestError as error:
            return _text(400, str(error))
        if asked.schema and asked.schema != OUTLOOK_SCHEMA:
            return _xml(_refusal())
        text = asked.address
    domain = _hosted_domain(text) if text else hosts.hosted_domain_of(request.get_host())
    if not domain:
        return _not_found()
    return _xml(_autodiscover(text))


def _hosted_domain(text: str) -> str:
    """The hosted domain of an address; "" when there is none."""
    address = _address(text)
    return address.domain if address and address.domain in lookup.hosted_names() else ""


def _address(text: str) -> Address | None:
    try:
        return parse_address(text.strip())
    except AddressError:
        return None


def _client_config(domain: str) -> ElementTree.Element:
    root = ElementTree.Element("clientConfig", version="1.1")
    provider = ElementTree.SubElement(root, "emailProvider", id=domain)
    _leaf(provider, "domain", domain)
    _leaf(provider, "displayName", domain)
    _leaf(provider, "displayShortName", domain)
    for server in client_settings.servers():
        outgoing = server.protocol == "smtp"
        element = ElementTree.SubElement(
            provider, "outgoingServer" if outgoing else "incomingServer", type=server.protocol
        )
        _leaf(element, "hostname", server.host)
        _leaf(element, "port", str(server.port))
        _leaf(element, "socketType", server.tls)
        _leaf(element, "username", "%EMAILADDRESS%")
        _leaf(element, "authentication", "password-cleartext")
    return root


def _autodiscover(login: str) -> ElementTree.Element:
    root = ElementTree.Element("Autodiscover", xmlns=OUTER_NAMESPACE)
    response = ElementTree.SubElement(root, "Response", xmlns=OUTLOOK_SCHEMA)
    if address := _address(login):
        _leaf(ElementTree.SubElement(response, "User"), "DisplayName", str(address))
    account = ElementTree.SubElement(response, "Account")
    _leaf(account, "AccountType", "email")
    _leaf(account, "Action", "settings")
    for protocol in ("imap", "pop3", "smtp"):
        if server := client_settings.best(protocol):
            _protocol(account, server, str(address) if address else "")
    return root


def _protocol(account: ElementTree.Element, server: Server, login: str) -> None:
    element = ElementTree.SubElement(account, "Protocol")
    values = {
        "Type": server.protocol.upper(),
        "Server": server.host,
        "Port": str(server.port),
        "DomainRequired": "off",
        "LoginName": login,
        "SPA": "off",
        "SSL": "on" if server.tls == "SSL" else "off",
        "Encryption": "SSL" if server.tls == "SSL" else "TLS",
        "AuthRequired": "on",
    }
    if server.protocol == "smtp":
        values |= {"UsePOPAuth": "on", "SMTPLast": "off"}
    for name, value in values.items():
        if value:
            _leaf(element, name, value)


def _refusal() -> ElementTree.Element:
    """Error 601: what was asked for, such as ActiveSync's settings, is none of the schemas that we know."""
    root = ElementTree.Element("Autodiscover", xmlns=OUTER_NAMESPACE)
    error = ElementTree.SubElement(ElementTree.SubElement(root, "Response"), "Error")
    _leaf(error, "ErrorCode", "601")
    _leaf(error, "Message", "Provider is not available")
    return root


def _leaf(parent: ElementTree.Element, name: str, text: str) -> None:
    ElementTree.SubElement(parent, name).text = text


def _xml(root: ElementTree.Element) -> HttpResponse:
    ElementTree.indent(root)
    body = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return HttpResponse(body, content_type="text/xml; charset=utf-8")


def _not_found() -> HttpResponse:
    return _text(404, "No domain of that name is hosted here.")


def _text(status: int, words: str) -> HttpResponse:
    return HttpResponse(f"{words}\n", status=status, content_type="text/plain; charset=utf-8")
