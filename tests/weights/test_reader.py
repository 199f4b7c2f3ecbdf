"""The weights reader against files that PyTorch, Paddle and safetensors wrote, and against hostile ones."""

import base64
import contextlib
import gzip
import io
import pickle
import zipfile
import zlib

import numpy as np
import pytest
from torch_files import FloatStorage, make_torch_file

from ppose.errors import CheckpointError
from ppose.weights.reader import read_weights

# Written by torch.save of PyTorch 2.13, zlib and base64 around it: EXPECTED under `state_dict`, beside a
# numpy scalar and an optimizer state; `whole`, `transposed`, `part` share one storage.
TORCH_ZIP = """
eNqllttzE1Ucx08uTdoFlDutF0AumiqE3JsqpSVgQBZLWUAjXtLt5rS7wyab3+4JUMbOdEYJ4BPjjI5Pjm+Ob775xnT0H5AZxycf
vDw4PsmTr/o7Z9PtbppSwDPzS9Ld8/n+Lnt+v+2UHIkS0t9PVq0NZBe5nj5SU5mabF4xy6Vt5PLqtRheAJKo9CFAm5amQ0iOVFCR
zFCHQVhrtOrN+WRVs2yarLdMZqi2rc5Ljqaaqi1BxN0g1dh8k0oQrYQRnS1C353btyCmQDyBciG8dhT6Jycnz/yLS3zIhMHAjIbC
Nao5Em3wHxJIlQEvgR/ujsOGSgx/mSozGmnY2IZNCjzVhqcV2FyR8IbDVEarNUNjsEXTLNOkGjOshiOds2vUprWTeEeCrcMKbHNz
vKZbJoXtGrNsTU9WW8wwHalq05mWYdaqjDYcy65ezUiwI5GoxIUHy1bnKOx0EalsWiq74F6UYJfILQWDlQh+a80WDMmDDJ45LxM5
Ksfa8Kwck0NteO6OzoN4nsFuBfaI0JmtNpym5dAa7NXRm75T36UP6oJ/gfMxOdqGfXKIy+x3+QMMDirwong+TdVm8FI3mTgvx+Ww
HGnDMAqE2/CyS77C4JAChwWpq+YsJF2yk9VpvOQldUQklYYUSoYZpHkw4ZuQkUM3IevK5RjkFSiIhzMzy0sCIwHBkqhTuuCJFoVo
BkZd0Vc7oq9x0aOu6BiDYwqMixOA2al1yqgNE2s8K2+HBMeXqyB8ZKGEPkIMTnAfKH+Sf7zu+igzOKXA6dvijzduwRkFZHEwNKvV
YHA2kMRZqzHnJfCmEM/BpCt+DsWHh13RKQbnFVBEceuqcwUuBGthWaYnc1HI5OGSW4e3OnV4m8dYceXeYXBZgXfdnqw32Ty8F0iw
AO8jjP3zAYcJf9hVOcKP2bQrgE9jRgGtJSppNZlRN25gJWsLQIWo6BqYXYA5mSyALs45vd6sqlfnwND3OI7TSk7J8X76YIsziElx
m1pzzmwlCT5nkrOWXVdZ9Sq1HWzBculAr3GzaqW5o+/+/uUjnhm3tR3tIEeFo05LVlXTmGvUaYOVS8VH8tVrFXI8gPFr8BefXOGH
BrCRRHkAM/OMWny+lEs4mgzGTMo1bo79McT7IfZQjQFyYnkqH0mVS+NPHHhndWSPEbKItoRGxgnZizaBNo22iHYX7Su0b9GW0H5E
+xXtARqZwEjRNqMNou1FS6Cl0IoTPLNTY7/vm8aN0+tkNuxlli6XDj5aZqRIlriPj7+p3OX9E13HR5/nI1MuhcjlpfHFe5y/9lnN
ejw+K3hMX+R45/5vXz8enxN8vHOHazR//tPiUP86Gsc9jXy5NPb/TkBIeL63//tK8PySnp7jnudCuRThnteOUyKDfLfXz9t7BpqV
uP/7X85dWr9/hsiIaGARgENtAzv4hspf2FWjVi5ln6QSqUJxNJ8ZzRdyI8V8JlXI50eKqVwqm8sUs6Op1Gg6OzKSxQ08yk/Yh8cT
GEdCRBniwXpx+mfdhlWR+/6P6gb9s2trANKjpMdg7Ob9o2dHgL/f4VfNu24J/+TZGJBQ+khgYnWT/s4eCJCf95GVOdWN+Zs1iDVj
K1i6G/P3aBD7yYdlujF/awax7fEVLNuN+bsxiF30YbluzN9KQewLH5Zfxnr3WeD92L+CFbq9+RtHCmATLrbGqfEf5aEA96nL9W6y
KTkWO9TZuDty2IM2dX3/4+ZGigPL0y0mBl2yc7zcF3VfzGU2if3u3v8AdfmnVA==
"""
# The same with _use_new_zipfile_serialization=False.
TORCH_LEGACY = """
eNp9VMuS20QUbckeOxEkDK8w4ZUJTw8PY3s8YxtCbEIyhChxMgoP8QiKLPeMlMiWjtQeGKpc5U2cSVb5ABYsWfIF1FTxA3wCW3Zs
qaIKbku2qwyGrjqtVqt1Tve5t+9Iva/5f3639cfqrR+unSyO1Cu/ZagfghXMZcZYGAUicALf2uNR7AV9KLTAPEZffE8In1u83/Xs
PtQDU6NJsR9yK/a+5TEyQ2QL5hJNxm4QCSzpqpmhN68vkNOzZlZyBP1d5PXsYDDVlOt5GDguFD2TrOnwWEB1+oNeuF+0nCDixd7A
F54dRfa+Fju2b0caMukCrSt3oCFrqvTrTh1L9w7uImcgXyA6hebO4Ei73b70F7Wk05nA0Y5DxF3uxBrvy4EGzTzKpu3nB008ZObk
fm3h9ct4eIxjBo6P8YiB5eTcsbAFt7qeI/CoQ3b53BHkVqxdjbo84t3z9EXDY2sGHk/P+LUb+BxPOCKIHLdoDYTnx5oV8c7A87uW
4P04iKy9ioYnCwUznygEkb3LcSL9RdvyA1tcTyc1PGUepzWNanmjUamWG+WNzfUKVhK/nXCAk/pKW+DpbZ3pWT03xjN6TlfGePae
K7f0nMDzBk6lAYzsfhwGMe9i1SVt94S7kPu0m3K+IDkpnGO8qCuS+qWU82WBVwy8mkQwtCn8hf9jW5uwvbat53VVz4zxOpGqY7yR
sr0pUDTwVsLm2v4OSinbxIuLNDWzojwnUK9VGpslVEhAJYF1uV31Dqq6cgcbKfmmQM1APQlwZ0faisYc/bnE6/LmTOLtf0isl2oV
vDORODOReFdKnE0lmgItA+8lOUVu2D0ueIRz/xH92QoN7//btfVKvVKt1RoVnCdFhRQvSEUS25LdB6niRYEPDVw6SF70u7hs4EqS
eE4woAvYnjvgZbqGs8NdnT9cdaNWruDaRGqbpNbWUglD4LqBj5Kg9Oz4Nj6edy0I/BnpJ/NRL23Wq3V8OnHMnDj2mdz/5yn5FwJf
GriR1oNeKPbx1eIEqpZL1RIsomJEdVNSMZlAtp6RKd5J6ehedg3wQRKBIBRej2pUhJ0hdtMSJe8v3CE8nQ1xK7lx/JvQsvd2cds9
FcexrFA3ZIVa4I6yKOXURUmSWeRDdtGVWFp0zNyiNMjzojKpVPnJU52Wrjo7nI4Pm6OfpmOFrbC5dpaxEeGQwJqMrRJahJuEEeEB
4XvCj03Jw9gvhF8JvxNYi7EjhGXCCmGVUCCUCPUWmylOW6v1N5CDrBc=
"""
BASE = np.arange(24, dtype=np.float32).reshape(4, 6) / 8
EXPECTED = {
    "whole": BASE,
    "transposed": BASE.T,
    "part": BASE[1:3, 1::2],
    "half": np.array([0.5, -2.0], np.float16),
    "bfloat": np.array([1.5, -0.25], np.float32),
    "parameter": np.array([3.0], np.float32),
    "count": np.array(7, np.int64),
    "mask": np.array([True, False]),
    "empty": np.zeros((0, 3), np.float32),
}


