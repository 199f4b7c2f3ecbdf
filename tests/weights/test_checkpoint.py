"""Finding, loading and saving weights, on networks of a few parameters."""

import errno
import logging
import os
import pickle
from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle import nn

from ppose.errors import CheckpointError, DownloadError
from ppose.weights.checkpoint import find_weights, load_weights, save_weights
from ppose.weights.reader import read_weights


class Net(nn.Layer):
    """A backbone with batch norm and a head."""

    def __init__(self, keypoints: int = 17):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2D(3, 4, 3), nn.BatchNorm2D(4))
        self.head = nn.Conv2D(4, keypoints, 1)


def arrays_of(net: nn.Layer) -> dict[str, np.ndarray]:
    return {name: tensor.numpy().copy() for name, tensor in net.state_dict().items()}


def randomized(net: nn.Layer, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=a.shape).astype(a.dtype) for name, a in arrays_of(net).items()}


def write(path: Path, state: dict) -> Path:
    path.write_bytes(pickle.dumps(state, 4))
    return path


def assert_holds(net: nn.Layer, expected: dict[str, np.ndarray]) -> None:
    got = arrays_of(net)
    for name, array in expected.items():
        np.testing.assert_array_equal(got[name], array, err_msg=name, strict=True)


# --- find_weights --------------------------------------------------------------------------------------


def test_find_weights_takes_files_prefixes_folders_and_urls(tmp_path, monkeypatch):
    path = write(tmp_path / "model_final.pdparams", {})
    best = write(tmp_path / "1.2.pdparams", {})
    for source in (path, str(path), tmp_path, str(tmp_path / "model_final"), path.as_uri()):
        assert find_weights(source) == path
    assert find_weights(tmp_path / "1.2") == best
    monkeypatch.chdir(tmp_path)
    assert find_weights("model_final") == Path("model_final.pdparams")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_weights("~/model_final") == path


def test_find_weights_knows_tensorflows_files(tmp_path):
    (tmp_path / "a.ckpt.index").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"a\.ckpt looks like a checkpoint of TensorFlow"):
        find_weights(tmp_path / "a.ckpt")


def test_find_weights_says_what_was_tried(tmp_path):
    with pytest.raises(CheckpointError) as caught:
        find_weights(tmp_path / "absent")
    for name in ("absent,", "absent.pdparams", "absent/model_final.pdparams"):
        assert str(tmp_path / name) in str(caught.value)
    with pytest.raises(CheckpointError, match="it holds no weights"):
        find_weights(tmp_path)
    write(tmp_path / "best_model.pdparams", {})
    with pytest.raises(CheckpointError, match=r"it holds best_model\.pdparams"):
        find_weights(tmp_path)
    with pytest.raises(CheckpointError, match="no weights given"):
        find_weights("")
    with pytest.raises(DownloadError, match="no file"):
        find_weights((tmp_path / "absent").as_uri())


# --- load_weights --------------------------------------------------------------------------------------


@pytest.mark.parametrize("strict", [True, False])
def test_a_whole_checkpoint_loads(tmp_path, caplog, strict):
    net, expected = Net(), randomized(Net())
    path = write(tmp_path / "a.pdparams", expected)
    with caplog.at_level(logging.INFO, "ppose"):
        report = load_weights(net, path, strict=strict)
    assert_holds(net, expected)
    assert set(report.matched) == set(expected)
    assert (report.missing, report.unexpected, report.misshaped) == ((), (), ())
    assert report.summary() == f"{path}: 8 of the network's 8 arrays loaded"
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [("INFO", report.summary())]


def test_values_are_cast_to_the_network(tmp_path):
    expected = {name: a.astype(np.float16) for name, a in randomized(Net()).items()}
    expected["head.weight"] = expected["head.weight"].astype(np.float64)
    expected["head.bias"] = expected["head.bias"].astype(">f4")
    net = Net()
    load_weights(net, write(tmp_path / "a.pdparams", expected), strict=True)
    assert_holds(net, {name: a.astype(np.float32) for name, a in expected.items()})


