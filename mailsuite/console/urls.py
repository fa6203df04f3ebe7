"""The addresses of the admin: Django's own, and the pages that are no list of rows."""

from collections.abc import Callable

from django.contrib import admin
from django.http.response import HttpResponseBase
from django.urls import path, re_path
from django.views.generic import RedirectView

from mailsuite.console import delivery_page, manual, search


def _moved(app: str) -> Callable[..., HttpResponseBase]:
    """Leads to the same page under the app, with what was searched or filtered for."""
    return RedirectView.as_view(url=f"/admin/{app}/%(page)s", query_string=True)


urlpatterns = [
    path("admin/delivery-test/", admin.site.admin_view(delivery_page.start), name="delivery-test"),
    path("admin/delivery-test/<str:run_id>/", admin.site.admin_view(delivery_page.show), name="delivery-test-run"),
    path("admin/delivery-test/<str:run_id>/more", admin.site.admin_view(delivery_page.more), name="delivery-test-more"),
    path("admin/guide/", admin.site.admin_view(manual.contents), name="guide"),
    path("admin/guide/<slug:name>/", admin.site.admin_view(manual.chapter), name="guide-chapter"),
    # Django's own form would let whoever finds a browser open guess the old password without end.
    path("admin/password_change/", RedirectView.as_view(pattern_name="password")),
    # The theme's own fails on pages that are not there.
    path("admin/search/", admin.site.admin_view(search.search)),
    # Where bans and DKIM keys were before they had apps of their own: what people have marked leads on.
    re_path("^admin/abuse/(?P<page>(?:ban|allowednetwork)/.*)$", _moved("access")),
    re_path("^admin/records/(?P<page>dkimkey/.*)$", _moved("signing")),
    path("admin/", admin.site.urls),
]
