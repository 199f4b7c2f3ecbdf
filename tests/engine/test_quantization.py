"""Quantization-aware training through the trainer: what learns, what is held, what loads where."""

from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle import nn
from paddle.nn.quant.quant_layers import QuantizedConv2D
from runs import StopAt, data_overrides, without_pictures

from ppose.annotations import reader
from ppose.engine.load import load_model
from ppose.engine.precision import check_precision
from ppose.engine.state import copy_arrays, read_state
from ppose.engine.train import make_trainer
from ppose.engine.trainer import Hook
from ppose.errors import CheckpointError, ConfigError
from ppose.quantization.qat import (
    clipping_alphas,
    convert_qat,
    input_observers,
    is_quantization_aware,
    set_weight_range,
    weight_ranges,
)
from ppose.weights.checkpoint import save_weights
from ppose.workspace import load_config

ROOT = Path(__file__).resolve().parents[2]
FLOAT = ROOT / "configs" / "lite_hrnet_30_256x192_coco.yml"
PACT = ROOT / "configs" / "lite_hrnet_30_256x192_coco_pact.yml"
SMALL = ["trainsize=[64,64]", "hmsize=[16,16]", "LiteHRNet.network_type=lite_8"]


@pytest.fixture
def overrides(coco_folder):
    """A small run: 6 people in 2 batches an epoch."""
    return [
        *data_overrides(coco_folder),
        *SMALL, "batch_size=3", "worker_num=0", "log_iter=1", "epoch=1", "snapshot_epoch=9", "use_vdl=false",
        "pretrain_weights=null", "LearningRate.schedulers.LinearWarmup.steps=2",
    ]  # fmt: skip


class Record(Hook):
    """The network's arrays after each epoch, and before the first."""

    def __init__(self):
        self.arrays = []

    def before_train(self, trainer):
        self.arrays.append(copy_arrays(trainer.model.state_dict()))

    def after_epoch(self, trainer):
        self.arrays.append(copy_arrays(trainer.model.state_dict()))


def prepare(folder, overrides, *more, config=PACT, state=None, alpha=None, hooks=()):
    cfg = load_config(config, [*overrides, *more])
    trainer = without_pictures(make_trainer(cfg, folder, seed=3, evaluates=False, state=state))
    trainer.hooks[:0] = hooks
    if alpha is not None:
        for value in clipping_alphas(trainer.model).values():
            value.set_value(paddle.full([1], alpha))
    return trainer


def changed(before, after, ending):
    """The shares of the arrays of that ending that differ."""
    names = [name for name in before if name.endswith(ending)]
    return np.mean([(before[name] != after[name]).any() for name in names])


def test_what_is_trained_is_the_quantized_network(overrides, tmp_path):
    record = Record()
    trainer = prepare(tmp_path, overrides, alpha=0.05, hooks=[record])
    wrapped = [layer for layer in trainer.model.sublayers() if isinstance(layer, QuantizedConv2D)]
    assert len(wrapped) == 129
    parameters = {id(parameter) for parameter in trainer.optimizer._parameter_list}
    alphas = clipping_alphas(trainer.model)
    assert len(alphas) == 129
    assert all(id(alpha) in parameters for alpha in alphas.values())
    assert all(id(layer.weight) in parameters for layer in wrapped)
    rates = {alpha.optimize_attr["learning_rate"] for alpha in alphas.values()}
    assert rates == {1000.0}  # paddleslim's recipe
    trainer.fit()
    before, after = record.arrays[0], record.arrays[-1]
    assert changed(before, after, "_act_preprocess.alpha") > 0.5
    for ending in ("conv.weight", "_fake_quant_input._scale", "_fake_quant_input._accum"):
        assert changed(before, after, ending) > 0.7, ending
    trainer.model.eval()
    with paddle.no_grad():
        heatmaps = trainer.model(paddle.randn([1, 3, 64, 64]))
    now = copy_arrays(trainer.model.state_dict())
    assert changed(after, now, "_fake_quant_input._scale") == changed(after, now, "_mean") == 0
    assert float(heatmaps.abs().max()) > 0


