"""Panics of the engine."""

import datafusion
import pytest

from udtf.sql.panics import EnginePanic, panics_as_errors
from udtf.sql.worker.substrait import read_plan

PLAN_WITH_A_ROOT_OF_NOTHING = b"\x1a\x02\x12\x00"


def test_panic_becomes_an_exception() -> None:
    """One that handlers of exceptions see."""
    with pytest.raises(EnginePanic, match="unwrap"), panics_as_errors():
        read_plan(PLAN_WITH_A_ROOT_OF_NOTHING, datafusion.SessionContext())


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt()], ids=repr)
def test_other_exceptions_pass(error: BaseException) -> None:
    """As they are."""
    with pytest.raises(type(error)) as raised, panics_as_errors():
        raise error
    assert raised.value is error
