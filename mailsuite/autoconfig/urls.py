"""The addresses at which mail programs look for their settings."""

from django.urls import path, re_path

from mailsuite.autoconfig import views

# Clients write it in every case.
_AUTODISCOVER = "".join(f"[{letter}{letter.upper()}]" for letter in "autodiscover")

urlpatterns = [
    path("mail/config-v1.1.xml", views.thunderbird),
    path(".well-known/autoconfig/mail/config-v1.1.xml", views.thunderbird),
    re_path(rf"^{_AUTODISCOVER}/{_AUTODISCOVER}\.[xX][mM][lL]$", views.outlook),
]
