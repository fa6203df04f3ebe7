"""TLS contexts for every listener; certificates are reread when their files change, without a restart.

A context that `server_context` returned looks at the files at each handshake (two stat calls). After a change the
handshake goes on with a new context; a pair that can't be loaded (half written, or a certificate beside another's key)
is logged once and the old one stays in use until the files change again.
"""

import logging
import os
import ssl
from datetime import datetime
from pathlib import Path

from cryptography import x509

logger = logging.getLogger(__name__)

_TOO_OLD = frozenset({"UNSUPPORTED_PROTOCOL", "VERSION_TOO_LOW", "NO_SHARED_CIPHER", "NO_SHARED_GROUP"})

_Fingerprint = tuple[tuple[int, int, int], tuple[int, int, int]]


class CertificateError(Exception):
    """A certificate or its key can't be used; str() says in plain words which and why."""


def server_context(certificate: Path, key: Path, *, tickets: bool = True) -> ssl.SSLContext:
    """Returns a context for accepting connections that follows changes of the two PEM files. Raises CertificateError.

    TLS 1.2 at least, with forward secrecy (the defaults of Python 3.10 and newer). `tickets=False` is for SMTP:
    whoever speaks it hardly ever resumes a session, and some stumble over them (libesmtp, so esmtp, waits for ever when
    a ticket comes before its EHLO).
    """
    context = _load(certificate, key, tickets=tickets)
    watcher = CertificateWatcher(certificate, key, context, tickets=tickets)
    # OpenSSL calls this for every ClientHello, with or without a server name (RFC 6066 §3).
    context.sni_callback = watcher.choose
    return context


def certificate_end(certificate: Path) -> datetime | None:
    """When the certificate in the file ends; None when it can't be read."""
    try:
        return x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
    except (OSError, ValueError):
        return None


def speaks_no_tls(error: OSError | TimeoutError) -> bool:
    """Whether a handshake failed because the client sent nonsense. One that distrusts our certificate (it says so by an
    alert), or is too old for what we offer, is somebody's mail program, and tries again and again."""
    reason = error.reason or "" if isinstance(error, ssl.SSLError) else ""
    return bool(reason) and "ALERT" not in reason and reason not in _TOO_OLD and "EOF" not in reason


class CertificateWatcher:
    """Keeps the context of the newest usable pair of files."""

    def __init__(self, certificate: Path, key: Path, context: ssl.SSLContext, *, tickets: bool) -> None:
        self._certificate, self._key, self._tickets = certificate, key, tickets
        self._context = context
        self._seen = self._fingerprint()

    def choose(self, connection: ssl.SSLObject, server_name: str | None, original: ssl.SSLContext) -> None:
        """Moves the connection, amid its handshake, to the newest context."""
        self._refresh()
        if self._context is not original:
            connection.context = self._context

    def _refresh(self) -> None:
        fingerprint = self._fingerprint()
        if fingerprint is None or fingerprint == self._seen:
            return
        self._seen = fingerprint
        try:
            self._context = _load(self._certificate, self._key, tickets=self._tickets)
        except CertificateError as error:
            logger.error("%s The certificate that was read before stays in use.", error)
        else:
            logger.info("Read the changed certificate %s", self._certificate)

    def _fingerprint(self) -> _Fingerprint | None:
        """What changes whenever a file is written or replaced; None while one of them is missing."""
        try:
            first, second = os.stat(self._certificate), os.stat(self._key)
        except OSError:
            return None
        return (first.st_ino, first.st_mtime_ns, first.st_size), (second.st_ino, second.st_mtime_ns, second.st_size)


def _load(certificate: Path, key: Path, *, tickets: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    if not tickets:
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
    try:
        # The empty password keeps OpenSSL from asking a terminal for it.
        context.load_cert_chain(certificate, key, password="")
    except OSError as error:
        raise CertificateError(_explain(certificate, key, error)) from None
    return context


def _explain(certificate: Path, key: Path, error: OSError) -> str:
    for path, variable in ((certificate, "MAILSUITE_TLS_CERT"), (key, "MAILSUITE_TLS_KEY")):
        try:
            path.read_bytes()
        except OSError as unreadable:
            return f"{variable} is {path}, which can't be read: {unreadable.strerror}."
    if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
        return f"The key {key} (MAILSUITE_TLS_KEY) belongs to another certificate than {certificate}."
    return f"{certificate} and {key} (MAILSUITE_TLS_CERT, _KEY) are no PEM certificate and its key without a password."
