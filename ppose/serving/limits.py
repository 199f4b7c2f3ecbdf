"""What the server lets a client ask for."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Beyond ``requests`` at once the answer is 503, beyond ``bytes`` or ``pixels`` of an image 413.

    A request's head, and its body, may each take ``read_seconds`` to come (408), an answer ``answer_seconds``
    (503). ``people`` are the most boxes in an image (422).
    """

    requests: int = 128
    bytes: int = 16 << 20
    pixels: int = 50_000_000
    people: int = 256
    read_seconds: float = 10.0
    answer_seconds: float = 30.0
