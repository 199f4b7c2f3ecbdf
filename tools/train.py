"""Trains what a config names."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ppose.commandline import make_parser, run


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument(
        "--eval", action="store_true", help="evaluate every snapshot_epoch, and keep the best model"
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const="",
        metavar="PATH",
        help="go on from a training state (.npz) or a run's folder (default: <save_dir>/<config>)",
    )
    parser.add_argument("--weights", metavar="FILE", help="fine-tune: the same as -o pretrain_weights=FILE")
    parser.add_argument("--seed", type=int, help="of all random choices (default: 0, or the resumed run's)")
    args = parser.parse_args()

    from ppose.engine.interrupt import StopOnSignal
    from ppose.engine.runtime import select_device
    from ppose.engine.state import read_state
    from ppose.engine.train import make_trainer, record_run
    from ppose.workspace import load_config, run_settings

    overrides = [*args.overrides, *([f"pretrain_weights={args.weights}"] if args.weights else [])]
    cfg = load_config(args.config, overrides)
    settings = run_settings(cfg)
    select_device(settings.use_gpu)
    folder = Path(settings.save_dir) / Path(args.config).stem
    state = None if args.resume is None else read_state(args.resume or folder)
    seed = args.seed if args.seed is not None else state.seed if state else 0
    trainer = make_trainer(cfg, folder, seed=seed, evaluates=args.eval, state=state)
    record_run(folder, cfg, seed=seed, arguments=sys.argv, resumes=state is not None)
    with StopOnSignal(trainer) as stop:
        trainer.fit()
    if stop.received and trainer.interrupted:
        print(
            f"stopped by {stop.received.name} after step {trainer.step}: the state is in {folder}; "
            "--resume goes on from there",
            file=sys.stderr,
        )
        sys.exit(128 + stop.received)
    best = trainer.progress.best
    shown = f"; best AP {best:.4f}, epoch {trainer.progress.best_epoch}" if best is not None else ""
    print(f"trained {trainer.progress.epoch} epochs: {folder / 'model_final.pdparams'}{shown}")


if __name__ == "__main__":
    run(main)
