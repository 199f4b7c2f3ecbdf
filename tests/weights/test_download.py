"""Downloads against a small server on this machine; no test needs a network."""

import hashlib
import multiprocessing
import socket
from pathlib import Path

import pytest
from download_server import ODD_ANSWERS

from ppose.errors import DownloadError
from ppose.weights import download, receive
from ppose.weights.download import cached_path, fetch, known_digest
from ppose.weights.receive import Limits

CONTENT = bytes(range(256)) * 5000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(server):
    """The server with files that it cannot, or does not, serve as it should."""
    names = ("weights.bin", "half.bin", "empty.bin", "page.bin", "busy.bin", "slow.bin")
    server.files |= dict.fromkeys(names, CONTENT)
    server.always |= {"empty.bin": "nothing", "page.bin": "page", "slow.bin": "slow"}
    return server


def cached_files() -> list[str]:
    """Whole or partial downloads in the cache; lock files and checksums do not count."""
    folder = cached_path("http://x/y").parent
    return sorted(p.name for p in folder.glob("*") if p.suffix not in (".lock", ".sha256"))


def test_a_download_comes_whole_and_only_once(server):
    url = f"{server.url}/a/weights.bin"
    path = fetch(url, sha256=SHA256)
    assert path.read_bytes() == CONTENT
    assert path == cached_path(url)
    assert path.name.endswith("-weights.bin")
    assert fetch(url) == path
    assert server.paths == ["/a/weights.bin"]
    assert cached_files() == [path.name]


def test_without_a_checksum_that_of_the_first_download_counts(server):
    url = f"{server.url}/weights.bin"
    path = fetch(url)
    assert known_digest(url) == SHA256
    path.write_bytes(b"damaged")
    assert fetch(url).read_bytes() == CONTENT
    path.write_bytes(b"damaged")
    server.files["weights.bin"] = b"another file"
    with pytest.raises(DownloadError, match=f"expected sha256:{SHA256} but got"):
        fetch(url)


def test_a_download_that_broke_off_is_gone_on_with(server):
    url = f"{server.url}/weights.bin"
    server.tricks += ["half", "404"]
    with pytest.raises(DownloadError, match="404"):
        fetch(url)
    assert [name.partition("weights.bin")[2] for name in cached_files()] == [".part", ".part.json"]
    assert fetch(url, sha256=SHA256).read_bytes() == CONTENT
    assert server.asked[-1] == ("weights.bin", f"bytes={len(CONTENT) // 2}-")
    assert len(cached_files()) == 1


def test_another_source_serves_the_same_file(server, tmp_path):
    url = f"{server.url}/gone/weights.bin"
    path = fetch(url, source=f"{server.url}/mirror/weights.bin")
    assert path == cached_path(url)
    assert server.paths == ["/mirror/weights.bin"]
    (tmp_path / "w.bin").write_bytes(CONTENT)
    other = f"{server.url}/other.bin"
    assert fetch(other, source=(tmp_path / "w.bin").as_uri()) == tmp_path / "w.bin"
    assert known_digest(other) == SHA256
    (tmp_path / "w.bin").write_bytes(b"another file")
    with pytest.raises(DownloadError, match=f"expected {SHA256}"):
        fetch(other, source=(tmp_path / "w.bin").as_uri())


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
    server.files |= {tail[1:]: tail.encode() for tail in tails}
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
        ("empty.bin", "0 of 1,280,000 bytes|0 bytes read", 3),
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
    with pytest.raises(DownloadError, match="0 of 1,280,000 bytes"):
        fetch(f"{server.url}/empty.bin")
    assert cached_files() == []
    server.tricks += ["half", "half"]
    assert fetch(f"{server.url}/half.bin").read_bytes() == CONTENT


def test_a_busy_server_is_asked_again(server):
    server.tricks += ["503"]
    assert fetch(f"{server.url}/busy.bin").read_bytes() == CONTENT
    assert len(server.asked) == 2


def test_a_wrong_checksum_is_an_error_and_a_stale_copy_is_replaced(server):
    url = f"{server.url}/weights.bin"
    with pytest.raises(DownloadError, match=f"expected sha256:{'0' * 64} but got {SHA256}") as caught:
        fetch(url, sha256="0" * 64)
    assert "\n" not in str(caught.value)
    assert cached_files() == []
    cached_path(url).write_bytes(b"damaged")
    assert fetch(url, sha256=SHA256.upper()).read_bytes() == CONTENT


@pytest.mark.parametrize("name", list(ODD_ANSWERS))
def test_answers_that_make_no_sense_are_one_line_and_never_cached(server, name):
    server.odd = {name: ODD_ANSWERS[name][0]}
    with pytest.raises(DownloadError, match=ODD_ANSWERS[name][1]) as caught:
        fetch(f"{server.url}/{name}")
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert cached_files() == []


def test_more_than_the_most_and_later_than_the_last_moment(server, monkeypatch):
    server.odd = {"odd-any": b"HTTP/1.0 200 OK\r\n\r\n" + CONTENT}
    monkeypatch.setattr(download, "_LIMITS", Limits(bytes=1000))
    with pytest.raises(DownloadError, match="got more than 1,000 bytes"):
        fetch(f"{server.url}/odd-any")
    assert cached_files() == []
    monkeypatch.setattr(download, "_LIMITS", Limits(bytes=10_000_000, seconds=-1))
    with pytest.raises(DownloadError, match="the time limit of the download"):
        fetch(f"{server.url}/weights.bin")
    assert not cached_path(f"{server.url}/weights.bin").exists()


def test_a_link_in_the_place_of_the_temporary_file_is_not_followed(server, tmp_path):
    url = f"{server.url}/weights.bin"
    (tmp_path / "mine").write_text("mine")
    part = Path(f"{cached_path(url)}.part")
    part.parent.mkdir(parents=True)
    part.symlink_to(tmp_path / "mine")
    assert fetch(url).read_bytes() == CONTENT
    assert (tmp_path / "mine").read_text() == "mine"
    assert not cached_path(url).is_symlink()


def test_credentials_of_a_url_are_not_shown(server, caplog):
    host = server.url.partition("//")[2]
    for name in ("missing.bin", "odd-file"):
        server.odd = {name: ODD_ANSWERS["odd-file"][0].replace(b"/etc/passwd", b"//me:secret@a/?t=secret")}
        with pytest.raises(DownloadError) as caught:
            fetch(f"http://me:secret@{host}/{name}?token=secret")
        assert "secret" not in str(caught.value)
    server.tricks += ["half", "404"]
    with pytest.raises(DownloadError):
        fetch(f"http://me:secret@{host}/weights.bin?token=secret")
    for file in cached_path("http://x/y").parent.glob("*.json"):
        assert "secret" not in file.read_text()
    assert "secret" not in caplog.text
    assert f"http://***@{host}/missing.bin?*** comes over plain http" in caplog.text


def test_a_dead_server_is_one_line(server):
    server.stop()
    with pytest.raises(DownloadError, match=r"Connection refused.*by hand") as caught:
        fetch(f"{server.url}/weights.bin")
    assert "\n" not in str(caught.value)
    assert cached_files() == []


def test_an_interrupt_leaves_no_file_and_frees_the_lock(server, monkeypatch):
    url = f"{server.url}/weights.bin"
    with monkeypatch.context() as patch:

        def interrupt(descriptor):
            raise KeyboardInterrupt

        patch.setattr(receive.os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            fetch(url)
    assert not cached_path(url).exists()
    assert fetch(url).read_bytes() == CONTENT
    assert len(cached_files()) == 1


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
    assert server.paths == ["/slow.bin"]
