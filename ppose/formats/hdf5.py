"""Reads and writes HDF5 files with h5py, which is optional."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ppose.errors import DataError
from ppose.paths import show_name


@contextmanager
def open_hdf5(path: Path, kind: str, mode: str = "r") -> Iterator[Any]:
    """Open an `h5py.File` with ``kind``; DataError without h5py, and for a file of another format."""
    try:
        import h5py
    except ImportError:
        raise DataError(
            f"{show_name(path.name)} needs h5py, which is not installed: pip install 'ppose[hdf5]'"
        ) from None
    if mode == "r" and not path.is_file():
        raise DataError(f"file not found: {show_name(path)}")
    try:
        file = h5py.File(path, mode)
    except OSError as error:
        raise DataError(f"{show_name(path)}: not HDF5 with {kind}: {' '.join(str(error).split())}") from None
    with file:
        yield file


def read_texts(dataset: Any) -> list[str]:
    """The values of a dataset of bytes or texts."""
    return [value.decode() if isinstance(value, bytes) else str(value) for value in dataset[()].tolist()]
