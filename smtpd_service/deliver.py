"""The deliver service: wires the outbound worker and the schedule of jobs together and serves until told to end."""

import asyncio
import logging
from collections.abc import Callable

import uvloop

from mailsuite.configuration import Configuration
from mailsuite.jobs.registry import all_jobs
from mailsuite.jobs.schedule import Schedule
from mailsuite.resolver.dns_resolver import DnsResolver
from mailsuite.secrets import site_keys
from mailsuite.server.service import ServiceContext, join_suite
from mailsuite.transport_security.policies import Briefly, DatabaseMemory, StsPolicies, fetcher
from mailsuite.transport_security.validation import ValidationWatch
from mailsuite.writer.client import StoreClient
from mailsuite.writer.operation import Hint, StoreUnavailable
from mailsuite.writer.storage import mail_storage
from smtpd_service.outbound.courier import Courier
from smtpd_service.outbound.destinations import Destinations, NextHop
from smtpd_service.outbound.published_policy import PublishedPolicy
from smtpd_service.outbound.queue_reader import QueueReader
from smtpd_service.outbound.rehosted_mail import RehostedMail
from smtpd_service.outbound.retry import RetryPlan
from smtpd_service.outbound.slot import take_slot
from smtpd_service.outbound.tls_policy import TlsPolicy
from smtpd_service.outbound.way_out import CurrentWayOut, WayOut, configured
from smtpd_service.outbound.worker import Worker

logger = logging.getLogger(__name__)

# Imported with this module: before the parent forks, so that processes share it.
JOBS = all_jobs()


def run(context: ServiceContext) -> int:
    """Delivers queued mail until the context says to end."""
    return uvloop.run(_serve(context))


async def _serve(context: ServiceContext) -> int:
    configuration = context.configuration
    try:
        resolver = DnsResolver(configuration.resolver)
    except (OSError, ValueError) as error:
        logger.critical("MAILSUITE_RESOLVER is %r; it must be host:port (%s)", configuration.resolver, error)
        return 2
    ended = asyncio.Event()
    join_suite(context, asyncio.get_running_loop(), ended.set)
    slot = take_slot(configuration.data / "run")
    store = StoreClient(configuration.store_socket)
    storage = mail_storage()
    reader = QueueReader(RehostedMail(configuration.hostname, storage, site_keys("srs")))
    memory = DatabaseMemory()
    policies = Briefly(StsPolicies(resolver, memory, fetcher(resolver, configuration.allow_private_hosts)))
    policy = PublishedPolicy(resolver, policies, validates=ValidationWatch(resolver).is_good)
    way_out = CurrentWayOut(configured(configuration), reader.versions_without_name)
    worker = Worker(
        store=store,
        reader=reader,
        new_courier=_couriers(configuration, resolver, policy, lambda: way_out.now),
        storage=storage,
        plan=RetryPlan(configuration.retry_schedule),
        token=slot.token,
    )
    schedule = Schedule(JOBS)
    try:
        await _begin(worker, store, slot.previous, ended)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(schedule.run(ended))
            tasks.create_task(way_out.run(ended))
            tasks.create_task(worker.run(ended))
    finally:
        await store.close()
        reader.close()
        memory.close()
        slot.release()
    return 0


async def _begin(worker: Worker, store: StoreClient, previous: str, ended: asyncio.Event) -> None:
    """Has the store tell of new mail, and gives back what our predecessor held; waits for a store that is away."""

    def on_hint(hint: Hint) -> None:
        if hint.queued:
            worker.wake()

    while not ended.is_set():
        try:
            await store.watch(on_hint)
            if previous:
                await worker.give_back_of(previous)
            return
        except StoreUnavailable as error:
            logger.warning("delivery waits for the store: %s", error)


def _couriers(
    configuration: Configuration, resolver: DnsResolver, policy: TlsPolicy, way_out: Callable[[], WayOut]
) -> Callable[[NextHop], Courier]:
    allowed = configuration.allow_private_hosts
    destinations = Destinations(resolver, {configuration.hostname}, allowed, way_out=way_out)

    def new_courier(hop: NextHop) -> Courier:
        return Courier(hop, destinations=destinations, policy=policy, helo=configuration.hostname, allowed=allowed)

    return new_courier
