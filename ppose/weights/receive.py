"""Downloads large files by URL, in several tries if needed."""

import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ppose.errors import DownloadError
from ppose.files import file_digest, write_json
from ppose.paths import hide_secrets, show_name
from ppose.weights import answers

if TYPE_CHECKING:
    import requests

_logger = logging.getLogger(__name__)
_pause = time.sleep


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of a download: bytes, seconds (None: any), and ``waits``.

    ``waits`` are the seconds after each try without data; a try with data resets the count.
    """

    bytes: int
    seconds: float | None = None
    waits: Sequence[float] = (1, 3, 10, 30)


def download(url: str, target: Path, *, limits: Limits, md5: str | None = None) -> None:
    """Download a file to ``target``, which appears only when it is whole; an existing file stays.

    Resumes an interrupted download, see `receive`. Raises DownloadError, with the URL and the way out, as
    `receive` does, and for another ``md5``.
    """
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    way_out = f"repeat the command to resume, or download it by hand and put it at {show_name(target)}"
    part = receive(url, target, limits, way_out)
    if md5 is not None and (got := file_digest(part.file, "md5")) != md5:
        part.drop()
        raise DownloadError(
            f"cannot download {hide_secrets(url)}: the received file has the md5 {got}, expected {md5}; "
            f"{way_out}"
        )
    os.replace(part.file, target)
    part.drop()


def receive(url: str, target: Path, limits: Limits, way_out: str) -> "PartialFile":
    """The whole file of a URL under its temporary name beside ``target``.

    It resumes the part of an interrupted or killed try if the server still has the same file and can send a
    part of it; otherwise it starts over. The caller moves `PartialFile.file` to its place and then drops the
    rest. Raises DownloadError that ends with ``way_out`` after several tries without a byte, and beyond the
    ``limits``; OSError of the disk.
    """
    import requests
    import urllib3

    part, waits = PartialFile(url, target), list(limits.waits)
    deadline = None if limits.seconds is None else time.monotonic() + limits.seconds
    while True:
        before = part.size
        try:
            _go_on(url, part, limits, deadline)
            return part
        # The second and third: for senseless redirects and headers.
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
            reason = answers.reason(error, url)
            if part.size > before:
                waits = list(limits.waits)
            if part.size == 0:
                part.drop()
            if not answers.may_pass(error) or not waits:
                raise DownloadError(f"cannot download {hide_secrets(url)}: {reason}; {way_out}") from error
            _logger.warning("%s: %s; resuming in %d s", part.label, reason, waits[0])
            _pause(waits.pop(0))


class PartialFile:
    """The received part of a file, ``.part``, and the server's data on the whole file, ``.part.json``."""

    def __init__(self, url: str, target: Path) -> None:
        self.file = target.with_name(f"{target.name}.part")
        self._note = target.with_name(f"{target.name}.part.json")
        self.label = show_name(Path(urlsplit(url).path).name)
        self._url = hashlib.sha256(url.encode()).hexdigest()  # it may contain credentials
        self.said = self._read()
        if not self.said:
            self.drop()

    @property
    def size(self) -> int:
        return self.file.stat().st_size if self.file.exists() else 0

    @property
    def total(self) -> int | None:
        return self.said.get("total")

    def begin(self, total: int | None, validator: str | None) -> None:
        """Start a new file with these data of the server."""
        self.drop()
        self.said = {"url": self._url, "total": total, "validator": validator}
        write_json(self._note, self.said)

    def drop(self) -> None:
        """Remove both files."""
        self.said = {}
        self.file.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def _read(self) -> dict[str, Any]:
        try:
            said = json.loads(self._note.read_bytes())
            is_sound = said["url"] == self._url and isinstance(said["total"], int | None)
            return said if is_sound and isinstance(said["validator"], str | None) else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}


def _go_on(url: str, part: PartialFile, limits: Limits, deadline: float | None) -> None:
    """Request the missing part; raise errors of requests unless all of it arrives."""
    import requests

    start = part.size
    if start and start == part.total:
        return
    headers = {}
    if start:
        headers["Range"] = f"bytes={start}-"
        if part.said["validator"]:
            headers["If-Range"] = part.said["validator"]
    with answers.ask(url, headers) as response:
        status = response.status_code
        if start and (status == 416 or (status == 206 and not _fits(response, part))):
            part.drop()
            raise requests.ConnectionError("the server has another file than before")
        statuses = (200, 206) if start else (200,)
        length = answers.check_answer(url, response, limits.bytes, statuses)
        if status == 200:
            part.begin(length, _validator(response))
            start = 0
        most = part.total or limits.bytes
        start = _append(response, part, most, deadline)
    if start > most:
        part.drop()
        raise requests.exceptions.InvalidURL(f"got more than {most:,} bytes")
    if part.total is not None and start != part.total:
        raise requests.ConnectionError(f"the connection ended after {start:,} of {part.total:,} bytes")
    if not start:
        raise requests.exceptions.InvalidURL("the server answered with an empty file")


def _append(response: "requests.Response", part: PartialFile, most: int, deadline: float | None) -> int:
    """Append the received bytes, up to ``most`` bytes and a chunk; return the file's size."""
    import requests
    from tqdm import tqdm

    size = part.size
    shown = {"desc": part.label, "unit": "B", "unit_scale": True, "disable": None}
    with (
        open(part.file, "ab", opener=_open_no_link) as file,
        tqdm(total=part.total, initial=size, **shown) as bar,
    ):
        for chunk in answers.chunks(response):
            if size == 0:
                answers.check_head(chunk)
            size += file.write(chunk)
            bar.update(len(chunk))
            if size > most:
                break
            if deadline is not None and time.monotonic() > deadline:
                raise requests.exceptions.InvalidURL("the time limit of the download is over")
        file.flush()
        os.fsync(file.fileno())
    return size


def _open_no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def _fits(response: "requests.Response", part: PartialFile) -> bool:
    """Whether a partial answer starts where our part ends, and belongs to a file of the same length."""
    given = re.fullmatch(r"bytes (\d{1,19})-\d{1,19}/(\d{1,19})", response.headers.get("Content-Range", ""))
    return given is not None and int(given[1]) == part.size and int(given[2]) == part.total


def _validator(response: "requests.Response") -> str | None:
    """The validator that tells whether a file is still the same: a strong ETag, or its time."""
    tag = response.headers.get("ETag", "W/")
    return response.headers.get("Last-Modified") if tag.startswith("W/") else tag