def test_a_resumed_run_equals_the_straight_one(overrides, tmp_path):
    """Four epochs against two and two, with all that a step may have; PACT's alphas cut from the start."""
    more = [
        "epoch=4", "use_ema=true", "ema_decay=0.9", "accumulate=2", "OptimizerBuilder.clip_grad_by_norm=1.0",
        "OptimizerBuilder.regularizer.factor=0.01", "QAT.freeze_epoch=3",
    ]  # fmt: skip
    prepare(tmp_path / "straight", overrides, *more, alpha=1.0).fit()
    prepare(tmp_path / "parts", overrides, *more, alpha=1.0, hooks=[StopAt(2)]).fit()
    state = read_state(tmp_path / "parts")
    assert state.progress.epoch == 2
    prepare(tmp_path / "parts", overrides, *more, state=state).fit()
    one, other = (read_state(tmp_path / name) for name in ("straight", "parts"))
    assert sum(key.endswith("alpha|moment1") for key in one.optimizer) == 129
    for group in ("model", "average", "optimizer"):
        assert getattr(one, group).keys() == getattr(other, group).keys()
        for name, array in getattr(one, group).items():
            np.testing.assert_allclose(getattr(other, group)[name], array, rtol=1e-4, atol=1e-5, err_msg=name)


def test_ranges_and_statistics_are_held_late(overrides, tmp_path):
    record = Record()
    prepare(tmp_path, overrides, "epoch=3", "batch_size=6", "QAT.freeze_epoch=2", hooks=[record]).fit()
    _, first, second, third = record.arrays
    for ending in ("_fake_quant_input._scale", "norm._mean", "norm._variance"):
        assert changed(first, second, ending) > 0.9
        assert changed(second, third, ending) == 0
    assert changed(second, third, "conv.weight") > 0.7


def test_alphas_stay_above_zero(overrides, tmp_path, caplog):
    """At this rate a step takes 10 off an alpha."""
    more = ["LearningRate.base_lr=0.01", "LearningRate.schedulers.LinearWarmup.steps=0"]
    trainer = prepare(tmp_path, overrides, *more, "OptimizerBuilder.regularizer.factor=0.1", alpha=2.0)
    trainer.fit()
    alphas = {name: alpha.item() for name, alpha in clipping_alphas(trainer.model).items()}
    lifted = [name for name, alpha in alphas.items() if alpha == pytest.approx(1e-3)]
    assert min(alphas.values()) == pytest.approx(1e-3)
    assert f"PACT's alpha of {lifted[0]} fell towards 0 at step 1 and was set to 0.001" in caplog.text
    assert caplog.text.count(f"alpha of {lifted[0]} ") == 1


@pytest.fixture
def weights(tmp_path):
    """Weights files by name: in float, and trained with fake quantizers."""
    paddle.seed(1)
    model = load_network(FLOAT)
    save_weights(model, tmp_path / "float.pdparams")
    wrapped = load_network(PACT)
    wrapped.train()
    wrapped(paddle.randn([2, 3, 64, 64]))
    wrapped.eval()
    save_weights(wrapped, tmp_path / "pact.pdparams")
    return {name: tmp_path / f"{name}.pdparams" for name in ("float", "pact")}


def load_network(config):
    from ppose.engine.task import Task

    task = Task(load_config(config, SMALL))
    model = task.model()
    for norm in model.sublayers():
        if isinstance(norm, nn.BatchNorm2D):  # unlike the folded norms of an exported model
            norm._mean.set_value(paddle.randn(norm._mean.shape) * 0.1)
    if task.quantization is not None:
        task.quantization.wrap(model)
    return model


def test_weights_load_as_what_they_are(weights, caplog):
    image = paddle.randn([1, 3, 64, 64])
    quantized = load_model(PACT, weights["pact"], SMALL)
    assert is_quantization_aware(quantized)
    assert not quantized.training
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    assert not is_quantization_aware(convert_qat(quantized))
    in_float = load_model(PACT, weights["float"], SMALL)
    assert not is_quantization_aware(in_float)
    assert caplog.text.count("has no fake quantizers: the network runs in float") == 1
    np.testing.assert_array_equal(
        in_float(image).numpy(), load_model(FLOAT, weights["float"], SMALL)(image).numpy()
    )
    with pytest.raises(
        CheckpointError, match=r"pact\.pdparams was trained with fake quantizers.*set slim: QAT"
    ):
        load_model(FLOAT, weights["pact"], SMALL)
    with pytest.raises(CheckpointError, match="trained with another QAT block: 129 arrays"):
        load_model(PACT, weights["pact"], [*SMALL, "QAT.quant_config.activation_preprocess_type=null"])
    with pytest.raises(CheckpointError, match=r"trained with another QAT block.*final_conv"):
        load_model(PACT, weights["pact"], [*SMALL, "QAT.not_quantized=[final_conv]"])


