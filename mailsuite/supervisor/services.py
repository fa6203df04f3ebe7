"""The services of the suite, in the order of starting: where each one's run function is (mailsuite.server.service)."""

from dataclasses import dataclass
from importlib import import_module

from mailsuite.server.service import Run


@dataclass(frozen=True, slots=True)
class Service:
    """One entry of the registry. `path` is `module:function`; those with `per_worker` run MAILSUITE_WORKERS times.
    `grace_seconds` is how long it may take to end before it is killed, `silence_seconds` how long it may give no sign
    of life."""

    name: str
    path: str
    per_worker: bool = False
    grace_seconds: float = 10.0
    silence_seconds: float = 60.0

    def load(self) -> Run:
        """Returns the service's run function, its module imported."""
        module, _, function = self.path.partition(":")
        run: Run = getattr(import_module(module), function)
        return run


# In the order of starting. Stopping goes the other way round, so that the store outlives all who write through it.
SERVICES = (
    # It is silent while the database works on one transaction, which PostgreSQL ends after a minute.
    Service("store", "mailsuite.writer.daemon:run", grace_seconds=5.0, silence_seconds=90.0),
    Service("smtpd", "smtpd_service.daemon:run", per_worker=True),
    # Usually over at once; a host that got a whole message may take its time to say that it took it.
    Service("deliver", "smtpd_service.deliver:run", grace_seconds=45.0),
    Service("retrieval", "retrieval.daemon:run", per_worker=True),
    Service("web", "mailsuite.web.daemon:run"),
)
