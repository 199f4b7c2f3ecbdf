"""Time and memory of a training step on the CPU, by network and batch, against other modes.

    python benchmarks/training_step.py -c configs/lite_hrnet_18_256x192_coco.yml --batch_sizes 4 16

Each line is a process of its own: a mode, a number of threads, a batch size. The table has the median seconds
of a step (forward, backward, optimizer), images/s, the ratio to `plain` with the same threads and batch, and
peak memory. With --data a training on drawn people with one worker process follows, with the share of its
time that it waits for data.

- `plain`: operator by operator; freed memory is returned to the system;
- `memory`: freed memory is kept (engine/device.py);
- `ppose`: the same, and the network as a static graph (engine/static_network.py): what tools/train.py does.

Measured on two threads, Paddle 3.2.2 (seconds a step plain and ppose, ratio), at 256x192: HRNet-W32, batch 4,
14.4, 4.7, 0.33; Lite-HRNet-30, batch 8, 2.88, 2.00, 0.69; Lite-HRNet-18, batch 8, 1.70, 1.44, 0.85;
at 128x64 on one thread: Lite-HRNet-8, batch 4, 0.114, 0.094, 0.82.

With --pytorch, on two cores of an AMD EPYC (AVX2 alone), torch 2.13, at 256x192 (seconds a step ppose and
PyTorch, ratio): HRNet-W32, batch 4, two threads, 4.88, 3.13, 1.56 (other programs ran beside it);
Lite-HRNet-18, batch 8, one thread 1.914, 1.871, 1.02, two threads 2.000, 1.009, 1.98.

Findings:
- Lite-HRNet's step uses one core, whatever the threads (CPU time is at most the wall time); on one thread it
  is as fast as PyTorch's. A second process does help (below).
- Making the graph of Lite-HRNet-30's training takes 100 s, in Paddle's `append_backward` and
  `attach_preserved_name`, which list all operators for each operator; Lite-HRNet-18's takes half of that.
- Half of Lite-HRNet's step are depthwise convolutions, two thirds of that their gradients: Paddle computes
  each channel of each image separately, so that 80 maps of 6x4 pixels take as long as 20 of 24x16.
- Alternatives tried and rejected: nine shifted sums (25 times slower), unfold and a matrix product (3 times),
  rows times banded matrices (5 times), the filter's gradient as matrix products (2 times), a matrix for each
  channel's whole map (4 times faster for 6x4, slower from 12x8 on: 5 to 15 % of a step), numba (twice as
  fast for small maps, half as fast for large ones: not worth its 200 MB).
- 1x1 convolutions as matrix products: 1.2 times as fast on one processor, no faster on another.
- The 7x7 convolution of the image, 24 channels at 128x64, batch 16, one thread of an AMD EPYC (AVX2), takes
  62 ms forward and backward, a 3x3 one 13 ms; one timing of single operators on a busy machine.
- FLAGS_use_mkldnn only affects exported graphs.
- A second thread gains little on small maps: two processes of one thread each (paddle.distributed.launch
  --nproc_per_node 2) train Lite-HRNet-8 at 128x64 about 1.5 times as fast as one of two.
- A moving average that looks up its arrays in each step took a tenth of Lite-HRNet's step.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ppose.commandline import run
from ppose.options import add_config_options
from ppose.paddle_internals import set_cpu_threads
from ppose.processor import peak_memory

WAYS = ("plain", "memory", "ppose")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_config_options(parser)
    parser.add_argument("--batch_sizes", type=int, nargs="+", default=[4, 16])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--steps", type=int, default=8, help="timed in each process (default: %(default)s)")
    parser.add_argument("--data", action="store_true", help="measure the wait for data too")
    parser.add_argument(
        "--pytorch", metavar="PYTHON", help="a Python that has torch: the same networks' step there"
    )
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        way, batch, threads = args.measure[0], int(args.measure[1]), int(args.measure[2])
        print(json.dumps(measure(args.config, args.overrides, way, batch, threads, args.steps)))
        return
    print(f"{'way':8} {'threads':>7} {'batch':>5} {'s/step':>8} {'images/s':>8} {'ratio':>6} {'MiB':>6}")
    for threads, batch in product(args.threads, args.batch_sizes):
        plain = None
        for way in [*args.ways, *(["pytorch"] if args.pytorch else [])]:
            if way == "pytorch":
                command = pytorch_command(args, batch, threads)
            else:
                command = [sys.executable, __file__, *sys.argv[1:]]
                command += ["--measure", way, str(batch), str(threads)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
                print(f"{way:8} {threads:7} {batch:5}  failed: {reason[:80]}")
                continue
            step, memory = json.loads(done.stdout.splitlines()[-1])
            plain = plain or step
            ratio = step / plain
            print(f"{way:8} {threads:7} {batch:5} {step:8.3f} {batch / step:8.1f} {ratio:6.2f} {memory:6.0f}")
    if args.data:
        wait, total = measure_wait(args.config, args.overrides, args.batch_sizes[-1])
        print(
            f"waiting for data, 1 worker, batch {args.batch_sizes[-1]}: {wait / total:.1%} of {total:.1f} s"
        )


def pytorch_command(args: argparse.Namespace, batch: int, threads: int) -> list[str]:
    """The command that measures the step of the config's network in the Python of --pytorch."""
    import yaml

    from ppose.workspace import load_config

    config = load_config(args.config, args.overrides)
    script = Path(__file__).with_name("training_step_pytorch.py")
    libraries = Path(yaml.__file__).parent.parent
    blocks = json.dumps({key: value for key, value in config.items() if key != "trainsize"}, default=str)
    numbers = (*config["trainsize"], batch, threads, args.steps)
    return [args.pytorch, str(script), str(libraries), blocks, *map(str, numbers)]