def test_paddleslims_own_checkpoints_load(weights, tmp_path, caplog):
    """Of layers that measure a convolution's output, with signed inputs and weights of full range."""
    from paddleslim.dygraph.quant import QAT

    own = load_model(PACT, weights["pact"], SMALL)
    assert not all(quantizer.is_signed() for quantizer in input_observers(own))
    for quantizer in input_observers(own):
        quantizer._signed.set_value(paddle.ones([1]))
    set_weight_range(own, "full")
    task_model = load_network(FLOAT)
    theirs = QAT({"activation_preprocess_type": "PACT"}).quantize(task_model)
    state = own.state_dict()
    for key, tensor in theirs.state_dict().items():
        if "_ma_output_scale" not in key:
            tensor.set_value(state[key.replace("._layer.", ".")])
    assert sum("._layer." in key for key in theirs.state_dict()) > 129
    save_weights(theirs, tmp_path / "theirs.pdparams")
    loaded = load_model(PACT, tmp_path / "theirs.pdparams", SMALL)
    image = paddle.randn([1, 3, 64, 64])
    np.testing.assert_array_equal(loaded(image).numpy(), own(image).numpy())
    assert weight_ranges(loaded) == {"full"}
    assert "was trained with QAT.weights full, the config has portable" in caplog.text


@pytest.mark.parametrize("name", ["float", "pact"])
def test_both_kinds_of_weights_are_a_start(weights, overrides, tmp_path, name):
    trainer = prepare(tmp_path / "run", overrides, f"pretrain_weights={weights[name]}")
    expected = load_model(PACT, weights[name], SMALL).state_dict()
    got = trainer.model.state_dict()
    assert is_quantization_aware(trainer.model)
    assert all(bool((got[key] == value).all()) for key, value in expected.items())
    assert len(got) - len(expected) == (129 * 7 if name == "float" else 0)
    if name == "float":
        more = [f"pretrain_weights={weights[name]}", "QAT.calibration_images=6"]
        begun = prepare(tmp_path / "run", overrides, *more)
        alphas = [alpha.item() for alpha in clipping_alphas(begun.model).values()]
        assert len(set(alphas)) > 100
        assert min(alphas) > 0
        image = begun.model.backbone.stem.conv1.conv._act_preprocess.alpha.item()
        assert 1.5 < image < 2.7  # (1 - mean) / std
        state = begun.model.state_dict()
        changed = {key for key, value in expected.items() if not bool((state[key] == value).all())}
        assert changed > {
            "backbone.transition1.2.0.1.weight",
            "backbone.transition1.2.0.2.weight",
        }  # equalized
    if name == "pact":
        with pytest.raises(CheckpointError, match="set slim: QAT"):
            prepare(tmp_path / "run", overrides, f"pretrain_weights={weights[name]}", config=FLOAT)


def test_a_start_from_calibrated_alphas_reads_the_annotations_once(weights, overrides, tmp_path, monkeypatch):
    reads, read_json = [], reader.read_json
    monkeypatch.setattr(reader, "read_json", lambda *args: reads.append(args[0]) or read_json(*args))
    more = [f"pretrain_weights={weights['float']}", "QAT.calibration_images=6"]
    trainer = prepare(tmp_path / "run", overrides, *more)
    assert len({alpha.item() for alpha in clipping_alphas(trainer.model).values()}) > 100
    assert len(reads) == 1


def test_mixed_precision_is_refused():
    check_precision(None, "cpu", quantizes=True)
    with pytest.raises(ConfigError, match="--amp bf16: slim: QAT trains in float32"):
        check_precision("bf16", "gpu", quantizes=True)
