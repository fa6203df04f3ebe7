from django.apps import AppConfig

from mailsuite.jobs import registry as jobs


class AbuseConfig(AppConfig):
    name = "mailsuite.abuse"
    label = "abuse"
    verbose_name = "Abuse"

    def ready(self) -> None:
        from mailsuite.abuse import submissions
        from mailsuite.store import hooks
        from mailsuite.writer.registry import register_locks

        # Behind the mailboxes that the same batch files in.
        register_locks(20, submissions.Sendings)
        hooks.register_sender_rules(submissions.check, submissions.count)
        jobs.register("mailsuite.abuse.jobs")
