"""Distillation in whole runs: what trains and what does not, what is logged, resumed and refused."""

import numpy as np
import paddle
import pytest
from engine.distilled_runs import SIZE, STUDENT, TEACHER, Small, make, records
from runs import StopAt, data_overrides

from ppose.engine import static_network
from ppose.engine.distill import TeacherSetup
from ppose.engine.load import load_trained
from ppose.engine.record import dump_config, record_run
from ppose.engine.state import read_state
from ppose.engine.static_network import StaticNetwork
from ppose.engine.task import Task
from ppose.engine.train import make_trainer
from ppose.engine.trainer import DivergenceError
from ppose.errors import CheckpointError, ConfigError
from ppose.weights.checkpoint import save_weights
from ppose.weights.reader import read_weights
from ppose.workspace import load_config

BOTH_LOSSES = (
    "distill_loss=[{name: DistMSELoss, weight: 2.0, use_target_weight: false, "
    "schedulers: [!PolynomialDecay {max_epochs: 4, power: 1}]}, !DistFeatureLoss {weight: 0.5}]"
)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A teacher that never learnt anything, but whose statistics are not the initial ones."""
    paddle.seed(7)
    model = Task(load_config(TEACHER, [*SIZE, "width=8"])).model()
    model(paddle.randn([4, 3, 64, 64]))
    file = tmp_path_factory.mktemp("teacher") / "teacher.pdparams"
    save_weights(model, file)
    return file


@pytest.fixture
def teacher(weights):
    def _teacher(*more, cache=None):
        return TeacherSetup(load_config(TEACHER, [*SIZE, "width=8", f"weights={weights}", *more]), cache)

    return _teacher


@pytest.fixture
def small(monkeypatch, teacher, tmp_path):
    """Small networks for both; gives the set-up of the teacher."""
    monkeypatch.setattr(Task, "model", lambda task: Small(task))
    paddle.seed(7)
    model = Small(Task(teacher().cfg))
    model(paddle.randn([4, 3, 64, 64]))
    save_weights(model, tmp_path / "small.pdparams")
    return lambda *more, cache=None: teacher(f"weights={tmp_path / 'small.pdparams'}", *more, cache=cache)


@pytest.fixture
def overrides(coco_folder):
    """A small run: 6 people in 3 batches an epoch."""
    return [
        *data_overrides(coco_folder),
        *SIZE, "LiteHRNet.network_type=lite_8", "width=40", "batch_size=2", "worker_num=0", "log_iter=1",
        "epoch=2", "snapshot_epoch=1", "use_ema=true", "use_vdl=false",
        "LearningRate.schedulers.LinearWarmup.steps=4",
    ]  # fmt: skip


def test_a_distilled_run(teacher, overrides, tmp_path):
    """Real networks, both losses: every number of the log, and where the teacher is not."""
    trainer = make([*overrides, "epoch=1"], tmp_path, teacher(BOTH_LOSSES))
    alone = make(overrides, tmp_path / "alone", None)
    for name, tensor in alone.model.state_dict().items():  # the teacher changes nothing of the beginning
        np.testing.assert_array_equal(tensor.numpy(), trainer.model.state_dict()[name].numpy())
    network = trainer.objective._distillation.teacher._network
    before = {name: tensor.numpy().copy() for name, tensor in network.state_dict().items()}
    adapter = trainer.objective.learnt[0].adapter.weight.numpy().copy()
    trainer.fit()
    for name, tensor in network.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), before[name], err_msg=name)
    assert not network.training
    students = [p for p in trainer.model.parameters() if not p.stop_gradient]
    learnt = {id(parameter) for parameter in trainer.optimizer._parameter_list}
    assert learnt == {id(p) for p in (*students, *trainer.objective.learnt.parameters())}
    assert len(trainer.objective.learnt.parameters()) == 2
    assert (trainer.objective.learnt[0].adapter.weight.numpy() != adapter).all()
    own = set(alone.model.state_dict())
    assert set(read_weights(tmp_path / "model_final.pdparams")) == own
    state = read_state(tmp_path)
    assert set(state.model) == set(state.average) == own
    assert set(state.objective) == {"0.adapter.weight", "0.adapter.bias"}
    assert state.teacher == trainer.objective.teacher
    for line in records(tmp_path):
        assert line["loss"] == pytest.approx(line["student_loss"] + line["distillation_loss"], rel=1e-6)
        assert line["distillation_loss"] > 0
    log = (tmp_path / "log" / "train.log").read_text()
    last = records(tmp_path)[-1]
    assert (
        f"student_loss {last['student_loss']:.6f} distillation_loss {last['distillation_loss']:.6f} lr" in log
    )


def test_a_teacher_as_a_graph_gives_the_same_losses(small, overrides, tmp_path, monkeypatch):
    """Where only its heatmaps are compared; the graph is of the same weights, in eval mode, and not saved."""
    losses = []
    for name, worth_it in (("plain", 500), ("graph", 1)):
        monkeypatch.setattr(static_network, "_WORTH_IT", worth_it)
        trainer = make(overrides, tmp_path / name, small())
        asked = trainer.objective._distillation.teacher._network
        assert isinstance(asked, StaticNetwork) == (name == "graph")
        trainer.fit()
        assert not any(layer.training for layer in asked.sublayers(include_self=True))
        losses.append(
            [(line["student_loss"], line["distillation_loss"]) for line in records(tmp_path / name)]
        )
    np.testing.assert_allclose(*losses, rtol=1e-4)
    plain, graph = (read_state(tmp_path / name) for name in ("plain", "graph"))
    assert plain.teacher == graph.teacher
    assert set(plain.model) == set(graph.model)
    looked_into = make(overrides, tmp_path, small(BOTH_LOSSES)).objective._distillation.teacher
    assert not isinstance(looked_into._network, StaticNetwork)


def test_the_first_step_is_that_of_plain_code(small, overrides, tmp_path):
    """Of two accumulated batches, by hand: forward passes, losses as formulas, Paddle's gradients, SGD."""
    sgd = ["OptimizerBuilder.optimizer.type=SGD", "LearningRate.schedulers=[]", "LearningRate.base_lr=0.5"]
    overrides = [*overrides, *sgd, "accumulate=2", "use_ema=false"]
    setup = small("distill_loss.weight=4.0")
    by_hand = make(overrides, tmp_path, None)
    model, network = by_hand.model, load_trained(Task(setup.cfg))
    batches = iter(by_hand.loader)
    model.train()
    parts = np.zeros(2)
    for _ in range(2):
        batch = next(batches)
        heatmaps = model(batch["image"])
        weight = batch["target_weight"].unsqueeze(-1)
        student = ((heatmaps - batch["heatmaps"]) * weight).pow(2).mean()  # loss_scale 1.0
        distilled = 4.0 * 0.5 * ((heatmaps - network(batch["image"]).detach()) * weight).pow(2).mean()
        ((student + distilled) / 2).backward()
        parts += [float(student) / 2, float(distilled) / 2]
    expected = {
        name: p.numpy() - 0.5 * p.grad.numpy() for name, p in model.named_parameters() if p.grad is not None
    }
    trainer = make(overrides, tmp_path, setup)
    trainer.hooks.insert(0, StopAt(1))
    trainer.fit()
    report = trainer.report
    np.testing.assert_allclose(list(report.parts.values()), parts, rtol=1e-5)
    assert report.loss == pytest.approx(parts.sum(), rel=1e-5)
    parameters = dict(trainer.model.named_parameters())
    for name, value in expected.items():
        np.testing.assert_allclose(parameters[name].numpy(), value, rtol=1e-4, atol=1e-5, err_msg=name)


