"""`manage.py web`: the web pages alone."""

from mailsuite.supervisor.service_command import ServiceCommand


class Command(ServiceCommand):
    help = "Runs the web pages alone."
    service = "web"