def measure(
    config: str, overrides: list[str], way: str, batch: int, threads: int, steps: int
) -> tuple[float, float]:
    """Median seconds of a step, and peak memory in MiB."""
    import paddle

    from ppose.engine.device import select_device
    from ppose.engine.static_network import StaticNetwork
    from ppose.engine.task import Task
    from ppose.workspace import load_config

    if way == "plain":
        paddle.set_device("cpu")
    else:
        select_device(use_gpu=False)
    set_cpu_threads(threads)
    task = Task(load_config(config, overrides))
    model, (width, height) = task.model(), task.settings.trainsize
    loss_of, keypoints = task.loss(), task.keypoint_set.num_keypoints
    optimizer = paddle.optimizer.Adam(
        1e-3, parameters=[parameter for parameter in model.parameters() if not parameter.stop_gradient]
    )
    image = paddle.rand([batch, 3, height, width])
    target = paddle.rand([batch, keypoints, height // 4, width // 4])
    weight = paddle.ones([batch, keypoints, 1])
    network = StaticNetwork(model, (width, height)) if way == "ppose" else model
    network.train()
    seconds = []
    for _ in range(steps + 2):
        begin = time.perf_counter()
        loss = loss_of(network(image), target, weight)
        loss.backward()
        optimizer.step()
        optimizer.clear_grad()
        float(loss)
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds[2:]), peak_memory()


def measure_wait(config: str, overrides: list[str], batch: int) -> tuple[float, float]:
    """Seconds that ten steps on drawn people wait for data, and their total seconds."""
    from ppose.engine.device import select_device
    from ppose.engine.hooks.run import Hook
    from ppose.engine.task import Task
    from ppose.engine.train import make_trainer
    from ppose.workspace import load_config

    class Sum(Hook):
        def __init__(self) -> None:
            self.waited, self.total = [], []

        def after_step(self, trainer: object) -> None:
            self.waited.append(trainer.report.data_time)
            self.total.append(trainer.report.step_time)

    select_device(use_gpu=False)
    size = list(Task(load_config(config, overrides)).settings.trainsize)
    drawn = f"TrainDataset={{type: SyntheticPeopleDataset, trainsize: {size}, num_images: {12 * batch}}}"
    options = [drawn, "worker_num=1", f"TrainReader.batch_size={batch}", "epoch=1", "use_vdl=false"]
    times = Sum()
    with tempfile.TemporaryDirectory() as folder:
        cfg = load_config(config, [*overrides, *options])
        trainer = make_trainer(cfg, Path(folder), seed=0, evaluates=False)
        trainer.hooks = [times]
        trainer.fit()
    return sum(times.waited[2:]), sum(times.total[2:])


if __name__ == "__main__":
    run(main)
