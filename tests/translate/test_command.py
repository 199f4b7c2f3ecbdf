"""Commands of other codes as ours: those of their READMEs, and what is none."""

import re
import shlex
from pathlib import Path

import pytest

from ppose.errors import ConfigError
from ppose.translate import translate_command
from ppose.translate.known import name_experiment

ROOT = Path(__file__).resolve().parents[2]
LAUNCH = "python -m paddle.distributed.launch --gpus"
HSR = "experiments/coco/hsrnet59/256x192_d256x3_adam_lr1e-3.yaml"
DETECTED = "--use-detect-bbox -o EvalDataset.bbox_file=data/COCO/dets/human_detection.json"
COMMANDS = {
    # HRNet in TensorFlow
    "python train.py --gpu 0,1,2,3": (
        f"{LAUNCH} 0,1,2,3 tools/train.py -c configs/tf_hrnet_w32_256x192_coco.yml"
    ),
    "python train.py --gpu 0,1,2,3 --weights a.ckpt": (
        f"{LAUNCH} 0,1,2,3 tools/train.py -c configs/tf_hrnet_w32_256x192_coco.yml --weights a.ckpt"
    ),
    "python test.py --gpu 0,1,2,3 --test_model a.ckpt": (
        f"{LAUNCH} 0,1,2,3 tools/eval.py -c configs/tf_hrnet_w32_256x192_coco.yml --test_model a.ckpt "
        "--use-detect-bbox -o EvalDataset.bbox_file=dataset/COCO/dets/human_detection.json"
    ),
    # attention pose
    "python train.py --gpu 0-1": (
        f"{LAUNCH} 0,1 tools/train.py -c configs/attention_pose_resnet_50_256x192_coco.yml"
    ),
    "python train.py --gpu 0-1 --continue": (
        f"{LAUNCH} 0,1 tools/train.py -c configs/attention_pose_resnet_50_256x192_coco.yml --continue"
    ),
    "python test.py --gpu 0 --test_epoch 140": (
        "python tools/eval.py -c configs/attention_pose_resnet_50_256x192_coco.yml --gpu 0 --test_epoch 140 "
        f"{DETECTED}"
    ),
    # HSRNet
    f"python pose_estimation/train.py \\\n --cfg {HSR}": (
        "python tools/train.py -c configs/hsrnet_59_256x192_coco.yml"
    ),
    f"python pose_estimation/valid.py --cfg {HSR} --flip-test --model-file a.pth.tar": (
        "python tools/eval.py -c configs/hsrnet_59_256x192_coco.yml --flip-test --model-file a.pth.tar"
    ),
    f"python pose_estimation/valid.py --cfg={HSR} --use-detect-bbox --coco-bbox-file b.json --workers 4": (
        "python tools/eval.py -c configs/hsrnet_59_256x192_coco.yml --use-detect-bbox "
        "-o EvalDataset.bbox_file=b.json worker_num=4 HSRNet.flip=false"
    ),
    f"python pose_estimation/valid.py --flip-test --cfg {HSR.replace('59', '161')}": (
        "python tools/eval.py -c configs/hsrnet_161_256x192_coco.yml --flip-test --use-detect-bbox"
    ),
    "nohup python pose_estimation/train.py --cfg experiments/coco/resnet50/256x192_d256x3_adam_lr1e-3.yaml "
    "> train.log 2>&1 &": (
        "python tools/train.py -c configs/pose_resnet_50_256x192_coco.yml -o channel_order=bgr"
    ),
    # HRNet for spacecraft, and the official HRNet
    "python tools/test.py --cfg experiments/mpii/hrnet/w32_256x256_adam_lr1e-3.yaml TEST.MODEL_FILE a.pth": (
        "python tools/eval.py -c configs/hrnet_w32_256x256_mpii.yml --model-file a.pth"
    ),
    "python tools/test.py --cfg experiments/coco/hrnet/w32_256x192_adam_lr1e-3.yaml TEST.MODEL_FILE a.pth "
    "TEST.USE_GT_BBOX False": (
        "python tools/eval.py -c configs/hrnet_w32_256x192.yml --model-file a.pth --use-detect-bbox"
    ),
    "python tools/train.py --cfg experiments/my/own.yaml GPUS (0,2) TRAIN.LR 1e-4 DATASET.COLOR_RGB True "
    "TEST.FLIP_TEST False": (
        f"{LAUNCH} 0,2 tools/train.py -c my_own.yml -o LearningRate.base_lr=0.0001 channel_order=rgb "
        "TopDownHRNet.flip=false"
    ),
    "python -m torch.distributed.launch --nproc_per_node=2 tools/train.py --cfg my/own.yaml TRAIN.LR_STEP "
    "170,200 MODEL.PRETRAINED ''": (
        f"{LAUNCH} 0,1 tools/train.py -c my_own.yml -o "
        "'LearningRate.schedulers.PiecewiseDecay.milestones=[170, 200]' pretrain_weights=null"
    ),
    "python tools\\train.py --cfg experiments\\my\\own.yaml | tee log": "python tools/train.py -c my_own.yml",
    "python tools\\train.py --cfg my/own.yaml MODEL.PRETRAINED C:\\a.pth": (
        "python tools/train.py -c my_own.yml -o pretrain_weights=C:/a.pth"
    ),
    "python visualization/plot_coco.py --prediction a.json --save-path b": (
        "python tools/visualize_coco.py a.json --dataset configs/hrnet_w32_256x192.yml --output_dir b"
    ),
    "python train.py": "python tools/train.py -c configs/tf_hrnet_w32_256x192_coco.yml",
    "cd main && python train.py --gpu 0,1": (
        f"{LAUNCH} 0,1 tools/train.py -c configs/attention_pose_resnet_50_256x192_coco.yml"
    ),
    "python main/test.py --gpu 0-1,3": (
        f"{LAUNCH} 0,1,3 tools/eval.py -c configs/attention_pose_resnet_50_256x192_coco.yml {DETECTED}"
    ),
    f"CUDA_VISIBLE_DEVICES=0,1 python pose_estimation/train.py --cfg {HSR} \\": (
        "CUDA_VISIBLE_DEVICES=0,1 python tools/train.py -c configs/hsrnet_59_256x192_coco.yml"
    ),
    "python tools/train.py --cfg experiments/coco/hrnet/w48_384x288_adam_lr1e-3.yaml TRAIN.LR_STEP [90,120] "
    "TRAIN.WD 0.1 TEST.USE_GT_BBOX False TEST.MODEL_FILE a.pth TEST.OKS_THRE 0.8": (
        "python tools/train.py -c configs/hrnet_w48_384x288.yml "
        "-o 'LearningRate.schedulers.PiecewiseDecay.milestones=[90, 120]' EvalDataset.use_gt_bbox=false "
        "weights=a.pth"
    ),
    "python tools/test.py --cfg experiments/coco/hrnet/w48_384x288_adam_lr1e-3.yaml TEST.SOFT_NMS True "
    "TEST.OKS_THRE 0.8 TEST.IN_VIS_THRE 0.1": (
        "python tools/eval.py -c configs/hrnet_w48_384x288.yml --nms soft_oks --oks_thre 0.8 "
        "--in_vis_thre 0.1"
    ),
    # PaddlePaddle's, which are ours
    "export CUDA_VISIBLE_DEVICES=0\npython tools/train.py -c configs/x.yml": (
        "CUDA_VISIBLE_DEVICES=0 python tools/train.py -c configs/x.yml"
    ),
    "python tools/train.py -c configs/x.yml --distill_config=./configs/teacher.yml": (
        "python tools/train.py -c configs/x.yml --distill_config=./configs/teacher.yml"
    ),
    "python dataset/download_coco.py": "python dataset/download_coco.py",
    "cd main && pip install -r requirement.txt": "pip install -r requirements.txt",
    "python dataset/converters/mpii2coco.py --input a --output b": (
        "python dataset/converters/mpii2coco.py --input a --output b"
    ),
    # what is rare
    f"CUDA_VISIBLE_DEVICES=2,5 python -m pose_estimation.train --cfg x.yaml --cfg {HSR} --gpus 0,1": (
        f"{LAUNCH} 2,5 tools/train.py -c configs/hsrnet_59_256x192_coco.yml"
    ),
    "CUDA_VISIBLE_DEVICES=3 python tools/test.py --cfg my/w32_highres.yaml --modelDir out GPUS '(0,)' "
    "TEST.FLIP_TEST False": (
        "python tools/eval.py -c my_w32_highres.yml --gpu 3 -o save_dir=out TopDownHRNet.flip=false"
    ),
    "python tools/test.py --cfg experiments/mpii/hrnet/w32_256x256_adam_lr1e-3.yaml TEST.USE_GT_BBOX False "
    "TEST.IMAGE_THRE 0.1 MODEL.IMAGE_SIZE 256,256": (
        "python tools/eval.py -c configs/hrnet_w32_256x256_mpii.yml -o 'trainsize=[256, 256]'"
    ),
    "CUDA_VISIBLE_DEVICES=3 python train.py --gpu 0": (
        "python tools/train.py -c configs/tf_hrnet_w32_256x192_coco.yml --gpu 0"
    ),
    "python visualization/plot_coco.py --prediction=a.json --image-path c --style x": (
        "python tools/visualize_coco.py a.json --dataset data/coco/annotations/person_keypoints_val2017.json "
        "--image_dir c"
    ),
    # converters
    "python tool/posetrack2coco.py": (
        "python dataset/converters/posetrack2coco.py --input FILE_OR_DIR --output FILE"
    ),
    "python 'COCO Convert/convert2COCO.py'": (
        "python dataset/converters/spacecraft2coco.py --input FILE_OR_DIR --output FILE "
        "--keypoint_set envisat16"
    ),
}


