"""Archives of arrays that are other than numpy writes them."""

import io
import zipfile

import numpy as np
import pytest

from ppose.archives import DAMAGED, StoredZip, read_npz


def _archive(header: bytes, data: bytes = b"", compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        raw = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data
        archive.writestr("a.npy", raw)
    return buffer.getvalue()


def test_what_numpy_writes_is_read(tmp_path):
    arrays = {
        "a/b": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        "mask": np.array([True]),
        "scalar": np.array(3),
        "none": np.zeros((0, 2)),
    }
    np.savez(tmp_path / "a.npz", **arrays)
    got = read_npz(tmp_path / "a.npz")
    assert list(got) == list(arrays)
    for key, array in arrays.items():
        np.testing.assert_array_equal(got[key], array, strict=True)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x05\x06",
        _archive(b"{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,), }\n"),
        _archive(b"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n", b"abcd"),
        _archive(b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n", b"cos\nsystem\n."),
        _archive(b"{'descr': '<f4', 'fortran_order': False, 'shape': " + b"(" * 5000 + b"}\n"),
        _archive(b"{'descr': '<f4',\n  'fortran_order\n"),
        _archive(b"  {\n 'descr'\n  : ("),
        _archive(b"{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }\n", b"abcd" + bytes(10**7), 8),
    ],
)
def test_damage_is_one_of_a_known_kind(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DAMAGED):
        read_npz(tmp_path / "a.npz")


def test_members_have_their_checksums():
    content = _archive(b"x", b"0123456789")
    assert bytes(StoredZip(content)["a.npy"])[-10:] == b"0123456789"
    with pytest.raises(zipfile.BadZipFile):
        StoredZip(content.replace(b"0123456789", b"0123456780"))["a.npy"]
