"""The protocol of transforms."""

from typing import Any, Protocol


class Transform(Protocol):
    """A step on a sample, or on a stacked batch; its docstring lists the keys that it reads and writes.

    Random ones use the sample's `generator` (numpy), so that results do not depend on which worker runs them.
    """

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        """Return the sample, changed in place or new."""
