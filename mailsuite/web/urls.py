from django.contrib import admin
from django.urls import path, re_path
from django.views.generic import RedirectView

from mailsuite.web import admin_search, autoconfig, delivery_test, manual
from mailsuite.web.acme import challenge
from mailsuite.web.health import health
from mailsuite.web.metrics.view import metrics
from mailsuite.web.mta_sts import policy
from mailsuite.web.owner import junk, rules, views

# Clients write it in every case.
_AUTODISCOVER = "".join(f"[{letter}{letter.upper()}]" for letter in "autodiscover")

urlpatterns = [
    path("", views.overview, name="overview"),
    path("sign-in", views.sign_in, name="sign-in"),
    path("sign-out", views.sign_out, name="sign-out"),
    path("password", views.password, name="password"),
    path("app-passwords", views.app_passwords, name="app-passwords"),
    path("app-passwords/<int:credential_id>/revoke", views.revoke_app_password, name="revoke-app-password"),
    path("sign-ins", views.sign_ins, name="sign-ins"),
    path("junk", junk.junk, name="junk"),
    path("mailboxes/<int:mailbox_id>/forget-words", junk.forget_words, name="forget-words"),
    path("mailboxes/<int:mailbox_id>/forget-senders", junk.forget_senders, name="forget-senders"),
    path("mailboxes/<int:mailbox_id>/senders/<int:sender_id>/forget", junk.forget_sender, name="forget-sender"),
    path("rules", rules.rules, name="rules"),
    path("mailboxes/<int:mailbox_id>/rules/<int:rule_id>/remove", rules.remove_rule, name="remove-rule"),
    path("mailboxes/<int:mailbox_id>/pause", rules.sender_pause, name="sender-pause"),
    path("phone/<int:mailbox_id>", views.phone, name="phone"),
    path("mailboxes/<int:mailbox_id>/mail.mobileconfig", views.profile, name="profile"),
    path("phone/<str:token>/mail.mobileconfig", views.phone_profile, name="phone-profile"),
    path("admin/delivery-test/", admin.site.admin_view(delivery_test.start), name="delivery-test"),
    path("admin/delivery-test/<str:run_id>/", admin.site.admin_view(delivery_test.show), name="delivery-test-run"),
    path("admin/delivery-test/<str:run_id>/more", admin.site.admin_view(delivery_test.more), name="delivery-test-more"),
    path("admin/guide/", admin.site.admin_view(manual.contents), name="guide"),
    path("admin/guide/<slug:name>/", admin.site.admin_view(manual.chapter), name="guide-chapter"),
    # Django's own form would let whoever finds a browser open guess the old password without end.
    path("admin/password_change/", RedirectView.as_view(pattern_name="password")),
    # The theme's own fails on pages that are not there.
    path("admin/search/", admin.site.admin_view(admin_search.search)),
    path("admin/", admin.site.urls),
    path("health", health),
    path("metrics", metrics),
    path(".well-known/mta-sts.txt", policy),
    # Where password managers send people (W3C, A Well-Known URL for Changing Passwords).
    path(".well-known/change-password", RedirectView.as_view(pattern_name="password")),
    path(".well-known/acme-challenge/<str:token>", challenge),
    path("mail/config-v1.1.xml", autoconfig.thunderbird),
    path(".well-known/autoconfig/mail/config-v1.1.xml", autoconfig.thunderbird),
    re_path(rf"^{_AUTODISCOVER}/{_AUTODISCOVER}\.[xX][mM][lL]$", autoconfig.outlook),
]
