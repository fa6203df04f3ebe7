from django.contrib import admin
from django.urls import path

from mailsuite.web.acme import challenge
from mailsuite.web.health import health

urlpatterns = [
    path("admin/", admin.site.urls),
    path("health", health),
    path(".well-known/acme-challenge/<str:token>", challenge),
]
