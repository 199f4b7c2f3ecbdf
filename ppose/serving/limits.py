"""Limits on the requests of clients."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Beyond ``requests`` at once the server answers 503, beyond ``bytes`` or ``pixels`` of an image 413.

    A request's head and body must each arrive within ``read_seconds`` (408), and be answered within
    ``answer_seconds`` (503). An image has at most ``people`` boxes (422).
    """

    requests: int = 128
    bytes: int = 16 << 20
    pixels: int = 50_000_000
    people: int = 256
    read_seconds: float = 10.0
    answer_seconds: float = 30.0
