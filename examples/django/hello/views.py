import os

from django.conf import settings
from django.shortcuts import render

from hello.models import Greeting

# A page stays a page, whatever TIMES says.
TIMES_MAX = 1000


def times():
    """How often the page says hello: the config var TIMES, or once."""
    try:
        return max(0, min(int(os.environ.get("TIMES", "1")), TIMES_MAX))
    except ValueError:
        return 1


def index(request):
    context = {
        "dyno": os.environ.get("DYNO", "no dyno"),
        "release": os.environ.get("HEROKU_RELEASE_VERSION", ""),
        "has_database": settings.HAS_DATABASE,
        "times": range(times()),
    }
    return render(request, "hello/index.html", context)


def database(request):
    if not settings.HAS_DATABASE:
        return render(request, "hello/no_database.html", status=404)
    Greeting.objects.create()
    return render(request, "hello/database.html", {"greetings": Greeting.objects.order_by("-id")[:20]})