def test_scalars_and_views_load(tmp_path):
    class Scaled(nn.Layer):
        def __init__(self):
            super().__init__()
            self.scale = self.create_parameter([])
            self.weight = self.create_parameter([3, 2])

    expected = {"scale": np.array(0.5, np.float32), "weight": np.arange(6, dtype=np.float32).reshape(2, 3).T}
    net = Scaled()
    load_weights(net, write(tmp_path / "a.pdparams", expected), strict=True)
    assert_holds(net, expected)


def test_strict_refuses_missing_and_misshaped_and_sets_nothing(tmp_path):
    net = Net()
    before = arrays_of(net)
    state = randomized(Net(keypoints=21))
    del state["backbone.0.bias"]
    path = write(tmp_path / "a.pdparams", state)
    with pytest.raises(CheckpointError) as caught:
        load_weights(net, path, strict=True)
    text = str(caught.value)
    assert text.startswith(str(path))
    assert "1 missing in the file: backbone.0.bias" in text
    assert "2 of another shape: head.weight (got [21, 4, 1, 1], expected [17, 4, 1, 1])" in text
    assert "head.bias (got [21], expected [17])" in text
    assert "\n" not in text
    assert_holds(net, before)


def test_a_lenient_load_warns_and_keeps_the_rest(tmp_path, caplog):
    net = Net()
    before = arrays_of(net)
    state = randomized(Net(keypoints=21))
    del state["backbone.0.bias"]
    state["classifier.weight"] = np.zeros((2, 2), np.float32)
    with caplog.at_level(logging.INFO, "ppose"):
        report = load_weights(net, write(tmp_path / "a.pdparams", state), strict=False)
    kept = ("backbone.0.bias", "head.weight", "head.bias")
    assert_holds(net, {name: before[name] if name in kept else state[name] for name in before})
    assert report.missing == ("backbone.0.bias",)
    assert report.unexpected == ("classifier.weight",)
    assert [m.name for m in report.misshaped] == ["head.weight", "head.bias"]
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    for word in ("5 of the network's 8", "backbone.0.bias", "[21, 4, 1, 1]", "classifier.weight"):
        assert word in record.getMessage()


def test_unexpected_keys_warn_where_strict_and_pytorch_counters_do_not(tmp_path, caplog):
    state = randomized(Net())
    state["backbone.1.num_batches_tracked"] = np.array(7)
    path = write(tmp_path / "a.pdparams", state)
    with caplog.at_level(logging.WARNING, "ppose"):
        assert load_weights(Net(), path, strict=True).unexpected == ()
        assert not caplog.records
        state["classifier.bias"] = np.zeros(2, np.float32)
        load_weights(Net(), write(path, state), strict=True)
    assert "1 unexpected in the file: classifier.bias" in caplog.text


@pytest.mark.parametrize("strict", [True, False])
def test_another_network_is_an_error_in_both_cases(tmp_path, strict):
    path = write(tmp_path / "a.pdparams", {f"unrelated.{i}": np.zeros(2, np.float32) for i in range(9)})
    with pytest.raises(CheckpointError, match="another network") as caught:
        load_weights(Net(), path, strict=strict)
    assert "unrelated.0, unrelated.1, unrelated.2 and 6 more" in str(caught.value)
    assert "backbone.0.weight" in str(caught.value)


def test_long_lists_end_in_a_count(tmp_path):
    net = nn.Sequential(*[nn.Linear(2, 2) for _ in range(10)])
    state = {name: a for name, a in arrays_of(net).items() if name.startswith("0.")}
    with pytest.raises(CheckpointError) as caught:
        load_weights(net, write(tmp_path / "a.pdparams", state), strict=True)
    text = str(caught.value)
    assert "looks like a checkpoint of another network" in text
    assert "18 missing" in text
    assert text.endswith("5.weight, 5.bias and 8 more")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused_by_key(tmp_path, value):
    net = Net()
    before = arrays_of(net)
    state = randomized(net)
    state["head.bias"][3] = value
    with pytest.raises(CheckpointError, match=r"'head\.bias' holds NaN or infinite"):
        load_weights(net, write(tmp_path / "a.pdparams", state), strict=False)
    assert_holds(net, before)


