"""HTTP gateway: traces for people who have a browser, or curl, rather than a SQL client.

It is a client of a Flight SQL server like any other (`flightsrv.client`), so it runs beside the server
(`flightsrv serve --http-port`) or alone (`flightsrv gateway --url`).

    app.py          puts the parts together: routes, errors, metrics, the page
    guards.py       requests that another site's page makes are refused
    callers.py      whose credentials a request goes on with
    processes.py    /api/processes: what there is to look at
    threads.py      /api/processes/{id}/threads: which threads have data when
    open_spans.py   /api/processes/{id}/open_spans: what threads are doing
    spans.py        /api/processes/{id}/spans, .../attributes: what a thread was doing at a time
    ranges.py       /api/range: times as people write them
    traces.py       /api/perfetto/{ids}/...: traces, and what to expect of them
    reading.py      a trace read in a thread of its own, for handlers that must not wait
    responses.py    bytes of a trace as HTTP answers, which never make half a trace look whole
    lifecycle.py    start and stop
    page/           the page, as the browser gets it
"""
