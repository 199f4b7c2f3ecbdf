"""The server's counters, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_SIZES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Requests for poses by status, their duration, their number now, batch sizes, and people found."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        own = self._registry
        self.requests = Counter("ppose_requests", "Requests for poses", ["status"], registry=own)
        self.seconds = Histogram(
            "ppose_request_seconds", "From a request to its answer", registry=own, buckets=_SECONDS
        )
        self.in_flight = Gauge("ppose_requests_in_flight", "Requests for poses in progress", registry=own)
        self.batch_size = Histogram("ppose_batch_images", "Images per batch", registry=own, buckets=_SIZES)
        self.people = Counter("ppose_people", "People whose poses were found", registry=own)

    def to_text(self) -> bytes:
        """Return the counters in Prometheus's text format."""
        return generate_latest(self._registry)