def test_two_keys_of_one_parameter_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "ppose.weights.checkpoint.own_names", lambda keys, wanted: {k: k.removeprefix("ema.") for k in keys}
    )
    state = randomized(Net())
    state["ema.head.bias"] = state["head.bias"]
    with pytest.raises(CheckpointError, match=r"'head\.bias' and 'ema\.head\.bias' are both"):
        load_weights(Net(), write(tmp_path / "a.pdparams", state), strict=True)


def test_published_keys_go_through_own_names(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "ppose.weights.checkpoint.own_names", lambda keys, wanted: {k: k.removeprefix("net.") for k in keys}
    )
    net, expected = Net(), randomized(Net())
    path = write(tmp_path / "a.pdparams", {f"net.{name}": a for name, a in expected.items()})
    load_weights(net, path, strict=True)
    assert_holds(net, expected)


# --- save_weights --------------------------------------------------------------------------------------


def test_saved_weights_come_back_and_paddle_reads_them(tmp_path):
    net = Net()
    net.set_state_dict({name: paddle.to_tensor(a) for name, a in randomized(net).items()})
    expected = arrays_of(net)
    path = tmp_path / "new" / "folder" / "a.pdparams"
    save_weights(net, path)
    assert os.listdir(path.parent) == ["a.pdparams"]
    assert list(read_weights(path)) == list(expected)
    other = Net()
    load_weights(other, path, strict=True)
    assert_holds(other, expected)
    third = Net()
    assert third.set_state_dict(paddle.load(str(path))) == ([], [])
    assert_holds(third, expected)


def test_a_failed_write_leaves_the_earlier_file(run_script, tmp_path):
    """A process that may write 200 bytes to a file, as on a full disk."""
    path = tmp_path / "a.pdparams"
    path.write_bytes(b"earlier")
    script = f"""
import resource
from paddle import nn
from ppose.weights.checkpoint import save_weights
net = nn.Linear(30, 30)
resource.setrlimit(resource.RLIMIT_FSIZE, (200, resource.RLIM_INFINITY))
save_weights(net, {str(path)!r})
"""
    result = run_script("-c", script)
    assert result.returncode == 1
    assert f"CheckpointError: cannot write {path}: {os.strerror(errno.EFBIG)}" in result.stderr
    assert path.read_bytes() == b"earlier"
    assert os.listdir(tmp_path) == ["a.pdparams"]


def test_the_name_is_taken_only_after_the_data_is_on_disk(tmp_path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append(os.fstat(fd).st_size), fsync(fd))[1])
    monkeypatch.setattr(os, "replace", lambda *a: (calls.append("replace"), replace(*a))[1])
    save_weights(Net(), tmp_path / "a.pdparams")
    assert calls == [(tmp_path / "a.pdparams").stat().st_size, "replace"]


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot write"):
        save_weights(Net(), tmp_path / "file" / "a.pdparams")


@pytest.mark.parametrize("key", ["layers.2.weight", "layers.2.parts.0.weight", "layers.0.split.weight"])
def test_weights_of_a_larger_network_are_refused_where_strict(tmp_path, caplog, key):
    net = nn.Layer()
    net.layers = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    file = write(tmp_path / "a.pdparams", {**arrays_of(net), key: np.zeros((2, 2), np.float32)})
    with pytest.raises(
        CheckpointError, match=rf"larger network.* 1 of its weights have no place here: {key}"
    ):
        load_weights(net, file, strict=True)
    load_weights(net, file, strict=False)
