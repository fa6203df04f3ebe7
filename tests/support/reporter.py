"""A host elsewhere that sends reports: its mail is signed, and its key is in the suite's DNS."""

import base64
import gzip
import smtplib

import dkim
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from report_mail import mail, report_xml

DOMAIN = b"reporter.example"


class Reporter:
    """`records` go into the DNS server that the suite asks."""

    def __init__(self):
        key = rsa.generate_private_key(65537, 2048)
        self._key = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        public = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        text = f"v=DKIM1; k=rsa; p={base64.b64encode(public).decode()}"
        self.records = {
            ("s._domainkey.reporter.example", "TXT"): [f'"{text[:200]}" "{text[200:]}"'],
            ("_dmarc.reporter.example", "TXT"): ['"v=DMARC1; p=reject"'],
        }

    def send(self, suite, to, *records, signed=True, **about):
        """Sends the records as a report by SMTP, as any host would."""
        octets = mail(gzip.compress(report_xml(*records, **about)))
        if signed:
            octets = dkim.sign(octets, b"s", DOMAIN, self._key, include_headers=[b"from", b"subject"]) + octets
        with smtplib.SMTP("127.0.0.1", suite.port("SMTP"), local_hostname="mx.reporter.example") as client:
            client.sendmail("", [to], octets)
