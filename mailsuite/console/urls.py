"""The addresses of the admin: Django's own, and the pages that are no list of rows."""

from django.contrib import admin
from django.urls import path
from django.views.generic import RedirectView

from mailsuite.console import delivery_page, manual, search

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
    path("admin/", admin.site.urls),
]
