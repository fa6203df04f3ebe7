from django.apps import AppConfig

from mailsuite.jobs import registry as jobs


class ProvisioningConfig(AppConfig):
    name = "mailsuite.provisioning"
    label = "provisioning"
    verbose_name = "Provisioning"

    def ready(self) -> None:
        jobs.register("mailsuite.provisioning.jobs")
