"""Experiment files of the official HRNet code's line as configs of ours."""

import pytest
import yaml

from ppose.engine.task import Task
from ppose.errors import ConfigError
from ppose.translate import translate_experiment
from ppose.workspace import load_config

# The settings that such files have, written anew.
HRNET = {
    "AUTO_RESUME": True,
    "GPUS": "(0,1,2,3)",
    "OUTPUT_DIR": "runs",
    "LOG_DIR": "log",
    "DATASET": {
        "COLOR_RGB": True, "DATASET": "coco", "FLIP": True, "NUM_JOINTS_HALF_BODY": 8, "PROB_HALF_BODY": 0.3,
        "ROOT": "data/coco/", "ROT_FACTOR": 45, "SCALE_FACTOR": 0.35,
        "TRAIN_SET": "train2017", "TEST_SET": "val2017",
    },
    "MODEL": {
        "INIT_WEIGHTS": True, "NAME": "pose_hrnet", "NUM_JOINTS": 17, "PRETRAINED": "hrnet.pth",
        "IMAGE_SIZE": [288, 384], "HEATMAP_SIZE": [72, 96], "SIGMA": 3, "TARGET_TYPE": "gaussian",
        "EXTRA": {
            "FINAL_CONV_KERNEL": 1,
            **{
                f"STAGE{n}": {
                    "NUM_MODULES": m, "NUM_BRANCHES": n, "BLOCK": "BASIC", "NUM_BLOCKS": [4] * n,
                    "NUM_CHANNELS": [48 * 2**i for i in range(n)],
                }
                for n, m in ((2, 1), (3, 4), (4, 3))
            },
        },
    },
    "LOSS": {"USE_TARGET_WEIGHT": True},
    "TRAIN": {
        "BATCH_SIZE_PER_GPU": 24, "END_EPOCH": 210, "OPTIMIZER": "adam", "LR": 0.001, "LR_FACTOR": 0.1,
        "LR_STEP": [170, 200], "WD": 0.0001,
    },
    "TEST": {
        "BATCH_SIZE_PER_GPU": 24, "COCO_BBOX_FILE": "boxes.json", "IMAGE_THRE": 0.0, "IN_VIS_THRE": 0.2,
        "OKS_THRE": 0.9, "USE_GT_BBOX": True, "FLIP_TEST": True, "POST_PROCESS": True, "SHIFT_HEATMAP": True,
    },
}  # fmt: skip


def laid_over(changes, content=HRNET):
    """The content with a block's keys replaced; None takes one out."""
    result = dict(content)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        else:
            is_block = isinstance(value, dict) and isinstance(content.get(key), dict)
            result[key] = laid_over(value, content[key]) if is_block else value
    return result


@pytest.fixture
def translate(tmp_path):
    def _translate(changes=None):
        (tmp_path / "x.yaml").write_text(yaml.safe_dump(laid_over(changes or {})))
        (tmp_path / "ours.yml").write_text(translate_experiment(tmp_path / "x.yaml", "ours"))
        return load_config(tmp_path / "ours.yml")

    return _translate


def test_hrnet_on_coco(translate):
    cfg = translate()
    task = Task(cfg)
    assert task.model().backbone.out_channels == [48]
    assert task.codec.input_size == (288, 384)
    assert task.codec.sigma == 3
    assert task.shifts_heatmap
    assert task.test.flip
    settings = task.settings
    assert (settings.epoch, settings.base_batch_size, settings.channel_order) == (210, 96, "rgb")
    assert (settings.weights, settings.pretrain_weights) == ("runs/ours/model_final", "hrnet.pth")
    decay = {"type": "PiecewiseDecay", "milestones": [170, 200], "gamma": 0.1}
    (schedule,) = cfg["LearningRate"]["schedulers"]
    assert schedule in (decay, {"PiecewiseDecay": {"milestones": [170, 200], "gamma": 0.1}})
    augment = cfg["TrainReader"]["sample_transforms"][0]["RandomFlipHalfBodyTransform"]
    assert (augment["scale"], augment["rot"], augment["prob_half_body"]) == (0.35, 45, 0.3)
    assert cfg["TrainReader"]["batch_size"] == cfg["EvalReader"]["batch_size"] == 24
    assert cfg["TrainDataset"]["image_dir"] == "images/train2017"
    assert cfg["EvalDataset"]["anno_path"] == "annotations/person_keypoints_val2017.json"
    assert cfg["EvalDataset"]["bbox_file"] == "boxes.json"
    assert cfg["KeyPointTopDownCOCOEval"] == {"visible_threshold": 0.2, "oks_threshold": 0.9}