@pytest.mark.parametrize("theirs", COMMANDS)
def test_a_command_becomes_ours(theirs):
    theirs_quoted = theirs.replace("(0,2)", "'(0,2)'")
    assert translate_command(theirs_quoted) == COMMANDS[theirs]
    assert shlex.split(COMMANDS[theirs])


def read_rows():
    """The cells of all tables of docs/seeds."""
    for page in sorted((ROOT / "docs" / "seeds").glob("*.md")):
        for line in page.read_text().splitlines():
            if line.startswith("| "):
                yield page.name, [cell.strip() for cell in line.strip("|").split("|")]


def test_the_pages_say_what_translate_does():
    commands = [
        [cell.strip("`") for cell in cells]
        for _, cells in read_rows()
        if cells[0].startswith("`python ")
        and cells[1].startswith("`python ")
        and "," not in cells[1].split("`")[-1]
    ]
    assert len(commands) > 20
    for theirs, ours in commands:
        if "demo/" not in theirs:
            assert translate_command(theirs) == ours


def test_the_pages_name_configs_that_are_there():
    known = {path.stem for path in (ROOT / "configs").glob("*.yml")}
    named = {
        name
        for _, cells in read_rows()
        for name in re.findall(
            r"(?:configs/|`)((?:tf_|lite_|pose_res|hsr|attention|hrnet_)[a-z0-9_]+)(?![a-z0-9_{])",
            " ".join(cells),
        )
        if "{" not in name and not name.endswith("_")
    }
    assert named - known <= {"hrnet_size"}
    assert len(named & known) > 20


