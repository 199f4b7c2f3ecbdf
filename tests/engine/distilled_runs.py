"""Small runs of distillation: their configs, networks and records."""

import json

from paddle import nn
from runs import without_pictures

from ppose.engine.train import make_trainer
from ppose.workspace import load_config

STUDENT, TEACHER = "configs/naive_lite_hrnet_18_256x192_coco.yml", "configs/hrnet_w32_256x192_teacher.yml"
SIZE = ["trainsize=[64,64]", "hmsize=[16,16]"]


class Small(nn.Layer):
    """In place of the real networks, where a test is about the run: 6 channels for HRNet, else 4."""

    def __init__(self, task):
        super().__init__()
        channels = 6 if task._cfg["TopDownHRNet"]["backbone"] == "HRNet" else 4
        self.backbone = nn.Sequential(nn.Conv2D(3, channels, 4, stride=4), nn.BatchNorm2D(channels), AsList())
        self.backbone.out_channels = [channels]
        self.final_conv = nn.Conv2D(channels, 17, 1)

    def forward(self, image):
        return self.final_conv(self.backbone(image)[0])


class AsList(nn.Layer):
    def forward(self, x):
        return [x]


def make(overrides, folder, setup, *more, state=None):
    cfg = load_config(STUDENT, [*overrides, *more])
    return without_pictures(make_trainer(cfg, folder, seed=3, evaluates=False, state=state, teacher=setup))


def records(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