def unpack(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))


def write(folder, content: bytes, name: str = "weights.pth"):
    path = folder / name
    path.write_bytes(content)
    return path


def refusal(folder, content: bytes, name: str = "weights.pth") -> str:
    """The text of the error for a file of that content; it names the file and its size on one line."""
    path = write(folder, content, name)
    with pytest.raises(CheckpointError) as caught:
        read_weights(path)
    text = str(caught.value)
    assert text.startswith(f"{path} ({len(content):,} bytes) ")
    assert "\n" not in text
    return text


def assert_same(got: dict, expected: dict) -> None:
    assert list(got) == list(expected)
    for key, array in expected.items():
        assert got[key].dtype == array.dtype, key
        np.testing.assert_array_equal(got[key], array, err_msg=key, strict=True)


# --- what publishers write -----------------------------------------------------------------------------


@pytest.mark.parametrize("content", [TORCH_ZIP, TORCH_LEGACY], ids=["zip", "legacy"])
@pytest.mark.parametrize("name", ["a.pth", "best.tar", "a.pdparams", "a"])
def test_torch_files_are_known_by_their_content(tmp_path, content, name):
    assert_same(read_weights(write(tmp_path, unpack(content), name)), EXPECTED)


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("wrapper", [None, "state_dict", "model"])
def test_paddle_pickles(tmp_path, protocol, wrapper):
    arrays = {key: value for key, value in EXPECTED.items() if key != "bfloat"}
    arrays["fortran"] = np.asfortranarray(BASE)
    arrays["big_endian"] = BASE.astype(">f4")
    state = {**arrays, "StructuredToParameterName@@": {"whole": "conv2d_0.w_0"}}
    content = pickle.dumps(state if wrapper is None else {wrapper: state, "epoch": 3}, protocol)
    assert_same(read_weights(write(tmp_path, content)), arrays | {"big_endian": BASE})


