"""Unpacks untrusted archives, completely or not at all."""

import gzip
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from ppose.errors import DownloadError
from ppose.files import remove_folder
from ppose.interrupts import cleaned
from ppose.paths import show_name

_CHUNK = 1 << 20
_MOST_MEMBERS = 400_000
_PADDING = 10 << 20  # bytes after the last member of a TAR archive
_BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    gzip.BadGzipFile,
    EOFError,
    RuntimeError,
    ValueError,
)


def unpack(archive: Path, folder: Path, *, most_bytes: int) -> int:
    """Unpack a `.zip` or `.tar.gz` into a folder, replacing nothing; return the number of files in it.

    Everything goes to a hidden folder first, and is then moved to its place, new folders as a whole. Raises
    DownloadError for a damaged archive and for content that no dataset needs: members outside of the folder,
    links and devices, encryption, more than ``most_bytes`` when unpacked, or 400,000 files.
    """
    aside = folder / f".{archive.name}.unpacking"
    remove_folder(aside)  # left by a killed process
    try:
        with cleaned(partial(remove_folder, aside)):
            aside.mkdir(parents=True)
            count, left = 0, most_bytes
            for name, content in _files(archive):
                count += 1
                path = aside / _inside(archive, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                left -= _copy(content, path, left)
                if left < 0 or count > _MOST_MEMBERS:
                    most = f"{most_bytes:,} bytes, or {_MOST_MEMBERS:,} files"
                    raise _refuse(archive, f"holds more than {most}")
            _move(aside, folder)
    except (*_BROKEN, NotImplementedError, FileExistsError, NotADirectoryError) as error:
        raise _refuse(archive, f"is damaged ({' '.join(str(error).split())[:100]})") from None
    return count


def _files(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Name and content of each file; DownloadError for members other than files and folders."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            for info in opened.infolist():
                mode = info.external_attr >> 16
                if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise _refuse(archive, f"holds {show_name(info.filename)[:80]}, which is no plain file")
                if not info.is_dir():
                    with opened.open(info) as content:
                        yield info.filename, content
    else:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                inside = tar.extractfile(member) if member.isreg() else None
                if inside is not None:
                    yield member.name, inside
                elif not member.isdir():
                    raise _refuse(archive, f"holds {show_name(member.name)[:80]}, which is no plain file")
            # Read to the end of the file, where its checksum is.
            if tar.fileobj is not None and len(tar.fileobj.read(_PADDING)) == _PADDING:
                raise _refuse(archive, "has data after its end")


def _inside(archive: Path, name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    is_safe = bool(path.parts) and not path.is_absolute() and ".." not in path.parts
    if not is_safe or "\\" in name or ":" in name or "\0" in name or len(name) > 1000:
        raise _refuse(archive, f"holds {show_name(name)[:80]}, which lies outside of it")
    return path


def _copy(source: IO[bytes], path: Path, most: int) -> int:
    """Copy a file to a new path; stop after ``most`` bytes."""
    size = 0
    with path.open("xb") as file:
        while size <= most and (chunk := source.read(_CHUNK)):
            size += file.write(chunk)
    return size


def _move(source: Path, target: Path) -> None:
    """Move files and folders to their places; existing ones stay."""
    for entry in sorted(source.iterdir()):
        place = target / entry.name
        if entry.is_dir() and place.is_dir():
            _move(entry, place)
        elif not place.exists():
            entry.rename(place)


def _refuse(archive: Path, reason: str) -> DownloadError:
    return DownloadError(
        f"{show_name(archive)} {reason}; nothing of it was unpacked: delete it and try again"
    )