def test_parts_of_coco(translate):
    cfg = translate({"DATASET": {"TRAIN_SET": None, "TEST_SET": "test-dev2017"}})
    assert cfg["TrainDataset"]["anno_path"] == "annotations/person_keypoints_train.json"  # its default
    assert cfg["EvalDataset"]["anno_path"] == "annotations/image_info_test-dev2017.json"
    assert cfg["EvalDataset"]["image_dir"] == "images/test2017"


def test_hsrnet_whose_channels_are_bgr_without_a_word(translate):
    """Older files have SIGMA and HEATMAP_SIZE in EXTRA, BATCH_SIZE for a GPU and no COLOR_RGB."""
    extra = {"NUM_LAYERS": 110, "SIGMA": 3, "HEATMAP_SIZE": [72, 96], "NUM_DECONV_LAYERS": 2, "STAGE2": None}
    model = {"NAME": "pose_hsr_msnet", "SIGMA": None, "HEATMAP_SIZE": None, "EXTRA": extra}
    train = {"BATCH_SIZE_PER_GPU": None, "BATCH_SIZE": 28}
    task = Task(translate({"GPUS": "0,1", "DATASET": {"COLOR_RGB": None}, "MODEL": model, "TRAIN": train}))
    network = task.model()
    assert len(network.layer3) == 23
    assert network.dead_weights is not None
    assert task.settings.channel_order == "bgr"
    assert task.settings.base_batch_size == 56
    assert task.codec.sigma == 3


@pytest.mark.parametrize("is_older", [False, True])
def test_what_a_file_leaves_out_is_as_in_its_code(translate, is_older):
    nothing = dict.fromkeys(
        (
            "SHIFT_HEATMAP",
            "FLIP_TEST",
            "USE_GT_BBOX",
            "BATCH_SIZE_PER_GPU",
            "IMAGE_THRE",
            "IN_VIS_THRE",
            "OKS_THRE",
        )
    )
    changes = {
        "DATASET": {"ROT_FACTOR": None, "SCALE_FACTOR": None},
        "TRAIN": {"LR": "1e-3", "LR_STEP": None, "END_EPOCH": None, "BATCH_SIZE_PER_GPU": None},
        "TEST": {**nothing, "BATCH_SIZE": 8} if is_older else nothing,
        "MODEL": {} if is_older else {"IMAGE_SIZE": [256, 256], "HEATMAP_SIZE": None},
    }
    cfg = translate(changes)
    task = Task(cfg)
    assert task.shifts_heatmap == is_older
    assert not task.test.flip
    assert not cfg["EvalDataset"]["use_gt_bbox"]
    assert is_older or task.codec.heatmap_size == (64, 64)
    assert cfg["EvalDataset"]["image_thre"] == (0 if is_older else 0.1)
    assert cfg["KeyPointTopDownCOCOEval"] == {"visible_threshold": 0, "oks_threshold": 0.5}
    assert (task.settings.epoch, task.settings.base_batch_size) == (140, 128)
    assert cfg["LearningRate"]["base_lr"] == 0.001
    augment = cfg["TrainReader"]["sample_transforms"][0]["RandomFlipHalfBodyTransform"]
    assert (augment["scale"], augment["rot"], augment["num_joints_half_body"]) == (0.25, 30, 8)


