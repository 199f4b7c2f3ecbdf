"""The same networks' training step in PyTorch, for benchmarks/training_step.py --pytorch PYTHON.

    python -m venv torch-venv && torch-venv/bin/pip install torch
    python benchmarks/training_step.py -c configs/hrnet_w32_256x192.yml --pytorch torch-venv/bin/python

It runs in that Python with ppose/models/*.py unchanged: a stand-in module `paddle` provides PyTorch's layers
under Paddle's names. Forward, squared error, backward, Adam; prints [seconds, peak MiB].
"""

import argparse
import json
import resource
import statistics
import sys
import time
from pathlib import Path
from types import ModuleType

import torch
import torch.nn.functional as F
from torch import nn

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("libraries", help="the folder of PyYAML and typeguard, which ppose imports")
    parser.add_argument("config", help="the network's blocks of a config, as JSON")
    parser.add_argument("size", type=int, nargs=2, help="width and height of the input")
    parser.add_argument("batch", type=int)
    parser.add_argument("threads", type=int)
    parser.add_argument("steps", type=int)
    args = parser.parse_args()
    sys.path[:0] = [str(ROOT)]
    sys.path.append(args.libraries)
    stand_in_for_paddle()
    torch.set_num_threads(args.threads)
    network = build_network(json.loads(args.config)).train()
    width, height = args.size
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    image = torch.rand(args.batch, 3, height, width)
    with torch.no_grad():
        target = torch.rand_like(network(image))
    seconds = []
    for _ in range(args.steps + 2):
        begin = time.perf_counter()
        loss = (network(image) - target).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        float(loss)
        seconds.append(time.perf_counter() - begin)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([statistics.median(seconds[2:]), memory]))


def build_network(config: dict) -> nn.Module:
    """The network of a config's blocks: TopDownHRNet and its backbone, or PoseResNet."""
    from ppose.models.hrnet import HRNet
    from ppose.models.lite_hrnet import LiteHRNet
    from ppose.models.pose_resnet import PoseResNet
    from ppose.models.topdown import TopDownHRNet

    head = dict(config[config["architecture"]])
    for setting in ("loss", "use_dark", "shift_heatmap", "flip", "flip_perm"):
        head.pop(setting, None)
    if config["architecture"] == "PoseResNet":
        return PoseResNet(**head)
    backbone = {"HRNet": HRNet, "LiteHRNet": LiteHRNet}[head.pop("backbone")]
    return TopDownHRNet(backbone(**config[backbone.__name__]), **head)


def stand_in_for_paddle() -> None:
    """Install modules `paddle.*`, made from PyTorch's layers, for the imports of ppose/models."""

    class Layer(nn.Module):
        def add_sublayer(self, name: str, layer: nn.Module) -> nn.Module:
            self.add_module(name, layer)
            return layer

    def conv(
        kind: type, *sizes: int, bias_attr: object = None, weight_attr: object = None, **options
    ) -> nn.Module:
        return kind(*sizes, bias=bias_attr is not False, **options)

    def chunk(tensor: torch.Tensor, parts: int, axis: int) -> tuple[torch.Tensor, ...]:
        return torch.chunk(tensor, parts, dim=axis)

    torch.Tensor.chunk = chunk
    functional = {name: getattr(F, name) for name in F.__dict__ if not name.startswith("_")}
    functional["interpolate"] = lambda x, scale_factor, mode: F.interpolate(x, None, scale_factor, mode)
    layers = {
        "Layer": Layer,
        "Conv2D": lambda *a, **k: conv(nn.Conv2d, *a, **k),
        "Conv2DTranspose": lambda *a, **k: conv(nn.ConvTranspose2d, *a, **k),
        "BatchNorm2D": nn.BatchNorm2d,
        "LayerList": nn.ModuleList,
        "LayerDict": nn.ModuleDict,
        "Sequential": nn.Sequential,
        "ReLU": nn.ReLU,
        "Upsample": nn.Upsample,
    }
    nothing = dict.fromkeys(("Constant", "Normal", "XavierNormal"), lambda *a, **k: None)
    tensors = {
        "Tensor": torch.Tensor,
        "ParamAttr": lambda **k: None,
        "no_grad": torch.no_grad,
        "stack": lambda x, axis: torch.stack(x, dim=axis),
        "concat": lambda x, axis: torch.cat(x, dim=axis),
        "split": lambda x, parts, axis: torch.split(x, parts, dim=axis),
    }
    for name, members in (
        ("paddle.nn.initializer", nothing),
        ("paddle.nn.functional", functional),
        ("paddle.nn", layers),
        ("paddle", tensors),
        (
            "ppose.paddle_internals",
            dict.fromkeys(("set_norm", "use_running_statistics")),
        ),  # not of our networks
        ("ppose.models", {"__path__": [str(ROOT / "ppose/models")]}),
    ):
        sys.modules[name] = ModuleType(name)
        vars(sys.modules[name]).update(members)
    sys.modules["paddle"].nn = sys.modules["paddle.nn"]
    sys.modules["paddle.nn"].functional = sys.modules["paddle.nn.functional"]


if __name__ == "__main__":
    main()
