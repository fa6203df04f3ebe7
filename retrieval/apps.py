from django.apps import AppConfig


class RetrievalConfig(AppConfig):
    """IMAP and POP3. Defines no tables."""

    name = "retrieval"
    label = "retrieval"
