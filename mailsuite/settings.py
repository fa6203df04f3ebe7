"""Django's settings, all of them from the environment (see deploy/env.example). Secure without configuration.

A site that this is installed in has `from mailsuite.settings import *` at the top of its own, and adds its apps.
"""

import os
import sys
from pathlib import Path

from mailsuite import configuration, env, secrets
from mailsuite.bootstrap import base_folder
from mailsuite.console import theme
from mailsuite.database.url import databases

# The folder of manage.py: this project's, or that of the site that this is installed in.
BASE_DIR = base_folder(Path(__file__).resolve().parent.parent, sys.argv)

# Not below the other: the packages may be installed elsewhere.
PACKAGE = Path(__file__).resolve().parent

_variables = env.with_file(os.environ, BASE_DIR / "mailsuite.env")
if "--production" in sys.argv[2:]:
    _variables["MAILSUITE_PRODUCTION"] = "yes"
_environment = env.Environment(_variables)
MAILSUITE = configuration.read_configuration(_environment, BASE_DIR)
DATABASES = databases(_environment, MAILSUITE.data)
ROOT_SECRET = _environment.secret("MAILSUITE_SECRET_KEY")
OLD_ROOT_SECRETS = [value for value in _environment.secret("MAILSUITE_SECRET_KEY_OLD").split() if value]
_environment.refuse_unknown("MAILSUITE_", others=["MAILSUITE_ENV_FILE"])
try:
    _environment.check()
    ROOT_SECRET = ROOT_SECRET or secrets.read_or_make_root(MAILSUITE.data / "secret.key")
except (env.SettingsError, OSError) as error:
    # A traceback would hide the one line that the reader needs.
    if isinstance(error, OSError):
        error = env.SettingsError(f"MAILSUITE_DATA is {MAILSUITE.data}, which can't be used: {error.strerror}.")
    print(f"Mailsuite can't start with these settings:\n{error}", file=sys.stderr)
    raise SystemExit(2) from None

SECRET_KEY = secrets.derive(ROOT_SECRET, "django").hex()
SECRET_KEY_FALLBACKS = [secrets.derive(root, "django").hex() for root in OLD_ROOT_SECRETS]
DEBUG = False
# The supervisor sets logging up, for each service under its name.
LOGGING_CONFIG = None
# The web's own middleware knows the hosted domains, which live in the database.
ALLOWED_HOSTS = ["*"]

INSTALLED_APPS = [
    # In front of Django's, whose changepassword it replaces.
    "mailsuite.supervisor",
    # In front of the theme, whose page of a row's history it replaces.
    "mailsuite.adminkit",
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "mailsuite.jobs",
    "mailsuite.directory",
    "mailsuite.signing",
    "mailsuite.access",
    "mailsuite.records",
    "mailsuite.store",
    "mailsuite.queue",
    "mailsuite.pipeline",
    "mailsuite.trace",
    "mailsuite.junk",
    "mailsuite.screening",
    "mailsuite.provisioning",
    "mailsuite.abuse",
    "mailsuite.reports",
    "mailsuite.transport_security",
    "mailsuite.console",
    "mailsuite.portal",
    "mailsuite.web",
    "smtpd_service",
    "retrieval",
]
MIDDLEWARE = [
    "mailsuite.web.middleware.security_headers",
    "mailsuite.web.middleware.host_check",
    "mailsuite.web.middleware.transport_check",
    "mailsuite.web.middleware.form_charset",
    "django.middleware.security.SecurityMiddleware",
    "mailsuite.web.static_files.StaticFiles",
    "mailsuite.web.compression.Compression",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "mailsuite.web.must_change.MustChange",
    "mailsuite.console.proving.Proving",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "mailsuite.web.middleware.BusyCheck",
]
ROOT_URLCONF = "mailsuite.web.urls"
WSGI_APPLICATION = "mailsuite.web.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        # In front of the theme's own templates, some of which ours replace.
        "DIRS": [PACKAGE / "console" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "mailsuite.console.manual.link",
            ]
        },
    }
]
UNFOLD = theme.UNFOLD
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "directory.User"
# The name that one signs in by need not be unique: an account that was removed keeps its name, and is found by none.
SILENCED_SYSTEM_CHECKS = ["auth.W004"]
PASSWORD_HASHERS = ["mailsuite.access.password_hasher.Argon2idHasher"]
AUTHENTICATION_BACKENDS = ["mailsuite.web.backend.PasswordBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "mailsuite.access.password_rules.FormValidator"},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = "overview"
LANGUAGE_CODE = "en"
FORMAT_MODULE_PATH = ["mailsuite.web.formats"]
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "/static/"
# By mailsuite.web.static_files. What lies in the root folder is served as /favicon.ico and /robots.txt.
WHITENOISE_USE_FINDERS = True
WHITENOISE_ROOT = PACKAGE / "web" / "static" / "mailsuite" / "root"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "mail": {"BACKEND": "mailsuite.writer.local_storage.LocalStorage", "OPTIONS": {"location": str(MAILSUITE.blobs)}},
    "staticfiles": {"BACKEND": "mailsuite.web.static_files.VersionedStorage"},
}
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = MAILSUITE.production
if MAILSUITE.production:
    # Browsers take cookies of such names from this host alone: no other host of the domain can plant one (RFC 6265bis).
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-session", "__Host-csrf"
SECURE_HSTS_SECONDS = 31536000 if MAILSUITE.production else 0