def test_other_losses_and_optimizers(translate):
    changes = {
        "LOSS": {"USE_OHKM": True, "TOPK": 6},
        "TRAIN": {"OPTIMIZER": "sgd", "MOMENTUM": 0.8, "NESTEROV": True},
    }
    cfg = translate({**changes, "MODEL": {"INIT_WEIGHTS": False}})
    task = Task(cfg)
    assert task.loss().topk == 6
    assert cfg["OptimizerBuilder"]["optimizer"] == {"type": "Momentum", "momentum": 0.8, "use_nesterov": True}
    assert cfg["OptimizerBuilder"]["regularizer"]["factor"] == 0.0001
    assert task.settings.pretrain_weights is None


def test_spacecraft_are_not_mirrored_whatever_the_file_says(translate):
    data = {"DATASET": "envisat_coco", "FLIP": True, "TRAIN_SET": "train", "TEST_SET": "val"}
    cfg = translate({"DATASET": data, "MODEL": {"NUM_JOINTS": 16}, "TEST": {"FLIP_TEST": True}})
    assert not Task(cfg).pose_spec().flip_test
    assert "bbox_file" not in cfg["EvalDataset"]  # their code for it reads annotated boxes only
    assert cfg["TrainReader"]["sample_transforms"][0]["RandomFlipHalfBodyTransform"]["prob_flip"] == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"MODEL": {"NAME": "pose_fast"}}, "MODEL.NAME: got pose_fast, expected one of pose_hrnet"),
        ({"MODEL": {"NUM_JOINTS": 5}}, "coco with 5 keypoints, expected coco with 17"),
        ({"MODEL": {"NUM_JOINTS": None}}, "MODEL.NUM_JOINTS missing"),
        ({"TRAIN": {"OPTIMIZER": "lamb"}}, "TRAIN.OPTIMIZER: got lamb, expected adam or sgd"),
        ({"TRAIN": {"LRR": 1}}, "TRAIN.LRR: no setting of an experiment file; did you mean 'TRAIN.LR'"),
        ({"MODEL": None}, "no experiment file: expected DATASET, MODEL"),
        ({"TRAIN": {"LR": "fast"}}, "TRAIN.LR: got 'fast', expected a number"),
        ({"DATASET": {"DATA_FORMAT": "zip"}}, "DATASET.DATA_FORMAT: got zip; unpack the images"),
        ({"TEST": {"POST_PROCESS": False}}, "TEST.POST_PROCESS: got False; we always"),
        ({"GPUS": "0-3"}, "GPUS: got '0-3', expected GPUs such as"),
        ({"MODEL": {"STYLE": "caffe"}}, "MODEL.STYLE: got caffe, our networks have pytorch"),
        ({"MODEL": {"EXTRA": {"FINAL_CONV_KERNEL": 3}}}, "FINAL_CONV_KERNEL: got 3, our networks have 1"),
        ({"MODEL": {"EXTRA": {"STAGE2": {"NUM_BLOCKS": None}}}}, "STAGE2.NUM_BLOCKS missing"),
        ({"MODEL": {"EXTRA": {"STAGE2": {"BLOCK": "BOTTLENECK"}}}}, "BLOCK: got BOTTLENECK, our networks"),
        ({"MODEL": {"EXTRA": {"STAGE4": None}}}, "expected STAGE2, STAGE3 and STAGE4"),
        (
            {"MODEL": {"EXTRA": {"STAGE2": {"NUM_CHANNELS": [48, 64]}}}},
            "expected each branch twice the one before",
        ),
        ({"MODEL": {"EXTRA": {"STAGE2": {"NUM_BLOCKS": [4, 3]}}}}, "expected equal numbers"),
    ],
)
def test_what_cannot_be_is_one_line(translate, changes, message):
    with pytest.raises(ConfigError, match=message) as error:
        translate(changes)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["a: [", "just text", "\x00"])
def test_other_files(tmp_path, text):
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(ConfigError, match="experiment file"):
        translate_experiment(tmp_path / "x.yaml", "x")
