"""Turns a runtime's exception into one line about the file that it reads."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ppose.commandline import find_lack
from ppose.errors import DataError, PposeError
from ppose.paths import show_name, show_text

_SHOWN = 300  # characters of a runtime's message


@contextmanager
def naming(file: Path, fails: str) -> Iterator[None]:
    """Turn any exception of a runtime into a DataError: the file's name, how it ``fails``, the message.

    Paddle, ONNX Runtime and OpenVINO raise exceptions of all kinds for a graph that is damaged or does not
    fit its input; the end of a message tells most. Errors of a machine without free memory or threads stay
    a RuntimeError, which commands explain in their own words.
    """
    try:
        yield
    except (PposeError, MemoryError):
        raise
    except Exception as error:
        if find_lack(error):
            raise RuntimeError(str(error)) from None
        reason = " ".join(str(error).split())[-_SHOWN:] or type(error).__name__
        raise DataError(f"{show_name(file)} {fails}: {show_text(reason, _SHOWN)}") from None
