"""The WSGI application, for those who serve the pages by a server of their own."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mailsuite.settings")
application = get_wsgi_application()
