"""Trains the network of a config."""

import argparse
import logging
import os
import signal
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from ppose.options import add_config_options, add_gpu_option, choose_gpus

if TYPE_CHECKING:
    from ppose.engine.trainer import Trainer


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_config_options(parser)
    add_gpu_option(parser)
    parser.add_argument(
        "--eval", action="store_true", help="evaluate every snapshot_epoch epochs, and keep the best model"
    )
    parser.add_argument(
        "--resume",
        "--continue",
        dest="resume",
        nargs="?",
        const="",
        metavar="PATH",
        help="resume from a training state (.npz) or a run's folder (default: <save_dir>/<config>)",
    )
    parser.add_argument("--weights", metavar="FILE", help="fine-tune: same as -o pretrain_weights=FILE")
    parser.add_argument("--seed", type=int, help="random seed (default: 0, or the resumed run's)")
    parser.add_argument(
        "--amp",
        nargs="?",
        const="bf16",
        choices=["bf16", "fp16"],
        help="mixed precision (default: bf16), on GPUs only: Paddle trains in float32 on the CPU",
    )
    parser.add_argument(
        "--auto_scale_lr",
        action="store_true",
        help="multiply the learning rate by (images per step / the config's base_batch_size)",
    )
    parser.add_argument("--distill_config", metavar="FILE", help="distil from the teacher of this config")
    parser.add_argument(
        "--distill_opt",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="override keys of the teacher's config: --distill_opt weights=FILE distill_loss.weight=2",
    )
    parser.add_argument(
        "--teacher_cache",
        metavar="DIR",
        type=Path,
        help="folder to cache the teacher's outputs; saves time if the same inputs come again, that is, "
        "without random augmentation",
    )


def main(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Run the command."""
    if args.distill_config is None and (args.distill_opt or args.teacher_cache):
        parser.error("--distill_opt and --teacher_cache need --distill_config FILE")

    os.environ.setdefault("GLOG_minloglevel", "2")  # hides Paddle's notes about its interpreter
    choose_gpus(args.gpu)
    from ppose.engine.batch_size import settle_batch_size
    from ppose.engine.device import select_device
    from ppose.engine.distill import TeacherSetup
    from ppose.engine.distributed.ranks import is_main, join_ranks
    from ppose.engine.interrupt import StopOnSignal
    from ppose.engine.precision import Precision, check_precision
    from ppose.engine.record import record_run
    from ppose.engine.run_lock import own_folder
    from ppose.engine.settings import run_settings
    from ppose.engine.state import read_state
    from ppose.engine.train import make_trainer
    from ppose.processor_settings import describe_settings, settings_in_force
    from ppose.workspace import load_config

    overrides = [*args.overrides, *([f"pretrain_weights={args.weights}"] if args.weights else [])]
    cfg = load_config(args.config, overrides)
    teacher = None
    if args.distill_config is not None:
        teacher = TeacherSetup(load_config(args.distill_config, args.distill_opt), args.teacher_cache)
    settings = run_settings(cfg)
    device = select_device(settings.use_gpu)
    check_precision(args.amp, device, quantizes=settings.slim is not None)
    join_ranks(device)
    folder = Path(settings.save_dir) / Path(args.config).stem
    state = None if args.resume is None else read_state(args.resume or folder)
    seed = args.seed if args.seed is not None else state.seed if state else 0
    resumes = state is not None
    with own_folder(folder) if is_main() else nullcontext():
        cfg = settle_batch_size(cfg, folder, resumes=resumes, precision=Precision(args.amp), teacher=teacher)
        trainer = make_trainer(
            cfg,
            folder,
            seed=seed,
            evaluates=args.eval,
            state=state,
            precision=Precision(args.amp),
            scales_rate=args.auto_scale_lr,
            teacher=teacher,
        )
        if is_main():
            if device == "cpu":
                logging.getLogger("ppose").info("CPU settings: %s", describe_settings(settings_in_force()))
            record_run(folder, cfg, seed=seed, arguments=sys.argv, resumes=resumes, teacher=teacher)
        with StopOnSignal(trainer) as stop:
            trainer.fit()
    received = stop.received or signal.SIGTERM  # with several ranks, another one may have received it
    if is_main():
        print_end(trainer, folder, received.name, settings.headline[0])
    sys.exit(128 + received if trainer.interrupted else 0)


def print_end(trainer: "Trainer", folder: Path, received: str, measure: str) -> None:
    """Report how a run ended: stopped by the signal ``received``, or done, with the best ``measure``."""
    if trainer.interrupted:
        print(
            f"stopped by {received} after step {trainer.step}: the state is in {folder}; "
            "continue with --resume",
            file=sys.stderr,
        )
        return
    best = trainer.progress.best
    shown = f"; best {measure} {best:.4f}, epoch {trainer.progress.best_epoch}" if best is not None else ""
    print(f"trained {trainer.progress.epoch} epochs: {folder / 'model_final.pdparams'}{shown}")
