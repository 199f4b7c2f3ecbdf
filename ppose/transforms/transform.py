"""What a transform is."""

from typing import Any, Protocol


class Transform(Protocol):
    """A step over a sample, or over a stacked batch; its docstring lists the keys that it reads and writes.

    Random ones take the sample's `generator` (numpy), so that results do not depend on who makes the sample.
    """

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        """The sample, changed in place or another one."""
