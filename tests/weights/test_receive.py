"""Downloads that break off, and servers that lie."""

import hashlib

import numpy as np
import pytest

from ppose.errors import DownloadError
from ppose.weights import answers
from ppose.weights.receive import Limits, download

CONTENT = np.random.default_rng(0).bytes(1 << 20)
MD5 = hashlib.md5(CONTENT).hexdigest()
HALF = 1 << 19


@pytest.fixture
def fetch(server, tmp_path):
    """Download the file after these tricks; returns its path."""

    def fetch(*tricks, most_bytes=10_000_000, md5=MD5, content=CONTENT):
        server.files["file.zip"], server.tricks[:] = content, tricks
        limits = Limits(bytes=most_bytes, waits=(0, 0, 0))
        download(f"{server.url}/file.zip", tmp_path / "file.zip", limits=limits, md5=md5)
        return tmp_path / "file.zip"

    return fetch


def starts(server):
    """Where the requests began."""
    return [int(given[6:-1]) if given else 0 for _, given in server.asked]


@pytest.mark.parametrize(
    ("tricks", "expected"),
    [
        ([], [0]),
        (["half"], [0, HALF]),
        (["half"] * 6, [0, *((1 << 20) - (1 << 20 - n) for n in range(1, 7))]),
        (["half", "503", "half"], [0, HALF, HALF, HALF + HALF // 2]),
        (["half", "nothing", "nothing"], [0, HALF, HALF, HALF]),
        (["half", "no ranges"], [0, HALF]),
        (["half", "another part"], [0, HALF, 0]),
        (["too long"], [0]),
        (["no length"], [0]),
        (["no tag"], [0]),
        (["slow"], [0]),
    ],
)
def test_a_file_comes_whole_whatever_happens(fetch, server, tmp_path, tricks, expected):
    assert fetch(*tricks).read_bytes() == CONTENT
    assert starts(server)[: len(expected)] == expected
    assert [file.name for file in tmp_path.iterdir()] == ["file.zip"]
    asked = len(server.asked)
    fetch()
    assert len(server.asked) == asked  # what is there stays


def test_a_silent_server_is_left_and_asked_again(fetch, server, monkeypatch):
    monkeypatch.setattr(answers, "_SILENCE_SECONDS", 0.2)
    assert fetch("silent").read_bytes() == CONTENT
    assert starts(server) == [0, 1000]


def test_another_call_goes_on_where_one_was_killed(fetch, server, tmp_path):
    with pytest.raises(DownloadError, match="repeat the command to resume"):
        fetch("half", "nothing", "nothing", "nothing")
    assert (tmp_path / "file.zip.part").read_bytes() == CONTENT[:HALF]
    assert not (tmp_path / "file.zip").exists()
    assert fetch().read_bytes() == CONTENT
    assert starts(server)[-1] == HALF


def test_a_call_that_was_killed_before_the_last_step(fetch, server, tmp_path):
    with pytest.raises(DownloadError):
        fetch("half", "404")
    (tmp_path / "file.zip.part").write_bytes(CONTENT)
    asked = len(server.asked)
    assert fetch().read_bytes() == CONTENT
    assert len(server.asked) == asked


def test_a_file_that_has_changed_meanwhile_begins_anew(fetch):
    other = CONTENT[::-1]
    with pytest.raises(DownloadError):
        fetch("half", "404")
    assert fetch(content=other, md5=None).read_bytes() == other


@pytest.mark.parametrize(
    "note", [b"{}", b"nonsense", b'{"url": "http://other", "total": 9, "validator": null}']
)
def test_a_part_that_nobody_knows_is_dropped(fetch, server, tmp_path, note):
    (tmp_path / "file.zip.part").write_bytes(b"x" * 100)
    (tmp_path / "file.zip.part.json").write_bytes(note)
    assert fetch().read_bytes() == CONTENT
    assert starts(server) == [0]


@pytest.mark.parametrize(
    ("tricks", "words"),
    [
        (["404"], "the server answered 404"),
        (["503"] * 9, "the server answered 503"),
        (["page"], "a web page"),
        (["huge"], "announces 1,000,000,000,000,000 bytes"),
        (["too short"], "md5"),
        (["nothing"] * 9, "the connection ended after 0|IncompleteRead"),
    ],
)
def test_what_cannot_be_had_is_one_line(fetch, tmp_path, tricks, words):
    with pytest.raises(DownloadError, match=words) as error:
        fetch(*tricks)
    assert "\n" not in str(error.value)
    assert str(tmp_path / "file.zip") in str(error.value)
    assert not (tmp_path / "file.zip").exists()


def test_a_stream_without_an_end_is_left(fetch, tmp_path):
    with pytest.raises(DownloadError, match="got more than 200,000 bytes"):
        fetch("no length", most_bytes=200_000)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_checksum_leaves_nothing(fetch, tmp_path):
    with pytest.raises(DownloadError, match=f"md5 {MD5}, expected {'0' * 32}"):
        fetch(md5="0" * 32)
    assert list(tmp_path.iterdir()) == []
