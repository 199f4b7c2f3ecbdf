"""What a runtime raises, as one line about the file that it reads."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ppose.commandline import RUNTIME_REASONS
from ppose.errors import DataError, PposeError
from ppose.paths import show_name, show_text

_SHOWN = 300  # characters of what a runtime says


@contextmanager
def naming(file: Path, fails: str) -> Iterator[None]:
    """Whatever a runtime raises within becomes a DataError: the file's name, how it ``fails``, its words.

    Paddle, ONNX Runtime and OpenVINO raise exceptions of all kinds for a graph that is damaged or does not
    fit its input; a runtime's last words say most. What a full machine makes them say stays a RuntimeError,
    which commands tell in words of their own.
    """
    try:
        yield
    except (PposeError, MemoryError):
        raise
    except Exception as error:
        if any(re.search(words, str(error)) for words in RUNTIME_REASONS):
            raise RuntimeError(str(error)) from None
        reason = " ".join(str(error).split())[-_SHOWN:] or type(error).__name__
        raise DataError(f"{show_name(file)} {fails}: {show_text(reason, _SHOWN)}") from None
