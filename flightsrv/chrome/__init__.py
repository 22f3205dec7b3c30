"""Chrome JSON traces, as viztracer and many profilers write them, made into telemetry.

`document` reads the file, `spans` the events in it, `nesting` puts the spans of a thread into a proper order.
"""

from flightsrv.chrome.convert import ChromeTrace, read_chrome_trace
from flightsrv.chrome.document import ChromeTraceError
from flightsrv.chrome.spans import Findings

__all__ = ["ChromeTrace", "ChromeTraceError", "Findings", "read_chrome_trace"]
