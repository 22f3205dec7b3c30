"""The endpoints keep to their OpenAPI document, whatever is asked."""

from typing import Any

import pytest
import schemathesis
from hypothesis import settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from flightsrv.client import QueryClient
from flightsrv.gateway.app import create_app
from flightsrv.gateway.lifecycle import RunningGateway
from flightsrv.gateway.perfetto_ui import PUBLIC_UI
from tests.gateway.conftest import SMALL
from tests.gateway.recorded import record

PROCESS_ID = "process-of-the-document"

UNDESCRIBED = [
    # A time may be out of range, or lie before another one: no schema says that.
    positive_data_acceptance,
]


def document() -> dict[str, Any]:
    """The document of a gateway that is asked nothing, in which ids of processes are mostly those of one."""
    with QueryClient("grpc://127.0.0.1:1") as nobody:
        described = create_app(nobody, PUBLIC_UI, max_traces=1).openapi()
    for methods in described["paths"].values():
        for operation in methods.values():
            for parameter in operation.get("parameters", []):
                if parameter["name"] in ("process_id", "process_ids"):
                    parameter["schema"] = {"anyOf": [{"enum": [PROCESS_ID]}, parameter["schema"]]}
    return described


schema = schemathesis.openapi.from_dict(document())


@pytest.fixture(scope="module")
def url(gateway: RunningGateway, client: QueryClient) -> str:
    """The gateway, before a server that has the process."""
    record(client, SMALL, PROCESS_ID)
    return gateway.url


@schema.parametrize()
@settings(max_examples=30)
def test_every_answer_is_described(case: schemathesis.Case, url: str) -> None:
    """Status, content type and content of answers to good requests and bad ones; bad ones are refused, and none makes
    the gateway fail."""
    case.call_and_validate(base_url=url, excluded_checks=UNDESCRIBED)