def test_numpy_1_module_names(tmp_path):
    content = pickle.dumps({"a": BASE}, 2).replace(b"numpy._core.", b"numpy.core.")
    assert b"numpy.core.multiarray" in content
    assert_same(read_weights(write(tmp_path, content)), {"a": BASE})


def test_paddle_save_itself(tmp_path):
    paddle = pytest.importorskip("paddle")
    layer = paddle.nn.Linear(3, 2)
    expected = {name: tensor.numpy() for name, tensor in layer.state_dict().items()}
    paddle.save(layer.state_dict(), str(tmp_path / "a.pdparams"))
    assert_same(read_weights(tmp_path / "a.pdparams"), expected)
    # Nested tensors are written as tuple((inner name, array)).
    paddle.save({"model": dict(layer.state_dict()), "epoch": 1}, str(tmp_path / "b.pdparams"))
    assert_same(read_weights(tmp_path / "b.pdparams"), expected)
    bfloat = paddle.to_tensor([1.5, -0.25]).astype("bfloat16")
    paddle.save({"bfloat": bfloat}, str(tmp_path / "c.pdparams"))
    assert_same(read_weights(tmp_path / "c.pdparams"), {"bfloat": EXPECTED["bfloat"]})


def test_paddle_slices_of_large_arrays_are_joined(tmp_path):
    flat = BASE.ravel()
    table = {"big": {"OriginShape": BASE.shape, "slices": ["big@@.0", "big@@.1"]}}
    state = {"big@@.0": flat[:15], "big@@.1": flat[15:], "UnpackBigParamInfor@@": table}
    assert_same(read_weights(write(tmp_path, pickle.dumps(state, 2))), {"big": BASE})


def test_safetensors(tmp_path):
    safetensors_numpy = pytest.importorskip("safetensors.numpy")
    arrays = {key: value.copy() for key, value in sorted(EXPECTED.items()) if key != "bfloat"}
    got = read_weights(write(tmp_path, safetensors_numpy.save(arrays), "a.safetensors"))
    assert_same(dict(sorted(got.items())), arrays)
    header = b'{"b":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}'
    content = len(header).to_bytes(8, "little") + header + bytes.fromhex("c03f80be")
    assert_same(read_weights(write(tmp_path, content)), {"b": EXPECTED["bfloat"]})


def test_real_tinypose_weights(reference):
    for name in ("tinypose_256x192", "tinypose_128x96"):
        path = reference / "data" / "weights" / f"{name}.pdparams"
        with path.open("rb") as file:
            expected = pickle.load(file)
        del expected["StructuredToParameterName@@"]
        assert len(expected) == 1342
        assert_same(read_weights(path), expected)


