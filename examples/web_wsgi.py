"""A Flask application that is traced: run it, ask for http://127.0.0.1:8000/hello/you, end it with Ctrl-C."""

import os
import time

from flask import Flask

from flightsrv import tracing
from flightsrv.tracing.integrations.wsgi import TracingMiddleware

app = Flask(__name__)
app.wsgi_app = TracingMiddleware(app.wsgi_app)


@app.get("/hello/<name>")
def hello(name: str) -> str:
    with tracing.span("think"):
        time.sleep(0.01)
    return f"Hello {name}"


if __name__ == "__main__":
    with tracing.start(os.environ.get("FLIGHTSRV_TRACE_TO", "http://127.0.0.1:8080")):
        app.run(port=int(os.environ.get("PORT", "8000")))
