"""What a runtime raises, as one line about the file that it reads."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ppose.errors import DataError, PposeError
from ppose.paths import show_name, show_text

_SHOWN = 300  # characters of what a runtime says


@contextmanager
def naming(file: Path, fails: str) -> Iterator[None]:
    """Whatever a runtime raises within becomes a DataError: the file's name, how it ``fails``, its words.

    Paddle, ONNX Runtime and OpenVINO raise exceptions of all kinds for a graph that is damaged or does not
    fit its input; a runtime's last words say most.
    """
    try:
        yield
    except (PposeError, MemoryError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[-_SHOWN:] or type(error).__name__
        raise DataError(f"{show_name(file)} {fails}: {show_text(reason, _SHOWN)}") from None
