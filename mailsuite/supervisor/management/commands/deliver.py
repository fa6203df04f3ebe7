"""`manage.py deliver`: the delivery of queued mail alone."""

from mailsuite.supervisor.service_command import ServiceCommand


class Command(ServiceCommand):
    help = "Runs the delivery of queued mail and the jobs that come round, alone."
    service = "deliver"
