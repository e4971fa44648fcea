"""Settings. Everything that differs between places comes from config vars."""

import os
import secrets
from pathlib import Path

import dj_database_url

BASE_DIR = Path(__file__).resolve().parent.parent

# In a dyno, DYNO is set. Set SECRET_KEY with `heroku config:set`, or sessions end with each restart.
ON_DYNO = "DYNO" in os.environ
SECRET_KEY = os.environ.get("SECRET_KEY") or secrets.token_urlsafe(50)
DEBUG = not ON_DYNO
# The router has looked at the host name already.
ALLOWED_HOSTS = ["*"] if ON_DYNO else ["localhost", "127.0.0.1", "[::1]"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

INSTALLED_APPS = [
    # WhiteNoise also serves the files of `runserver`.
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "hello",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
]
ROOT_URLCONF = "getting_started.urls"
WSGI_APPLICATION = "getting_started.wsgi.application"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]

# Only there when a database is attached. Without TLS only where the URL says so.
HAS_DATABASE = "DATABASE_URL" in os.environ
DATABASES = {}
if HAS_DATABASE:
    DATABASES["default"] = dj_database_url.config(conn_max_age=600, conn_health_checks=True)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

TIME_ZONE = "UTC"
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "INFO"},
}
