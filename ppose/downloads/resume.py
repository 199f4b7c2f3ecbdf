"""Large files by URL, fetched in as many goes as it takes."""

import json
import logging
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ppose.errors import DownloadError
from ppose.files import file_digest, write_json
from ppose.paths import hide_secrets, show_name
from ppose.weights import answers

if TYPE_CHECKING:
    import requests

_logger = logging.getLogger(__name__)

_WAITS = (1, 3, 10, 30)  # seconds after a try that brought nothing; one that brought something counts anew


def download(url: str, target: Path, *, most_bytes: int, md5: str | None = None) -> None:
    """Fetch a file to ``target``, which is there when it is whole and not before; one that is there stays.

    What came of a try that broke off, or was killed, lies beside it as ``.part`` and is gone on with, if the
    server still has the same file and can send a part of it; otherwise it begins anew. Raises DownloadError,
    with the URL and the way out, after several tries without a byte, for more than ``most_bytes``, and for
    another ``md5``.
    """
    import requests
    import urllib3

    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = _Part(url, target)
    waits = list(_WAITS)
    while True:
        before = part.size
        try:
            _go_on(url, part, most_bytes)
            break
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
            reason = answers.reason(error, url)
            if part.size > before:
                waits = list(_WAITS)
            if not answers.may_pass(error) or not waits:
                raise _failure(url, target, reason) from error
            _logger.warning("%s: %s; going on in %d s", show_name(target.name), reason, waits[0])
            time.sleep(waits.pop(0))
    if md5 is not None and (got := file_digest(part.file, "md5")) != md5:
        part.drop()
        raise _failure(url, target, f"the file that came has the md5 {got}, expected {md5}")
    os.replace(part.file, target)
    part.drop()


class _Part:
    """What there is of a file, ``.part``, and what the server said of the whole, ``.part.json``."""

    def __init__(self, url: str, target: Path) -> None:
        self.file = target.with_name(f"{target.name}.part")
        self._note = target.with_name(f"{target.name}.part.json")
        self._url = url
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
        """A new file, of which the server said this."""
        self.drop()
        self.said = {"url": self._url, "total": total, "validator": validator}
        write_json(self._note, self.said)

    def drop(self) -> None:
        """Nothing is left."""
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


def _go_on(url: str, part: _Part, most_bytes: int) -> None:
    """One request, for what is missing; requests' errors where it does not bring all of it."""
    import requests
    from tqdm import tqdm

    start = part.size
    if start and start == part.total:
        return
    headers = {}
    if start:
        headers["Range"] = f"bytes={start}-"
        if part.said["validator"]:
            headers["If-Range"] = part.said["validator"]
    with answers.ask(url, headers) as response:
        if response.status_code == 416 or (response.status_code == 206 and not _fits(response, part)):
            part.drop()
            raise requests.ConnectionError("the server has another file than before")
        length = answers.check_answer(url, response, most_bytes, statuses=(200, 206) if start else (200,))
        if response.status_code == 200:
            part.begin(length, _validator(response))
            start = 0
        most = part.total or most_bytes
        with (
            part.file.open("ab") as file,
            tqdm(
                total=part.total, initial=start, unit="B", unit_scale=True, desc=part.file.stem, disable=None
            ) as bar,
        ):
            for chunk in answers.chunks(response):
                if start == 0:
                    answers.check_head(chunk)
                start += file.write(chunk)
                bar.update(len(chunk))
                if start > most:
                    break
            file.flush()
            os.fsync(file.fileno())
    if start > most:
        part.drop()
        raise requests.exceptions.InvalidURL(f"more than {most:,} bytes came")
    if part.total is not None and start != part.total:
        raise requests.ConnectionError(f"the connection ended after {start:,} of {part.total:,} bytes")
    if not start:
        raise requests.exceptions.InvalidURL("the server answered with an empty file")


def _fits(response: "requests.Response", part: _Part) -> bool:
    """Whether a partial answer begins where our part ends, and is of a file of the same length."""
    given = re.fullmatch(r"bytes (\d{1,19})-\d{1,19}/(\d{1,19})", response.headers.get("Content-Range", ""))
    return given is not None and int(given[1]) == part.size and int(given[2]) == part.total


def _validator(response: "requests.Response") -> str | None:
    """What says that a file is still the same: an ETag, unless it is a weak one, or its time."""
    tag = response.headers.get("ETag", "W/")
    return response.headers.get("Last-Modified") if tag.startswith("W/") else tag


def _failure(url: str, target: Path, reason: str) -> DownloadError:
    return DownloadError(
        f"cannot download {hide_secrets(url)}: {reason}; call this again to go on, or download it by "
        f"hand and put it at {show_name(target)}"
    )