def test_a_resumed_run_equals_the_straight_one(small, overrides, tmp_path):
    """Four steps against two and two, with a weight that falls and an adapter that learns."""
    for stops in ((4,), (2, 4)):
        folder = tmp_path / str(len(stops))
        for stop in stops:
            state = read_state(folder) if stop == 4 and len(stops) == 2 else None
            trainer = make(overrides, folder, small(BOTH_LOSSES), state=state)
            trainer.hooks.insert(0, StopAt(stop))
            trainer.fit()
    straight, parts = (records(tmp_path / name) for name in "12")
    assert [line["step"] for line in parts] == [1, 2, 3, 4]
    for line, other in zip(straight, parts, strict=True):
        for key in ("loss", "student_loss", "distillation_loss"):
            assert other[key] == pytest.approx(line[key], rel=0, abs=1e-6)
    one, other = (read_state(tmp_path / name) for name in "12")
    assert any(name.startswith("objective.0.adapter.weight|") for name in one.optimizer)
    for group in ("model", "average", "objective", "optimizer"):
        assert getattr(one, group).keys() == getattr(other, group).keys()
        for name, array in getattr(one, group).items():
            np.testing.assert_allclose(getattr(other, group)[name], array, rtol=0, atol=1e-6, err_msg=name)


def test_a_run_goes_on_with_its_own_teacher(small, overrides, tmp_path):
    for name, setup in (("alone", None), ("distilled", small())):
        trainer = make(overrides, tmp_path / name, setup)
        trainer.hooks.insert(0, StopAt(1))
        trainer.fit()
    alone, distilled = (read_state(tmp_path / name) for name in ("alone", "distilled"))
    with pytest.raises(CheckpointError, match=r"the run had a teacher; give its --distill_config"):
        make(overrides, tmp_path, None, state=distilled)
    with pytest.raises(CheckpointError, match=r"the run had no teacher; leave --distill_config out"):
        make(overrides, tmp_path, small(), state=alone)
    paddle.seed(8)
    other = tmp_path / "other.pdparams"
    save_weights(Task(small().cfg).model(), other)
    with pytest.raises(CheckpointError, match="the run had another teacher"):
        make(overrides, tmp_path, small(f"weights={other}"), state=distilled)
    with pytest.raises(CheckpointError, match="what is learnt beside the weights differs in 2 of 2 arrays"):
        make(overrides, tmp_path, small(BOTH_LOSSES), state=distilled)


