"""Downloads against a small server on this machine; no test needs a network."""

import hashlib
import http.server
import multiprocessing
import socket
import threading
import time
from pathlib import Path

import pytest

from ppose.errors import DownloadError
from ppose.weights import download
from ppose.weights.download import cached_path, fetch

CONTENT = bytes(range(256)) * 5000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT; the path says how it fails."""

    def do_GET(self):
        self.server.asked.append(self.path)
        name = self.path.rsplit("/", 1)[-1]
        if name == "missing.bin":
            self.send_error(404)
            return
        if name == "busy.bin" and len(self.server.asked) == 1:
            self.send_error(503)
            return
        body = CONTENT
        if name == "page.bin":
            body = b"<html>log in</html>"
        if name == "echo.bin":
            body = self.path.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if name == "page.bin" else "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if name == "slow.bin":
            time.sleep(1)
        self.wfile.write(body[: len(body) // 2] if name == "truncated.bin" else body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, "_RETRY_AFTER_SECONDS", (0, 0))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked = []
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    server.stop = lambda: (server.shutdown(), server.server_close(), thread.join())
    yield server
    if thread.is_alive():
        server.stop()


def cached_files() -> list[str]:
    """Whole or partial downloads in the cache; lock files do not count."""
    folder = cached_path("http://x/y").parent
    return sorted(p.name for p in folder.glob("*") if p.suffix != ".lock")


def test_a_download_comes_whole_and_only_once(server):
    url = f"{server.url}/a/weights.bin"
    path = fetch(url, sha256=SHA256)
    assert path.read_bytes() == CONTENT
    assert path == cached_path(url)
    assert path.name.endswith("-weights.bin")
    assert fetch(url) == path
    assert server.asked == ["/a/weights.bin"]
    fetch(url, force=True)
    assert len(server.asked) == 2
    assert cached_files() == [path.name]


def test_cached_files_need_no_network(server, monkeypatch):
    path = fetch(f"{server.url}/weights.bin")
    server.stop()

    def no_network(*args, **kwargs):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", no_network)
    assert fetch(f"{server.url}/weights.bin", sha256=SHA256) == path


def test_the_cache_folder_is_ppose_home(server, monkeypatch, tmp_path):
    monkeypatch.setenv("PPOSE_HOME", str(tmp_path / "elsewhere"))
    assert (tmp_path / "elsewhere") in fetch(f"{server.url}/weights.bin").parents


def test_urls_with_the_same_file_name_do_not_collide(server):
    tails = ("/a/echo.bin", "/b/echo.bin", "/c/d/echo.bin", "/c%2Fd/echo.bin")
    paths = {tail: fetch(server.url + tail) for tail in tails}
    assert len(set(paths.values())) == len(tails)
    assert all(path.read_text() == tail for tail, path in paths.items())
    assert cached_path("http://x/get?id=1") != cached_path("http://x/get?id=2")


def test_cache_names_stay_within_the_folder():
    for url in ("http://x/..%2f..%2fetc/passwd", "http://x/a/..", "http://x", "http://x/" + "n" * 400):
        path = cached_path(url)
        assert path.parent == cached_path("http://x/y").parent
        assert len(path.name) < 140


@pytest.mark.parametrize(
    ("name", "words", "asked"),
    [
        ("missing.bin", "404", 1),
        ("truncated.bin", "640,000 of 1,280,000 bytes|640000 bytes read", 3),
        ("page.bin", "web page", 1),
    ],
)
def test_a_failed_download_is_one_line_and_leaves_nothing(server, name, words, asked):
    url = f"{server.url}/{name}"
    with pytest.raises(DownloadError, match=words) as caught:
        fetch(url)
    text = str(caught.value)
    assert url in text
    assert str(cached_path(url)) in text
    assert "\n" not in text
    assert len(server.asked) == asked
    assert cached_files() == []


def test_a_truncated_body_is_found_without_the_help_of_urllib3(server, monkeypatch):
    import requests

    # What urllib3 before 2.0 does: the body just ends.
    real = requests.models.Response.iter_content

    def lenient(self, *args):
        self.raw.enforce_content_length = False
        self.raw.length_remaining = 10
        try:
            yield from real(self, *args)
        except requests.exceptions.ChunkedEncodingError:
            return

    monkeypatch.setattr(requests.models.Response, "iter_content", lenient)
    with pytest.raises(DownloadError, match="of 1,280,000 bytes"):
        fetch(f"{server.url}/truncated.bin")
    assert cached_files() == []


def test_a_busy_server_is_asked_again(server):
    assert fetch(f"{server.url}/busy.bin").read_bytes() == CONTENT
    assert len(server.asked) == 2


def test_a_wrong_checksum_is_an_error_and_a_stale_copy_is_replaced(server, monkeypatch):
    url = f"{server.url}/weights.bin"
    with pytest.raises(DownloadError, match=f"sha256 {SHA256}, expected {'0' * 64}"):
        fetch(url, sha256="0" * 64)
    assert cached_files() == []
    cached_path(url).write_bytes(b"damaged")
    monkeypatch.setitem(download.KNOWN_SHA256, url, SHA256.upper())
    assert fetch(url).read_bytes() == CONTENT


def test_a_dead_server_is_one_line(server):
    server.stop()
    with pytest.raises(DownloadError, match=r"Connection refused.*by hand") as caught:
        fetch(f"{server.url}/weights.bin")
    assert "\n" not in str(caught.value)
    assert cached_files() == []


def test_an_interrupt_leaves_nothing_and_frees_the_lock(server, monkeypatch):
    url = f"{server.url}/weights.bin"
    with monkeypatch.context() as patch:

        def interrupt(descriptor):
            raise KeyboardInterrupt

        patch.setattr(download.os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            fetch(url)
    assert cached_files() == []
    assert fetch(url).read_bytes() == CONTENT


def test_a_cache_that_cannot_be_written_names_the_folder(server, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("PPOSE_HOME", str(tmp_path / "file"))
    with pytest.raises(DownloadError, match=str(tmp_path / "file")):
        fetch(f"{server.url}/weights.bin")


def test_file_urls_are_used_in_place(tmp_path):
    path = tmp_path / "my weights.bin"
    path.write_bytes(CONTENT)
    assert fetch(path.as_uri(), sha256=SHA256) == path
    with pytest.raises(DownloadError, match=f"expected {'0' * 64}"):
        fetch(path.as_uri(), sha256="0" * 64)
    with pytest.raises(DownloadError, match="no file"):
        fetch((tmp_path / "absent.bin").as_uri())
    with pytest.raises(DownloadError, match="no file elsewhere"):
        fetch(f"file://elsewhere{path}")


@pytest.mark.parametrize("url", ["ftp://x/y", "s3://bucket/y", "weights.bin"])
def test_other_schemes_are_refused(url):
    with pytest.raises(DownloadError, match="expected http://"):
        fetch(url)


def _fetch_in_process(url: str, results: "multiprocessing.Queue") -> None:
    results.put(str(fetch(url)))


def test_processes_at_the_same_time_download_once(server):
    # Spawned, as the ranks of a training are; PPOSE_HOME is inherited.
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    url = f"{server.url}/slow.bin"
    processes = [context.Process(target=_fetch_in_process, args=(url, results)) for _ in range(3)]
    for process in processes:
        process.start()
    paths = {results.get(timeout=60) for _ in processes}
    for process in processes:
        process.join()
    assert paths == {str(cached_path(url))}
    assert Path(paths.pop()).read_bytes() == CONTENT
    assert server.asked == ["/slow.bin"]
