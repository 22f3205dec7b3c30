"""A FastAPI application that is traced: run it, ask for http://127.0.0.1:8000/hello/you, end it with Ctrl-C."""

import asyncio
import os

import uvicorn
from fastapi import FastAPI

from flightsrv import tracing
from flightsrv.tracing.integrations.asgi import TracingMiddleware

app = FastAPI()
app.add_middleware(TracingMiddleware)


@app.get("/hello/{name}")
async def hello(name: str) -> str:
    async with tracing.async_span("think"):
        await asyncio.sleep(0.01)
    return f"Hello {name}"


if __name__ == "__main__":
    with tracing.start(os.environ.get("FLIGHTSRV_TRACE_TO", "http://127.0.0.1:8080")):
        uvicorn.run(app, port=int(os.environ.get("PORT", "8000")))
