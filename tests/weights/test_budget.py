"""Weights files that ask for more memory or time than they are worth: each ends in one line, soon."""

import io
import os
import pickle
import time
import tracemalloc
import zipfile

import numpy as np
import pytest

from ppose.errors import CheckpointError
from ppose.weights.reader import read_weights

ARRAY = np.arange(6, dtype=np.float32)
# A dict with one array, to which a key, or whatever else, is added.
OPEN = pickle.dumps({"a": ARRAY}, 4)[:-1]
DOUBLED = b")" + b"2\x86" * 60  # each tuple holds the one before twice: 2**60 leaves
DEEP = b")" + b"\x85" * 200_000


def _array_of(shape: bytes, raw: bytes = b"C\x04abcd") -> bytes:
    """A dict whose array has the shape and bytes of these operations."""
    start = b"\x80\x04}X\x01\x00\x00\x00acnumpy.core.multiarray\n_reconstruct\n)R"
    dtype = b"cnumpy\ndtype\nX\x02\x00\x00\x00f4\x85R"
    return start + b"(K\x01" + shape + dtype + b"\x89" + raw + b"tbs."


def _many_of_one(count: int) -> bytes:
    """Many arrays of the same bytes, which have to be copied each, for another order of bytes."""
    raw = np.zeros(1 << 19, ">f4").tobytes()
    start = b"\x80\x04" + b"B" + len(raw).to_bytes(4, "little") + raw + b"q\x000}("
    one = (
        b"cnumpy.core.multiarray\n_reconstruct\n)R(K\x01J\x00\x00\x08\x00\x85"
        b"cnumpy\ndtype\nX\x02\x00\x00\x00f4\x85R(K\x03X\x01\x00\x00\x00>tb\x89h\x00tb"
    )
    return start + b"".join(b"X\x04\x00\x00\x00%04d" % n + one for n in range(count)) + b"u."


def _zip(*members: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def _safetensors(header: bytes, data: bytes = b"") -> bytes:
    return len(header).to_bytes(8, "little") + header + data


_TEXT = "a\N{GRINNING FACE}".encode() + b"a" * 900
_CASES = {
    "a memo of four billion": b"\x80\x04]r\xff\xff\xff\xff.",
    "a key that is hashed for ever": OPEN + DOUBLED + b"Ns}" + DOUBLED + b"Ns.",
    "a key of many levels": OPEN + DEEP + b"Ns0" + DEEP + b".",
    "a name that is shown for ever": b"\x80\x04" + DOUBLED + DOUBLED + b"\x93.",
    "a storage that is shown for ever": b"\x80\x04}X\x01\0\0\0a(" + DOUBLED * 5 + b"tQs.",
    "a type that is shown for ever": b"\x80\x04cnumpy\ndtype\n" + DOUBLED + b"\x85R.",
    "a shape of 200,000 numbers": _array_of(b"(" + b"J\xff\xff\xff\x7f" * 200_000 + b"t"),
    "a shape that is shown for ever": _array_of(DOUBLED),
    "a number of many bytes": b"\x80\x04}\x8b\x00\x00\x10\x00" + b"\x7f" * (1 << 20) + b"Ns.",
    "bytes that are not there": b"\x80\x04}K\x01\x8e" + b"\xff" * 7 + b"\x3f.",
    "a frame that is not there": b"\x80\x04\x95" + b"\xff" * 7 + b"\x3f}.",
    "many lists": b"\x80\x04" + b"]" * 1_000_000 + b".",
    "many marks": b"\x80\x04" + b"(" * 1_000_000 + b".",
    "wide texts": b"\x80\x04(" + (b"X" + len(_TEXT).to_bytes(4, "little") + _TEXT) * 20_000 + b"l.",
    "a list that is copied again and again": (
        b"\x80\x04(" + b"K\x01K\x02\x86" * 90_000 + b"lq\x00\x85q\x01"
        b"ccollections\nOrderedDict\nq\x020" + b"h\x02h\x01R" * 50_000 + b"."
    ),
    "a text that is encoded again and again": (
        b"\x80\x04X\x00\x00\x10\x00" + b"a" * (1 << 20) + b"X\x06\x00\x00\x00latin1\x86q\x00c_codecs\n"
        b"encode\nq\x01" + b"h\x01h\x00R" * 10_000 + b"."
    ),
    "many arrays of one": _many_of_one(300),
    "a zip archive of many members": _zip(*[(f"m/{n}", b"") for n in range(25_000)]),
    "a safetensors header of brackets": _safetensors(b'{"a":' + b"[" * 1_000_000),
    "a safetensors shape": _safetensors(
        b'{"a":{"dtype":"F32","shape":[' + b"9" * 4000 + b',1],"data_offsets":[0,4]}}', b"abcd"
    ),
    "a safetensors hole": _safetensors(
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}', b"abcdabcd"
    ),
}


