"""Of the server in tests: small and short."""

from ppose.serving.limits import Limits

LIMITS = Limits(requests=24, bytes=300_000, pixels=1_000_000, people=8, read_seconds=1.0, answer_seconds=20)
