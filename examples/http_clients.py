"""Requests that are traced, of requests and of httpx. Its arguments are what to ask for: http://127.0.0.1:8000/hello/you"""

import asyncio
import os
import sys

import httpx
import requests

from flightsrv import tracing
from flightsrv.tracing.integrations.httpx import AsyncTracingTransport, TracingTransport
from flightsrv.tracing.integrations.requests import trace_session


async def ask_in_tasks(urls: list[str]) -> None:
    async with httpx.AsyncClient(transport=AsyncTracingTransport()) as client:
        await asyncio.gather(*(client.get(url) for url in urls))


def main(urls: list[str]) -> None:
    with requests.Session() as session, httpx.Client(transport=TracingTransport()) as client:
        trace_session(session)
        for url in urls:
            print(session.get(url).text)
            client.head(url)
    asyncio.run(ask_in_tasks(urls))


if __name__ == "__main__":
    with tracing.start(os.environ.get("FLIGHTSRV_TRACE_TO", "http://127.0.0.1:8080")):
        main(sys.argv[1:])