@pytest.mark.parametrize("kind", list(_CASES))
def test_what_is_not_worth_it_is_refused_soon_and_with_little_memory(tmp_path, kind):
    content = _CASES[kind]
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    begin = time.process_time()
    with pytest.raises(CheckpointError) as caught:
        read_weights(path)
    spent = time.process_time() - begin
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError):
            read_weights(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 400
    assert spent < 5  # seconds on a busy machine; half of one alone
    assert peak < 3 * len(content) + 100e6


@pytest.mark.parametrize("kind", ["a key that is hashed for ever", "a key of many levels"])
def test_entries_with_keys_that_are_no_text_are_left_out(tmp_path, kind):
    path = tmp_path / "weights.pth"
    path.write_bytes(_CASES[kind].partition(b"Ns")[0] + b"Ns.")
    np.testing.assert_array_equal(read_weights(path)["a"], ARRAY)


def test_every_array_is_copied_once_at_most(tmp_path):
    wide = np.arange(1 << 20, dtype=np.uint16)
    swapped = np.arange(1 << 20, dtype=">f4")
    path = tmp_path / "weights.pdparams"
    path.write_bytes(pickle.dumps({"a": wide, "tied": wide, "b": swapped}, 4))
    tracemalloc.start()
    arrays = read_weights(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert arrays["a"] is arrays["tied"]
    assert arrays["a"].dtype == arrays["b"].dtype == np.float32
    assert arrays["b"][5] == 5
    # The file, 2 bytes an element made 4, 4 bytes an element swapped.
    assert peak < path.stat().st_size + 2 * wide.nbytes + swapped.nbytes + (1 << 19)


@pytest.mark.parametrize("dtype", ["u4", "u8"])
def test_unsigned_numbers_are_refused(tmp_path, dtype):
    path = tmp_path / "weights"
    path.write_bytes(pickle.dumps({"a": ARRAY.astype(dtype)}))
    with pytest.raises(CheckpointError, match=f"dtype '{dtype}'"):
        read_weights(path)


@pytest.mark.parametrize(("dtype", "size"), [("U16", 2), ("U32", 4), ("U64", 8), ("F8_E4M3", 1)])
def test_safetensors_types_that_no_network_has_are_refused(tmp_path, dtype, size):
    header = b'{"a":{"dtype":"%s","shape":[1],"data_offsets":[0,%d]}}' % (dtype.encode(), size)
    path = tmp_path / "weights"
    path.write_bytes(_safetensors(header, bytes(size)))
    with pytest.raises(CheckpointError, match=f"holds 'a' as {dtype}"):
        read_weights(path)


def test_float64_beyond_float32_is_refused(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(pickle.dumps({"a": np.array([1.0, -1e39])}))
    with pytest.raises(CheckpointError, match=r"1e\+39 in 'a', too large for float32"):
        read_weights(path)
    path.write_bytes(pickle.dumps({"a": np.array([1.0, -3e38, np.nan])}))
    assert read_weights(path)["a"].dtype == np.float64


def test_names_of_a_file_forge_no_lines(tmp_path):
    path = tmp_path / "weights"
    name = "a\nerror: \x1b[2J" + "b" * 500
    for content in (pickle.dumps({name: 1}), pickle.dumps({name: np.array([1e39])})):
        path.write_bytes(content)
        with pytest.raises(CheckpointError) as caught:
            read_weights(path)
        assert r"a\nerror: \x1b[2J" in str(caught.value)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 400


def test_pipes_and_devices_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(CheckpointError, match="a pipe or device, not a file"):
            read_weights(path)
