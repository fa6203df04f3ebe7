"""Looks that somebody at the admin waits for, beside the request: DNS may take its time."""

import logging
import threading

from django.db import connections
from django.utils import timezone

from mailsuite.directory.models import Domain
from mailsuite.records.checking import begin_check, finish_check
from mailsuite.records.models import DnsCheck
from mailsuite.records.rotation import advance_keys

logger = logging.getLogger(__name__)

AT_ONCE = 3
_slots = threading.BoundedSemaphore(AT_ONCE)


def start_check(domain_id: int) -> None:
    """Begins a look at the domain's records, unless one is under way. Where too many are, the periodic work does it."""
    if not _slots.acquire(blocking=False):
        DnsCheck.objects.filter(domain_id=domain_id).update(due_at=timezone.now())
        return
    try:
        if not begin_check(domain_id, timezone.now()):
            _slots.release()
            return
    except BaseException:
        _slots.release()
        raise
    run_aside(domain_id)


def run_aside(domain_id: int) -> None:
    """Checks the domain in a thread of its own; what is found is stored."""
    # A daemon: a service that is told to end does not wait for DNS.
    threading.Thread(target=_run, args=(domain_id,), name="dns-check", daemon=True).start()


def _run(domain_id: int) -> None:
    try:
        finish_check(Domain.objects.get(pk=domain_id))
        advance_keys(timezone.now())
    except Exception:
        logger.exception("Looking at the DNS records of domain %d failed", domain_id)
        DnsCheck.objects.filter(domain_id=domain_id).update(started_at=None)
    finally:
        connections.close_all()
        _slots.release()