def test_without_a_teacher_nothing_is_added(small, overrides, tmp_path):
    trainer = make([*overrides, "epoch=1"], tmp_path, None)
    trainer.fit()
    keys = {"epoch", "step", "loss", "lr", "data_time", "step_time", "images_per_s", "memory_mb"}
    assert all(set(line) == keys for line in records(tmp_path))
    assert not [file for file in tmp_path.rglob("*") if "teacher" in file.name]


def test_nothing_of_the_teachers_config_reaches_the_student(teacher, overrides, tmp_path):
    """The same keys with other values: loss, width, learning rate, decoding."""
    leaks = [
        "KeyPointMSELoss.use_target_weight=false", "LearningRate.base_lr=7.0", "epoch=9",
        "TopDownHRNet.use_dark=true", "save_dir=elsewhere", "accumulate=5",
    ]  # fmt: skip
    plain = make(overrides, tmp_path, None)
    setup = teacher(*leaks)
    cfg = load_config(STUDENT, overrides)
    before = dump_config(cfg)
    trainer = make_trainer(cfg, tmp_path, seed=3, evaluates=False, teacher=setup)
    assert dump_config(cfg) == before
    assert trainer.optimizer.get_lr() == plain.optimizer.get_lr()
    assert (trainer.epochs, trainer.steps_per_epoch) == (2, 3)
    assert type(trainer.model.backbone).__name__ == "LiteHRNet"
    assert trainer.objective._loss.use_target_weight
    record_run(tmp_path, cfg, seed=3, arguments=["train.py"], resumes=False, teacher=setup)
    assert (tmp_path / "config.yml").read_text() == before
    again = load_config(tmp_path / "teacher.yml")
    assert (again["width"] if "width" in again else again["HRNet"]["width"]) == 8
    assert again["distill_loss"] == setup.cfg["distill_loss"]
    record_run(tmp_path, cfg, seed=3, arguments=["train.py"], resumes=False)
    assert not (tmp_path / "teacher.yml").exists()


