"""Files are whole or not there: what was there before an error stays."""

import errno
import os
from pathlib import Path

import pytest

from ppose.errors import DataError, DownloadError
from ppose.files import check_writable, read_json, replacing, write_json


def test_an_error_leaves_the_earlier_file_and_nothing_else(tmp_path):
    file = tmp_path / "new" / "a.json"
    write_json(file, {"a": 1})

    def fill_the_disk():
        with replacing(file) as part:
            part.write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space") as caught:
        fill_the_disk()
    assert caught.value.filename == str(file)
    assert file.read_text() == '{"a": 1}'
    assert [p.name for p in file.parent.iterdir()] == ["a.json"]


def test_links_are_followed_and_devices_written_to(tmp_path):
    (tmp_path / "real.json").write_text("old")
    (tmp_path / "link.json").symlink_to("real.json")
    write_json(tmp_path / "link.json", 1)
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "real.json").read_text() == "1"
    write_json("/dev/null", 1)
    assert Path("/dev/null").is_char_device()


def test_what_cannot_be_written_is_an_error_beforehand(tmp_path):
    check_writable(tmp_path / "new" / "folder" / "a.json")
    assert list(tmp_path.iterdir()) == []  # whatever the work ends with
    with pytest.raises(IsADirectoryError):
        check_writable(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        check_writable(tmp_path / "file" / "a.json")
    with pytest.raises(OSError, match="No such file") as caught:
        check_writable("/proc/new/a.json")
    assert caught.value.filename == "/proc/new/a.json"


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], {"a": [{"b": -float("inf")}]}])
def test_numbers_that_json_has_no_word_for_are_an_error(tmp_path, value):
    with pytest.raises(DataError, match=r"a\.json: some numbers are NaN or infinite"):
        write_json(tmp_path / "a.json", value)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "a"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a\0.json", "\ud800.json"])
def test_a_name_that_no_file_can_have(tmp_path, name):
    with pytest.raises(DataError, match=r"cannot write .*: invalid file name"):
        write_json(tmp_path / name, 1)
    with pytest.raises(DataError, match=r"results file not found: invalid file name"):
        read_json(tmp_path / name, "results file")


def test_a_pipe_that_nobody_writes_to_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "a.json")
    for file in (tmp_path / "a.json", "/dev/zero"):
        with pytest.raises(DataError, match="it is a pipe or device, not a file"):
            read_json(file, "annotation file")


def test_what_a_download_says_within_stays(tmp_path):
    with pytest.raises(DownloadError, match="no such host"), replacing(tmp_path / "a.zip"):
        raise DownloadError("no such host")
    assert not list(tmp_path.iterdir())
