from django.apps import AppConfig

from mailsuite.jobs import registry as jobs


class QueueConfig(AppConfig):
    name = "mailsuite.queue"
    label = "queue"
    verbose_name = "Outbound queue"

    def ready(self) -> None:
        from mailsuite.queue import claims, placing
        from mailsuite.queue.operations import ClaimDue, RenewClaims, Settle
        from mailsuite.store import hooks
        from mailsuite.store.operations import Outgoing
        from mailsuite.writer.registry import register

        register(ClaimDue, claims.claim_due)
        register(RenewClaims, claims.renew)
        register(Settle, claims.settle)
        hooks.register_place(Outgoing, placing.enqueue)
        hooks.TAKE_BACK.append(placing.take_back)
        jobs.register("mailsuite.queue.jobs")
