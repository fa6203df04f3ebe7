"""`manage.py store`: the store service alone."""

from mailsuite.supervisor.service_command import ServiceCommand


class Command(ServiceCommand):
    help = "Runs the store service alone: the one writer of mail and queue on this host."
    service = "store"
