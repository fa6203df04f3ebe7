"""Handshakes in memory, against contexts whose certificate files change."""

import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from mailsuite.supervisor.certificate import LIFETIME, ensure_certificate
from mailsuite.tls import CertificateError, server_context

NOW = datetime.now(UTC)


def make(folder: Path, hostname: str) -> tuple[Path, Path]:
    certificate, key = folder / "cert.pem", folder / "key.pem"
    certificate.unlink(missing_ok=True)
    ensure_certificate(certificate, key, hostname, NOW)
    return certificate, key


def shake_hands(server: ssl.SSLContext, name: str | None = None, **limits) -> ssl.SSLObject:
    """The client's end after a whole handshake, having read what the server sends after it."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    for attribute, value in limits.items():
        setattr(client, attribute, value)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(to_client, to_server, server_hostname=name), server.wrap_bio(to_server, to_client, True)]
    waiting = list(ends)
    while waiting:
        end = waiting.pop(0)
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            waiting.append(end)
    ends[1].write(b"x")
    assert ends[0].read(1) == b"x"
    return ends[0]


def subject(end: ssl.SSLObject) -> str:
    return x509.load_der_x509_certificate(end.getpeercert(binary_form=True)).subject.rfc4514_string()


@pytest.mark.parametrize("name", [None, "one.test"])
def test_a_changed_certificate_is_served_at_the_next_handshake(tmp_path, name):
    context = server_context(*make(tmp_path, "one.test"))
    assert subject(shake_hands(context, name)) == "CN=one.test"
    make(tmp_path, "two.test")
    assert subject(shake_hands(context, name)) == "CN=two.test"
    make(tmp_path, "three.test")
    assert subject(shake_hands(context, name)) == "CN=three.test"


def test_a_mismatched_pair_keeps_the_old_certificate_until_it_fits(tmp_path, caplog):
    certificate, key = make(tmp_path, "one.test")
    context = server_context(certificate, key)
    other = tmp_path / "other"
    new_certificate, new_key = make(other, "two.test")

    new_certificate.replace(certificate)
    assert subject(shake_hands(context)) == "CN=one.test"
    assert subject(shake_hands(context)) == "CN=one.test"
    assert [record.getMessage() for record in caplog.records] == [
        f"The key {key} (MAILSUITE_TLS_KEY) belongs to another certificate than {certificate}. "
        "The certificate that was read before stays in use."
    ]
    new_key.replace(key)
    assert subject(shake_hands(context)) == "CN=two.test"


@pytest.mark.parametrize("damage", ["half", "missing"])
def test_a_damaged_file_keeps_the_old_certificate(tmp_path, damage):
    certificate, key = make(tmp_path, "one.test")
    context = server_context(certificate, key)
    if damage == "half":
        certificate.write_bytes(certificate.read_bytes()[:200])
    else:
        certificate.unlink()
    assert subject(shake_hands(context)) == "CN=one.test"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_versions_and_forward_secrecy(tmp_path, version):
    end = shake_hands(server_context(*make(tmp_path, "one.test")), maximum_version=version)
    assert end.version() == version.name.replace("_", ".")
    assert end.cipher()[0].startswith(("ECDHE-", "TLS_"))


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_older_versions_are_refused(tmp_path):
    with pytest.raises(ssl.SSLError):
        shake_hands(server_context(*make(tmp_path, "one.test")), maximum_version=ssl.TLSVersion.TLSv1_1)


@pytest.mark.parametrize("tickets", [True, False])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tickets_can_be_turned_off(tmp_path, version, tickets):
    context = server_context(*make(tmp_path, "one.test"), tickets=tickets)
    assert shake_hands(context, maximum_version=version).session.has_ticket is tickets


def test_tickets_stay_off_after_a_change(tmp_path):
    context = server_context(*make(tmp_path, "one.test"), tickets=False)
    make(tmp_path, "two.test")
    assert not shake_hands(context).session.has_ticket


def test_errors_are_told_in_plain_words(tmp_path):
    certificate, key = make(tmp_path, "one.test")
    with pytest.raises(CertificateError, match="MAILSUITE_TLS_KEY is .*none, which can't be read: No such file"):
        server_context(certificate, tmp_path / "none")
    key.write_text("nonsense")
    with pytest.raises(CertificateError, match="are no PEM certificate and its key"):
        server_context(certificate, key)


def test_the_first_certificate_names_host_and_loopback(tmp_path):
    certificate, key = make(tmp_path, "mx.example.org")
    names = x509.load_pem_x509_certificate(certificate.read_bytes()).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert names.value.get_values_for_type(x509.DNSName) == ["mx.example.org", "localhost"]
    assert [str(one) for one in names.value.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    assert key.stat().st_mode & 0o777 == 0o600


def test_the_first_certificate_stays_until_it_runs_out_or_the_name_changes(tmp_path):
    certificate, key = make(tmp_path, "one.test")
    assert not ensure_certificate(certificate, key, "one.test", NOW)
    assert ensure_certificate(certificate, key, "two.test", NOW)
    assert not ensure_certificate(certificate, key, "two.test", NOW + LIFETIME / 2)
    assert ensure_certificate(certificate, key, "two.test", NOW + LIFETIME)
