"""The one place that knows how DataFusion plans our statements and runs our plans."""

import os

# A plan that waits for its data holds one of DataFusion's threads. They are as many as cores unless this is set before
# datafusion is imported; then a few waiting plans would stop all others.
os.environ.setdefault("TOKIO_WORKER_THREADS", "64")
