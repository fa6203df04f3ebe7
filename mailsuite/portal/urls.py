"""The addresses of the pages of those who have a mailbox."""

from django.urls import path
from django.views.generic import RedirectView

from mailsuite.portal import junk, rules, views

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
    # Where password managers send people (W3C, A Well-Known URL for Changing Passwords).
    path(".well-known/change-password", RedirectView.as_view(pattern_name="password")),
]
