"""`manage.py smtpd`: the MX and submission service alone."""

from mailsuite.supervisor.service_command import ServiceCommand


class Command(ServiceCommand):
    help = "Runs the MX and submission service alone."
    service = "smtpd"
