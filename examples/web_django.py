"""A Django site that is traced, by WSGI and by ASGI, in any number of processes. In its folder, one of

    gunicorn --workers 2 --preload web_django:wsgi
    uvicorn web_django:asgi

then ask for http://127.0.0.1:8000/hello/you; Ctrl-C ends it.
"""

import os
import time

import django
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.urls import path

from flightsrv import tracing
from flightsrv.tracing.integrations.asgi import TracingMiddleware as AsgiMiddleware
from flightsrv.tracing.integrations.wsgi import TracingMiddleware as WsgiMiddleware


def hello(request: HttpRequest, name: str) -> HttpResponse:
    with tracing.span("think"):
        time.sleep(0.01)
    return HttpResponse(f"Hello {name}")


urlpatterns = [path("hello/<name>", hello)]

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["127.0.0.1"], SECRET_KEY=os.urandom(32).hex())
django.setup()
tracing.start(os.environ.get("FLIGHTSRV_TRACE_TO", "http://127.0.0.1:8080"))

wsgi = WsgiMiddleware(WSGIHandler())
asgi = AsgiMiddleware(ASGIHandler())
