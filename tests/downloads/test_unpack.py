"""Archives that mean harm, or are damaged."""

import stat
import tarfile
import zipfile

import pytest
from archive_files import tree, write_tar, write_zip

from ppose.downloads import unpack as module
from ppose.downloads.unpack import unpack
from ppose.errors import DownloadError

MEMBERS = {"train/1.jpg": b"one", "train/2.jpg": b"two", "annotations/a.json": b"{}"}


@pytest.mark.parametrize("write", [write_zip, write_tar])
def test_all_is_unpacked_and_what_is_there_stays(tmp_path, write):
    archive = write(tmp_path / "a.archive", MEMBERS)
    target = tmp_path / "target"
    (target / "annotations").mkdir(parents=True)
    (target / "annotations" / "own.json").write_bytes(b"mine")
    assert unpack(archive, target, most_bytes=1000) == 3
    assert tree(target) == {**MEMBERS, "annotations/own.json": b"mine"}
    (target / "train" / "1.jpg").write_bytes(b"changed")
    (target / "train" / "2.jpg").unlink()
    unpack(archive, target, most_bytes=1000)
    assert tree(target) == {**MEMBERS, "annotations/own.json": b"mine", "train/1.jpg": b"changed"}


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/tmp/evil", "a\\..\\evil", "C:evil", "x" * 2000, "a\x1b]0;b/../.."]
)
@pytest.mark.parametrize("write", [write_zip, write_tar])
def test_nothing_leaves_the_folder(tmp_path, write, name):
    archive = write(tmp_path / "a.archive", {"good.txt": b"good", name: b"evil"})
    before = tree(tmp_path)
    with pytest.raises(DownloadError, match="lies outside of it") as error:
        unpack(archive, tmp_path / "target", most_bytes=1000)
    assert "\x1b" not in str(error.value)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_of_a_tar_are_refused(tmp_path, kind):
    archive = write_tar(tmp_path / "a.tar", {"link": b""}, kind)
    with pytest.raises(DownloadError, match="no plain file"):
        unpack(archive, tmp_path / "target", most_bytes=1000)
    assert tree(tmp_path / "target") == {}


def test_links_of_a_zip_are_refused(tmp_path):
    archive = write_zip(tmp_path / "a.zip", {"link": b"/etc/passwd"}, mode=stat.S_IFLNK | 0o777)
    with pytest.raises(DownloadError, match="no plain file"):
        unpack(archive, tmp_path / "target", most_bytes=1000)


@pytest.mark.parametrize("write", [write_zip, write_tar])
def test_bombs_are_refused(tmp_path, write, monkeypatch):
    archive = write(tmp_path / "a.archive", {f"{n}.jpg": bytes(1_000_000) for n in range(5)})
    assert archive.stat().st_size < 100_000
    with pytest.raises(DownloadError, match="more than 3,000,000 bytes"):
        unpack(archive, tmp_path / "target", most_bytes=3_000_000)
    assert tree(tmp_path / "target") == {}
    monkeypatch.setattr(module, "_MOST_MEMBERS", 4)
    with pytest.raises(DownloadError, match="or 4 files"):
        unpack(archive, tmp_path / "target", most_bytes=10_000_000)


def test_a_zip_that_lies_about_a_members_size_is_found(tmp_path):
    archive = write_zip(tmp_path / "a.zip", {"1.jpg": bytes(1_000_000)})
    data = archive.read_bytes()
    archive.write_bytes(data.replace((1_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    with pytest.raises(DownloadError, match="damaged"):
        unpack(archive, tmp_path / "target", most_bytes=1000)
    assert tree(tmp_path / "target") == {}


@pytest.mark.parametrize("write", [write_zip, write_tar])
def test_damaged_archives_leave_nothing(tmp_path, write):
    members = {f"{n}.jpg": bytes(range(n, 256)) * 4 for n in range(12)}
    whole = write(tmp_path / "whole", members).read_bytes()
    target, damaged = tmp_path / "target", tmp_path / "damaged"
    for cut in range(0, len(whole) - 40, max(1, len(whole) // 40)):
        damaged.write_bytes(whole[:cut])
        with pytest.raises(DownloadError, match="damaged"):
            unpack(damaged, target, most_bytes=10_000_000)
        flipped = bytearray(whole)
        flipped[cut] ^= 0xFF
        damaged.write_bytes(bytes(flipped))
        try:
            unpack(damaged, target, most_bytes=10_000_000)
        except DownloadError:
            assert not target.exists() or tree(target) == {}
        else:
            assert sorted(tree(target).values()) == sorted(members.values())
            for file in target.iterdir():
                file.unlink()


def test_a_name_twice_and_a_file_that_is_a_folder_too(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.txt", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.txt", b"2")
    archive = write_tar(tmp_path / "b.tar", {"a": b"1", "a/b": b"2"})
    for path in (tmp_path / "a.zip", archive):
        with pytest.raises(DownloadError, match="damaged"):
            unpack(path, tmp_path / "target", most_bytes=1000)
