"""Files are whole or not there: what was there before an error stays."""

import errno

import pytest

from ppose.files import replacing, write_json


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


def test_an_interrupt_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "a"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
