"""Changes to what our domains publish about TLS."""

from datetime import UTC, datetime

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from mailsuite.directory.models import Domain
from mailsuite.errors import ChangeRefused
from mailsuite.mail.address import AddressError, read_domain
from mailsuite.mailauth.mtasts import MAX_MAX_AGE, is_pattern
from mailsuite.transport_security.keys import KeyProblem, certificate_names, read_certificate
from mailsuite.transport_security.models import DAY_SECONDS, OTHER_HOSTS_CHARACTERS, WEEK_SECONDS, MtaSts

# Less makes a policy worth little: whoever can block its fetching waits until it has run out (RFC 8461 §10.2).
MIN_MAX_AGE = DAY_SECONDS


def set_mta_sts(domain: Domain, mode: str, max_age: int = WEEK_SECONDS, other_hosts: str = "") -> None:
    """Sets a domain's policy. Enforcing wants testing before it, and a certificate that others trust. `other_hosts` are
    names, or patterns as policies have them, with commas between them."""
    others = _other_hosts(other_hosts)
    if mode not in MtaSts.Mode.values:
        raise ChangeRefused(f"{mode!r} can't be a mode: write none, testing or enforce.")
    if not MIN_MAX_AGE <= max_age <= MAX_MAX_AGE:
        raise ChangeRefused(f"Senders remember a policy for a day ({MIN_MAX_AGE} seconds) to a year ({MAX_MAX_AGE}).")
    with transaction.atomic():
        row = MtaSts.objects.select_for_update().filter(domain=domain).first() or MtaSts(domain=domain)
        if mode == MtaSts.Mode.ENFORCE and row.mode != MtaSts.Mode.ENFORCE:
            _check_enforceable(row)
        changed = row.pk is None or row.mode != mode
        row.mode, row.max_age, row.other_hosts = mode, max_age, others
        row.save()
        if changed:
            MtaSts.objects.filter(pk=row.pk).update(changed_at=Now())


def uncovered_names(domains: list[str]) -> list[str]:
    """The names `mta-sts.DOMAIN` that this host's certificate does not have: there no policy can be fetched."""
    try:
        names = certificate_names(read_certificate(settings.MAILSUITE))
    except KeyProblem:
        names = []
    wanted = [f"mta-sts.{domain}" for domain in domains]
    return [name for name in wanted if name not in names and f"*.{name.partition('.')[2]}" not in names]


def _other_hosts(text: str) -> str:
    """The hosts in the form that they are kept in. Raises ChangeRefused."""
    typed = filter(None, map(str.strip, text.replace("\n", ",").split(",")))
    names = list(dict.fromkeys(map(_host_pattern, typed)))
    if len(kept := ",".join(names)) > OTHER_HOSTS_CHARACTERS:
        raise ChangeRefused("That is more than a policy needs: name fewer hosts, or *.example.net for all of one site.")
    return kept


def _host_pattern(text: str) -> str:
    """A host's name, or *. and a domain, as policies have it (RFC 8461 §4.1)."""
    rest = text.removeprefix("*.")
    try:
        name = text[: len(text) - len(rest)] + read_domain(rest)
    except AddressError:
        name = ""
    if not is_pattern(name):
        raise ChangeRefused(f"{text!r} is no host: write names such as backup.example.net, with commas between.")
    return name


def _check_enforceable(row: MtaSts) -> None:
    """Senders would stop delivering: refuses what would surely fail."""
    configuration = settings.MAILSUITE
    if row.mode == MtaSts.Mode.NONE:
        raise ChangeRefused("Set the mode testing first, and see in the reports of a week whether anything fails.")
    if configuration.tls_cert is None:
        raise ChangeRefused(
            "Nobody trusts the certificate of the first run, so nobody would deliver any more. Get one and set "
            "MAILSUITE_TLS_CERT and MAILSUITE_TLS_KEY first (deploy/guide/certificates.md)."
        )
    try:
        certificate = read_certificate(configuration)
    except KeyProblem as problem:
        raise ChangeRefused(str(problem)) from None
    if configuration.hostname not in certificate_names(certificate):
        raise ChangeRefused(f"The certificate does not name {configuration.hostname}: nobody would deliver any more.")
    if certificate.not_valid_after_utc <= datetime.now(UTC):
        raise ChangeRefused("The certificate has run out: nobody would deliver any more.")
