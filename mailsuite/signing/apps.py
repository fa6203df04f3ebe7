from django.apps import AppConfig


class SigningConfig(AppConfig):
    name = "mailsuite.signing"
    label = "signing"
    verbose_name = "Signing"
