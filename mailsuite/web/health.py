"""Whether this host can do its work, for monitors and `manage.py status`."""

from django.db import connections
from django.http import HttpRequest, HttpResponse


def health(request: HttpRequest) -> HttpResponse:
    """200 when the database answers; an error there becomes a 500."""
    with connections["reader"].cursor() as cursor:
        cursor.execute("SELECT 1")
    return HttpResponse("ok\n", content_type="text/plain")
