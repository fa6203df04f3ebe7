from collections.abc import Iterable
from datetime import datetime

from django.apps import AppConfig

from mailsuite.jobs import registry
from mailsuite.queue.outcomes import Fate, register_notifications
from mailsuite.store.operations import Deliver


class PipelineConfig(AppConfig):
    name = "mailsuite.pipeline"
    label = "pipeline"
    verbose_name = "Pipeline"

    def ready(self) -> None:
        """Registers who writes to senders of queued mail, and what is done again and again."""
        register_notifications(_compose)
        registry.register("mailsuite.pipeline.jobs")


def _compose(fates: Iterable[Fate], now: datetime) -> list[Deliver]:
    # Drawn in by the first: most processes never write any.
    from mailsuite.pipeline.notifications import compose_notifications

    return compose_notifications(fates, now)