# --- files that are none -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty file"),
        (b"  \n", "empty file"),
        (b"<!DOCTYPE html><html>", "web page: was the download blocked"),
        (b"\n<html><body>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:12\n", "git lfs pull"),
        (b"Traceback: no such file", "text file that starts with 'Traceback"),
        (b"\x7fELF\x02\x01\x01", "unknown format"),
        (bytes(40) + bytes.fromhex("57fb808b247547db"), "a checkpoint of TensorFlow"),
        (bytes(300), "pdiparams"),
        (gzip.compress(b"x", mtime=0), "gzip"),
        (b"\x93NUMPY\x01\x00", "arrays of numpy"),
        (pickle.dumps([1, 2]), "no state dict but a list"),
        (pickle.dumps({"epoch": 1, "lr": 0.5}), "no arrays; its keys are 'epoch', 'lr'"),
        (pickle.dumps({}), "no arrays; its keys are none"),
    ],
)
def test_other_files_are_named_by_what_they_look_like(tmp_path, content, words):
    assert words in refusal(tmp_path, content)


def test_tar_and_other_zip_archives(tmp_path):
    assert "tar archive" in refusal(tmp_path, bytes(257).replace(b"\0", b"a") + b"ustar\x0000" + bytes(300))
    cases = [
        ("photo.jpg", zipfile.ZIP_STORED, "not one of torch.save"),
        ("m/data.pkl", zipfile.ZIP_DEFLATED, "compressed"),
        ("conv1.weight.npy", zipfile.ZIP_DEFLATED, "training state (.npz); give the run's .pdparams file"),
    ]
    for name, compression, words in cases:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", compression) as archive:
            archive.writestr(name, b"x" * 1000)
        assert words in refusal(tmp_path, buffer.getvalue())


def test_a_missing_file_or_a_folder(tmp_path):
    with pytest.raises(CheckpointError, match="No such file"):
        read_weights(tmp_path / "absent.pdparams")
    with pytest.raises(CheckpointError, match="directory"):
        read_weights(tmp_path)


def whole_files() -> dict[str, bytes]:
    header = b'{"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
    return {
        "zip": unpack(TORCH_ZIP),
        "legacy": unpack(TORCH_LEGACY),
        "pickle": pickle.dumps({"a": BASE, "b": BASE.T}, 4),
        "safetensors": len(header).to_bytes(8, "little") + header + bytes(8),
    }


@pytest.mark.parametrize("kind", list(whole_files()))
def test_truncated_files_at_any_length(tmp_path, kind):
    content = whole_files()[kind]
    for length in [*range(16, len(content), max(1, len(content) // 60)), len(content) - 1]:
        assert "truncated or damaged" in refusal(tmp_path, content[:length])


@pytest.mark.parametrize("kind", list(whole_files()))
def test_damaged_bytes_never_end_in_another_error(tmp_path, kind):
    content = whole_files()[kind]
    rng = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(content)
        for at in rng.integers(0, len(content), 3):
            damaged[at] = rng.integers(256)
        path = write(tmp_path, bytes(damaged))
        with contextlib.suppress(CheckpointError):
            read_weights(path)


# --- tensors that lie about their storage ----------------------------------------------------------------
#
# The pickle is written under torch's names by stand-ins.


def test_tensors_of_the_stand_in_writer_are_read(tmp_path):
    storage = FloatStorage("0", 24)
    tensors = {"a": (storage, 0, (4, 6), (6, 1)), "b": (storage, 7, (2, 3), (6, 2))}
    content = make_torch_file(tensors, {"0": BASE.tobytes()})
    assert_same(read_weights(write(tmp_path, content)), {"a": BASE, "b": BASE[1:3, 1::2]})


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [
        (0, (5, 6), (6, 1)),
        (1, (4, 6), (6, 1)),
        (0, (2, 2), (24, 1)),
        (-1, (2, 2), (2, 1)),
        (0, (2, 2), (-2, 1)),
        (0, (-2, -2), (2, 1)),
        (0, (10**9, 10**9), (0, 0)),
        (0, (25,), (0,)),
        (10**30, (1,), (1,)),
        (0, (0,), (10**30,)),
        (0, (2,), (1, 1)),
        (0, 3, (1,)),
        (0.0, (1,), (1,)),
    ],
)
def test_tensors_beyond_their_storage_are_refused(tmp_path, offset, size, stride):
    tensors = {"a": (FloatStorage("0", 24), offset, size, stride)}
    text = refusal(tmp_path, make_torch_file(tensors, {"0": BASE.tobytes()}))
    assert "truncated or damaged" in text


@pytest.mark.parametrize(
    ("key", "count"), [("0", 25), ("0", 23), ("0", 10**15), ("0", -1), ("1", 24), ("../0", 24)]
)
def test_storages_of_another_length_are_refused(tmp_path, key, count):
    tensors = {"a": (FloatStorage(key, count), 0, (2,), (1,))}
    text = refusal(tmp_path, make_torch_file(tensors, {"0": BASE.tobytes()}))
    assert "truncated or damaged" in text
