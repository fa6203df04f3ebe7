"""The smtpd service: wires configuration, directory, store and listeners together and serves until told to end."""

import asyncio
import os

import uvloop

from mailsuite.abuse.sending import is_exhausted
from mailsuite.access.ban_list import BAN_LIST
from mailsuite.authcheck.checker import Checker
from mailsuite.authcheck.signatures import SignatureChecker
from mailsuite.configuration import Configuration
from mailsuite.junk.memory import Memory
from mailsuite.pipeline.evaluator import Evaluator
from mailsuite.pipeline.orm_directory import OrmDirectory
from mailsuite.pipeline.services import Store
from mailsuite.pipeline.transaction import Services
from mailsuite.resolver.dns_resolver import DnsResolver
from mailsuite.scanning.guard import Guarded
from mailsuite.scanning.rspamd import Rspamd
from mailsuite.scanning.scanner import Scanner
from mailsuite.screening.facade import Screening
from mailsuite.secrets import site_keys
from mailsuite.server.accepting import raise_descriptor_limit
from mailsuite.server.admission import Admission, AdmissionLimits
from mailsuite.server.octets import OctetBudget
from mailsuite.server.service import ServiceContext, join_suite
from mailsuite.tls import server_context
from mailsuite.writer.client import StoreClient
from mailsuite.writer.spool import Spool
from mailsuite.writer.storage import mail_storage
from smtpd_service.inbound.limits import SmtpLimits
from smtpd_service.inbound.listener import close, listen, make_listeners
from smtpd_service.inbound.server import Receiver

# From other hosts, and as many again from users.
LIMITS = AdmissionLimits(total=1000, per_client=50)


def run(context: ServiceContext) -> None:
    """Serve SMTP until the context says to end."""
    # Short look-ups run in the loop on purpose (directory_view.py).
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    uvloop.run(_serve(context))


async def _serve(context: ServiceContext) -> None:
    configuration = context.configuration
    store = StoreClient(configuration.store_socket)
    limits, budget = LIMITS.share(context.workers).within(raise_descriptor_limit()), OctetBudget()
    mx_admission: Admission[Receiver] = Admission(limits, banned=BAN_LIST.check_at_mx, budget=budget)
    submission_admission: Admission[Receiver] = Admission(limits, banned=BAN_LIST.check, budget=budget)
    ended = asyncio.Event()
    join_suite(context, asyncio.get_running_loop(), ended.set)
    listeners = make_listeners(
        make_services(configuration, store, budget),
        mx_admission=mx_admission,
        submission_admission=submission_admission,
        limits=SmtpLimits(),
        size_limit=configuration.message_size,
        tls=server_context(configuration.certificate, configuration.certificate_key, tickets=False),
    )
    BAN_LIST.start()
    servers = await listen(listeners, context.sockets)
    await ended.wait()
    await close(servers, [mx_admission, submission_admission])
    await store.close()
    BAN_LIST.stop()


def make_services(configuration: Configuration, store: Store, budget: OctetBudget) -> Services:
    """Return what the transactions of this installation need."""
    return Services(
        hostname=configuration.hostname,
        directory=OrmDirectory(is_exhausted=is_exhausted),
        store=store,
        spool=Spool(mail_storage(), budget),
        size_limit=configuration.message_size,
        srs_secrets=tuple(site_keys("srs")),
        note_offence=BAN_LIST.note,
        evaluator=_evaluator(configuration),
    )


def _evaluator(configuration: Configuration) -> Evaluator:
    resolver = DnsResolver(configuration.resolver)
    signatures = SignatureChecker(configuration.trusted_sealers)
    return Evaluator(
        checker=Checker(resolver, signatures, host=configuration.hostname),
        authserv_ids=configuration.authserv_ids,
        list_domains=frozenset(configuration.trusted_sealers),
        screening=Screening(
            resolver,
            hostname=configuration.hostname,
            own_addresses=map(str, (*configuration.public_addresses, *configuration.source_addresses)),
        ),
        scanner=_scanner(configuration),
        memory=Memory(),
    )


def _scanner(configuration: Configuration) -> Scanner | None:
    if configuration.rspamd is None:
        return None
    host, port = configuration.rspamd
    rspamd = Rspamd(host, port, hostname=configuration.hostname)
    seconds, on_failure = configuration.rspamd_timeout_seconds, configuration.rspamd_failure
    return Guarded(rspamd, timeout_seconds=seconds, on_failure=on_failure)
