"""`ppose weights convert`, and what it writes, against the format's own library."""

import numpy as np
import pytest
from torch_files import FloatStorage, make_torch_file

from ppose.weights.checkpoint import find_weights
from ppose.weights.reader import read_weights
from ppose.weights.safetensors_file import write_safetensors

ARRAYS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "scalar": np.array(7, np.int64),
    "mask": np.array([True, False, True]),
    "double": np.array([0.5]),
    "none": np.zeros((0, 4), np.float16),
}


def test_what_is_written_is_what_the_formats_own_library_reads(tmp_path):
    library = pytest.importorskip("safetensors.numpy")
    write_safetensors(tmp_path / "a.safetensors", ARRAYS)
    for got in (library.load_file(tmp_path / "a.safetensors"), read_weights(tmp_path / "a.safetensors")):
        assert got.keys() == ARRAYS.keys()
        for key, array in ARRAYS.items():
            np.testing.assert_array_equal(got[key], array, strict=True)


def test_weights_are_converted_beside_their_file(tmp_path, call_ppose):
    storage = FloatStorage("0", 6)
    content = make_torch_file({"a": (storage, 0, (3, 2), (1, 3))}, {"0": ARRAYS["a"].T.tobytes()})
    (tmp_path / "best.pth").write_bytes(content)
    done = call_ppose("weights", "convert", tmp_path / "best.pth")
    assert done.stdout == f"{tmp_path / 'best.safetensors'}: 1 arrays\n"
    np.testing.assert_array_equal(read_weights(tmp_path / "best.safetensors")["a"], ARRAYS["a"])
    assert find_weights(tmp_path / "best") == tmp_path / "best.safetensors"
    done = call_ppose("weights", "convert", tmp_path / "best.safetensors")
    assert done.returncode == 2
    assert "name another file with --output" in done.stderr
