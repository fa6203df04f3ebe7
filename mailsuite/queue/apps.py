from django.apps import AppConfig


class QueueConfig(AppConfig):
    name = "mailsuite.queue"
    label = "queue"
    verbose_name = "Outbound queue"