def test_experiments_have_the_names_of_our_configs():
    names = {
        "experiments/coco/hsr-msnet161/384x288_d256x3_adam_lr1e-3.yaml": "hsr_msnet_161_384x288_coco",
        "/a/experiments/mpii/resnet/res101_256x256_d256x3_adam_lr1e-3.yaml": "pose_resnet_101_256x256_mpii",
        "experiments/coco/resnet50/256x192_d256x3_adam_lr1e-3.yaml": "pose_resnet_50_256x192_coco",
        "EXP/EXP3_w32small_256x256_adam_lr1e-4_ENVISAT-1.yaml": "hrnet_small_256x256_envisat16",
        "experiments/mpii/resnet50/384x384_d256x3_adam_lr1e-3.yaml": "resnet50_384x384_d256x3_adam_lr1e-3",
    }
    assert {path: name_experiment(path) for path in names} == names


@pytest.mark.parametrize(
    ("theirs", "message"),
    [
        ("ls -l", "expected a command such as python train.py"),
        ("python 'tools/test.py", "not a command line"),
        ("cd lib && make", "not needed; there is nothing to build"),
        ("python setup.py build_ext --inplace; rm -rf build", "setup.py: no counterpart; there is nothing"),
        ("python train.py --gpu 3-0", "--gpu: got '3-0', expected GPUs such as"),
        ("python train.py --gpu a", "--gpu: got 'a', expected GPUs such as"),
        (
            "python tools/train.py --cfg a.yaml LOSS.USE_OHKM True",
            "LOSS.USE_OHKM: we have no override for it",
        ),
        (
            "python tools/train.py --cfg a.yaml MODEL.NAME pose_resnet",
            "MODEL.NAME: we have no override for it",
        ),
        ("python tools/test.py --cfg a.yaml TEST.MODEL_FIL a", "did you mean 'TEST.MODEL_FILE'"),
        ("python tools/test.py --cfg a.yaml TEST.MODEL_FILE", "TEST.MODEL_FILE: expected a value"),
        ("python tools/train.py --cfg a.yaml TRAIN.LR fast", "TRAIN.LR: got 'fast', expected a number"),
        ("python tools/train.py --cfg", "--cfg: got '', expected an experiment file"),
        ("python train.py --gpu", "--gpu: expected a value"),
        ("python tools/train.py --cfg a.yaml TRAIN.LR null", "TRAIN.LR: got None, expected a number"),
        ("python train.py --fast 1", "--fast: no flag of these codes"),
        ("python visualization/plot_coco.py --fast 1", "--fast: no flag of plot_coco.py"),
        ("python tools/test.py", "tools/test.py: expected --cfg and an experiment file"),
        ("python tools/train.py a.yaml", "tools/train.py: expected --cfg and an experiment file"),
        ("python pose_estimation/valid.py --flip-test", "valid.py: expected --cfg"),
        ("python train.py && python test.py", "train.py and test.py: translate one command at a time"),
        ("python tools/train.py --cfg a.yaml GPUS 0-3", "GPUS: got '0-3', expected GPUs such as"),
        ("python tools/train.py --cfg a.yaml --dataDir d", "add 'd' to DATASET.ROOT instead"),
        (
            "python tools/test.py --cfg a.yaml TEST.POST_PROCESS False",
            "TEST.POST_PROCESS: got False; we always",
        ),
        (
            "CUDA_VISIBLE_DEVICES=3 python tools/train.py --cfg a.yaml --gpus 1",
            "CUDA_VISIBLE_DEVICES=3: has no GPU number 1",
        ),
    ],
)
def test_what_is_none_is_one_line(theirs, message):
    with pytest.raises(ConfigError, match=message) as error:
        translate_command(theirs)
    assert "\n" not in str(error.value)
