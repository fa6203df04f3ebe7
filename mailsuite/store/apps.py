from django.apps import AppConfig


class StoreConfig(AppConfig):
    name = "mailsuite.store"
    label = "store"
    verbose_name = "Mail store"
