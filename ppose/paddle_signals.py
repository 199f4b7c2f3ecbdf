"""Keeps the handler of SIGTERM when Paddle is imported; Paddle replaces it by its own crash report.

Otherwise a program, such as a server, would lose its own handler by opening its first `Predictor`.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

_TAKES = "paddle.base"  # the module that replaces the handler
_SIGACTION = 1024  # bytes, larger than any system's struct


def keep_sigterm() -> None:
    """Make any later import of Paddle keep the handler of SIGTERM; no effect if Paddle is loaded already."""
    if os.name == "posix" and _TAKES not in sys.modules and _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)


class _Finder:
    """Finds that one module as Python does, and keeps the handler while it loads."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name == _TAKES else None
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                with _kept(signal.SIGTERM):
                    load(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


@contextmanager
def _kept(number: int) -> Iterator[None]:
    """Restores a signal's handler after compiled code replaces it. Works in any thread, unlike `signal`."""
    sigaction: Any = ctypes.CDLL(None).sigaction
    before = ctypes.create_string_buffer(_SIGACTION)
    sigaction(number, None, before)
    try:
        yield
    finally:
        sigaction(number, before, None)
