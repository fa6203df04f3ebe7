"""`manage.py retrieval`: IMAP and POP3 alone."""

from mailsuite.supervisor.service_command import ServiceCommand


class Command(ServiceCommand):
    help = "Runs IMAP and POP3 alone."
    service = "retrieval"
