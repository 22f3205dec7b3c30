"""Chrome JSON traces, as viztracer and many profilers write them, made into telemetry.

`window` reads the file a part at a time, `document` the events in it (`lenient` those that are not quite JSON), `spans`
what they say (`texts` names and ids), `nesting` puts the spans of a thread into a proper order, `convert` makes
telemetry of them, and `findings` tells what came through and what did not.
"""

from flightsrv.importers.chrome.convert import ChromeTrace, read_chrome_trace
from flightsrv.importers.chrome.document import ChromeTraceError
from flightsrv.importers.chrome.findings import Findings

__all__ = ["ChromeTrace", "ChromeTraceError", "Findings", "read_chrome_trace"]
