"""The retrieval service: wires configuration, store, directory and listeners together and serves until told to end."""

import asyncio
import os
from importlib.metadata import PackageNotFoundError, version

import uvloop

from mailsuite.access.ban_list import BAN_LIST
from mailsuite.protocol.words import SERVICE_UNAVAILABLE, unavailable
from mailsuite.server.accepting import raise_descriptor_limit
from mailsuite.server.admission import Admission, AdmissionLimits
from mailsuite.server.octets import OctetBudget
from mailsuite.server.service import ServiceContext, join_suite
from mailsuite.tls import server_context
from retrieval.conversation import Connection, Session
from retrieval.imap.context import ImapLimits
from retrieval.imap.session import ImapSession
from retrieval.imap.view_cache import ViewCache
from retrieval.orm.backend import Backend
from retrieval.orm.directory import OrmDirectory
from retrieval.pop3.context import Pop3Limits
from retrieval.pop3.session import Pop3Session
from retrieval.transport import Kind, Server, ServerLimits

# Households and firms stand behind one address, and each client opens several connections.
LIMITS = AdmissionLimits(total=10_000, per_client=200)


def run(context: ServiceContext) -> None:
    """Serves IMAP and POP3 until the context says to end."""
    # Short reads run in the event loop on purpose (retrieval.orm.reader says why).
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    uvloop.run(_serve(context))


async def _serve(context: ServiceContext) -> None:
    configuration = context.configuration
    ended = asyncio.Event()
    join_suite(context, asyncio.get_running_loop(), ended.set)
    budget = OctetBudget()
    backend = Backend(configuration, octet_budget=budget)
    tls = server_context(configuration.certificate, configuration.certificate_key)
    admission: Admission[Connection] = Admission(
        LIMITS.share(context.workers).within(raise_descriptor_limit()), banned=BAN_LIST.check, budget=budget
    )
    server = Server(ServerLimits(), tls, admission, BAN_LIST.note, budget)
    BAN_LIST.start()
    kinds = _kinds(configuration.hostname, configuration.message_size, OrmDirectory(backend))
    for name, kind in kinds.items():
        for sock in context.sockets.get(name, ()):
            server.listen(sock, kind)
    timers = [asyncio.ensure_future(backend.run_timers()), asyncio.ensure_future(server.end_invalid())]
    await ended.wait()
    await server.close()
    for timer in timers:
        timer.cancel()
    await asyncio.gather(*timers, return_exceptions=True)
    await backend.close()
    BAN_LIST.stop()


def _kinds(hostname: str, message_octets: int, directory: OrmDirectory) -> dict[str, Kind]:
    """What each listener offers."""
    imap_limits, pop3_limits = ImapLimits(message_octets=message_octets), Pop3Limits()
    ours, views = _version(), ViewCache()

    def imap(tls_active: bool, client_address: str, connection_id: str) -> Session:
        return ImapSession(
            *(imap_limits, hostname, tls_active, not tls_active, directory, client_address),
            session_id=connection_id,
            version=ours,
            views=views,
        )

    def pop3(tls_active: bool, client_address: str, connection_id: str) -> Session:
        return Pop3Session(pop3_limits, hostname, tls_active, not tls_active, directory, client_address)

    busy = unavailable("too many connections").encode()
    busy_imap, busy_pop3 = b"* BYE [UNAVAILABLE] %b\r\n" % busy, b"-ERR [SYS/TEMP] %b\r\n" % busy
    banned = f"{SERVICE_UNAVAILABLE}: your network is not served".encode()
    banned_imap, banned_pop3 = b"* BYE %b\r\n" % banned, b"-ERR [SYS/PERM] %b\r\n" % banned
    return {
        "IMAP": Kind("imap", imap, busy_imap, implicit_tls=False, banned=banned_imap),
        "IMAPS": Kind("imaps", imap, busy_imap, implicit_tls=True),
        "POP3": Kind("pop3", pop3, busy_pop3, implicit_tls=False, banned=banned_pop3),
        "POP3S": Kind("pop3s", pop3, busy_pop3, implicit_tls=True),
    }


def _version() -> str:
    try:
        return version("mailsuite")
    except PackageNotFoundError:
        return ""
