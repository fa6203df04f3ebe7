from django.apps import AppConfig

from mailsuite.jobs import registry as jobs


class JunkConfig(AppConfig):
    name = "mailsuite.junk"
    label = "junk"
    verbose_name = "Junk filter"

    def ready(self) -> None:
        from mailsuite.junk.hearing import hear
        from mailsuite.store import hooks

        hooks.HEARD.append(hear)
        jobs.register("mailsuite.junk.jobs")
