"""Every page of the site at its address. The rooms of pages have lists of their own, which are named here and not
imported: what serves the pages knows none of them."""

from django.urls import include, path

from mailsuite.web.acme import challenge
from mailsuite.web.health import health
from mailsuite.web.metrics.view import metrics
from mailsuite.web.mta_sts import policy

urlpatterns = [
    path("", include("mailsuite.portal.urls")),
    path("", include("mailsuite.console.urls")),
    path("", include("mailsuite.autoconfig.urls")),
    path("health", health),
    path("metrics", metrics),
    path(".well-known/mta-sts.txt", policy),
    path(".well-known/acme-challenge/<str:token>", challenge),
]
