"""Other people's mail for tests: signed by dkimpy with keys made here, which a DNS server publishes."""

import base64
import smtplib

import dkim
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

STRANGER = "127.0.0.2"


class Signer:
    """A domain that signs with an RSA key. `records` is what its DNS holds."""

    def __init__(self, domain: str, selector: str = "s1") -> None:
        self.domain, self.selector = domain, selector
        key = rsa.generate_private_key(65537, 2048)
        self._pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.record = f"v=DKIM1; k=rsa; p={base64.b64encode(public).decode()}"

    @property
    def records(self) -> dict[tuple[str, str], list[str]]:
        return {(f"{self.selector}._domainkey.{self.domain}", "TXT"): [strings(self.record)]}

    def sign(self, message: bytes, selector: str = "") -> bytes:
        signature: bytes = dkim.sign(
            message,
            (selector or self.selector).encode(),
            self.domain.encode(),
            self._pem,
            canonicalize=(b"relaxed", b"relaxed"),
            include_headers=[b"from", b"to", b"subject"],
        )
        return signature + message


def strings(text: str) -> str:
    """A TXT record's text as a zone file has it, in strings of 255 octets."""
    return " ".join(f'"{text[start : start + 255]}"' for start in range(0, len(text), 255))


def deliver(port: int, message: bytes, *recipients: str, sender: str, client: str = STRANGER) -> tuple[int, bytes]:
    """The reply to the message, sent from an address of the loopback that is nobody's friend."""
    with smtplib.SMTP("127.0.0.1", port, "mail.far.test", 60, source_address=(client, 0)) as session:
        session.ehlo()
        session.mail(sender)
        for recipient in recipients:
            code, text = session.rcpt(recipient)
            assert code == 250, text
        code, text = session.data(message)
        return code, text
