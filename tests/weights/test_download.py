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
        name = self.path.rsplit("/", 1)[-1].partition("?")[0]
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
        if name.startswith("odd-"):
            self.wfile.write(self.server.odd[name])
            return
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
    import urllib3

    real = urllib3.HTTPResponse.read1

    def lenient(self, *args):
        try:
            return real(self, *args)
        except urllib3.exceptions.HTTPError:
            return b""

    monkeypatch.setattr(urllib3.HTTPResponse, "read1", lenient)
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


_NO_BODY = b"\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_ODD = {
    "odd-204": (b"HTTP/1.1 204 No Content\r\n\r\n", "answered 204"),
    "odd-206": (b"HTTP/1.1 206 Partial\r\nContent-Length: 2\r\n\r\nab", "answered 206"),
    "odd-empty": (b"HTTP/1.1 200 OK" + _NO_BODY, "announces 0 bytes"),
    "odd-nothing": (b"HTTP/1.0 200 OK\r\n\r\n", "empty file"),
    "odd-length": (b"HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n\r\nab", "announces a length"),
    "odd-large": (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\nab", "expected 1 to"),
    "odd-page": (b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n \n<!DOCTYPE html><htm>", "web page"),
    "odd-gzip": (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nab", "compressed"),
    "odd-circle": (b"HTTP/1.1 302 Found\r\nLocation: odd-circle" + _NO_BODY, "redirects"),
    "odd-file": (b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd" + _NO_BODY, "file:"),
    "odd-port": (b"HTTP/1.1 302 Found\r\nLocation: http://a:b" + _NO_BODY, "cannot download"),
    "odd-host": (b"HTTP/1.1 302 Found\r\nLocation: http://[::" + _NO_BODY, "cannot download"),
    "odd-words": (b"HTTP/1.1 404 \x1b[2Jerror: x" + _NO_BODY, "x1b"),
    "odd-binary": (b"\x00\x01\x02\r\n\r\n", "cannot download"),
    "odd-headers": (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\nab", "cannot download"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(_ODD))
def test_answers_that_make_no_sense_are_one_line_and_never_cached(server, name):
    server.odd = {name: _ODD[name][0]}
    with pytest.raises(DownloadError, match=_ODD[name][1]) as caught:
        fetch(f"{server.url}/{name}")
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert cached_files() == []


def test_more_than_the_most_and_later_than_the_last_moment(server, monkeypatch):
    server.odd = {"odd-any": b"HTTP/1.0 200 OK\r\n\r\n" + CONTENT}
    monkeypatch.setattr(download, "_MOST_BYTES", 1000)
    with pytest.raises(DownloadError, match="more than 1,000 bytes came"):
        fetch(f"{server.url}/odd-any")
    monkeypatch.undo()
    monkeypatch.setattr(download, "_MOST_SECONDS", -1)
    with pytest.raises(DownloadError, match="not all came within"):
        fetch(f"{server.url}/weights.bin")
    assert cached_files() == []


def test_a_link_in_the_place_of_the_temporary_file_is_not_followed(server, tmp_path):
    url = f"{server.url}/weights.bin"
    (tmp_path / "mine").write_text("mine")
    part = Path(f"{cached_path(url)}.part")
    part.parent.mkdir(parents=True)
    part.symlink_to(tmp_path / "mine")
    assert fetch(url).read_bytes() == CONTENT
    assert (tmp_path / "mine").read_text() == "mine"
    assert not cached_path(url).is_symlink()


def test_credentials_of_a_url_are_not_told(server, caplog):
    host = server.url.partition("//")[2]
    for name in ("missing.bin", "odd-file"):
        server.odd = {name: _ODD["odd-file"][0].replace(b"/etc/passwd", b"//me:secret@a/?t=secret")}
        with pytest.raises(DownloadError) as caught:
            fetch(f"http://me:secret@{host}/{name}?token=secret")
        assert "secret" not in str(caught.value)
    assert "secret" not in caplog.text
    assert f"http://***@{host}/missing.bin?*** comes over plain http" in caplog.text


def test_published_weights_have_the_checksums_of_the_reference(reference):
    table = (reference / "reference" / "zoo.tsv").read_text()
    for path in (reference / "data" / "weights").iterdir():
        url = f"https://bj.bcebos.com/v1/paddledet/models/keypoint/{path.name}"
        assert url in table
        assert download.KNOWN_SHA256[url] == hashlib.sha256(path.read_bytes()).hexdigest()


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