def test_kept_answers_train_alike(small, overrides, tmp_path, monkeypatch):
    """Without random augmentation the teacher is asked in the first epoch alone."""
    plain = "[{TopDownAffine: {trainsize: [64, 64]}}, {ToHeatmapsTopDown: {hmsize: [16, 16], sigma: 1}}]"
    overrides = [*overrides, f"TrainReader.sample_transforms={plain}"]
    results = []
    for name in ("asked", "kept"):
        setup = small(cache=tmp_path / "cache" if name == "kept" else None)
        trainer = make(overrides, tmp_path / name, setup)
        network, calls = trainer.objective._distillation.teacher._network, []
        network.register_forward_post_hook(lambda *_, calls=calls: calls.append(1))
        trainer.fit()
        results.append([line["loss"] for line in records(tmp_path / name)])
        assert len(calls) == (6 if name == "asked" else 3)
    np.testing.assert_allclose(*results, rtol=1e-4)
    assert len(list((tmp_path / "cache").rglob("*.npz"))) == 6


def test_a_teacher_that_is_not_finite_is_named(small, overrides, tmp_path):
    trainer = make(overrides, tmp_path, small())
    network = trainer.objective._distillation.teacher._network
    network.final_conv.bias.set_value(paddle.full([17], float("nan")))
    with pytest.raises(DivergenceError, match=r"; student_loss is \d\.\d+; distillation_loss is nan"):
        trainer.fit()
    with np.load(tmp_path / "log" / "diverged_step_1.npz") as saved:
        assert np.isfinite(saved["student_loss"])
        assert np.isnan(saved["distillation_loss"])


# --- what does not fit ---------------------------------------------------------------------------------

ARROW = "+KeypointSet={name: arrow, names: [tip, left, right], flip_pairs: [[left, right]], skeleton: []}"


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["num_joints=3", ARROW], r"set is 'coco17' \(17 keypoints\), the teacher's 'arrow' \(3\)"),
        (["trainsize=[96,128]", "hmsize=[24,32]"], r"trainsize is \[64, 64\], the teacher's \[96, 128\]"),
        (
            ["global_std=[0.2,0.2,0.2]"],
            "NormalizeImage of the student's TrainReader differs from the teacher's",
        ),
        (["EvalReader.batch_transforms=[]"], "NormalizeImage of the student's TrainReader"),
        (["freeze_parameters=false"], "freeze_parameters is false, but a teacher never trains"),
        (
            ["distill_loss=[]"],
            "the teacher's config has no distill_loss: add, for instance, distill_loss: {na",
        ),
        (["hmsize=[32,32]"], r"the teacher's config: trainsize is \[64, 64\] and hmsize \[32, 32\]"),
        (["weights="], "the teacher's config has no weights: set --distill_opt weights=FILE_OR_URL"),
    ],
)
def test_pairs_that_do_not_fit(teacher, overrides, tmp_path, more, expected):
    with pytest.raises(ConfigError, match=expected):
        make(overrides, tmp_path, teacher(*more))


def test_teacher_weights_that_cannot_be_had(small, weights, overrides, tmp_path):
    with pytest.raises(CheckpointError, match=r"the teacher: no weights at .*none\.pdparams"):
        make(overrides, tmp_path, small(f"weights={tmp_path / 'none.pdparams'}"))
    with pytest.raises(CheckpointError, match=r"the teacher: .* does not fit the network"):
        make(overrides, tmp_path, small(f"weights={weights}"))


def test_a_students_own_distill_loss_is_reported(overrides, tmp_path, caplog):
    make(overrides, tmp_path, None, "distill_loss=DistMSELoss")
    assert "distill_loss has an effect in a teacher's config only" in caplog.text
