"""The commands: `ppose <command>`, and the scripts that do the same from a clone."""

# Other imports are in the functions, so that signals are handled before them.
import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from ppose.interrupts import Interrupts

if TYPE_CHECKING:
    from types import ModuleType

COMMANDS = (
    *("train", "eval", "eval_tracks", "check", "convert", "split", "merge", "browse", "infer", "export"),
    *("quantize", "predict", "benchmark", "tune", "serve", "batch", "model_info", "synthesize", "translate"),
    *("mpii2coco", "posetrack2coco", "spacecraft2coco", "weights", "analyse_errors", "visualize_coco"),
    *("download", "report", "models"),
)

_BLAS, _MOST_THREADS = 3, 64  # numpy, OpenCV and SciPy bring an OpenBLAS each, which starts up to so many


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Exit with the error line alone: the usage of a command with many options would hide it."""
        self.exit(2, f"{self.prog}: error: {message}; `{self.prog} --help` lists its options\n")


def main() -> None:
    """Run `ppose COMMAND OPTIONS`; without a command, list the commands."""
    with Interrupts(at_once=True):
        name, *arguments = sys.argv[1:] or ["--help"]
        if name in COMMANDS:
            _run_command(name, arguments, f"ppose {name}")
        else:
            _list_or_reject(name)


def run_command(name: str, arguments: Sequence[str] | None = None) -> None:
    """Run the command of that name with these arguments (default: the process's own).

    With arguments, the caller is assumed to have more to do: an interrupt raises KeyboardInterrupt, then
    SystemExit.
    """
    with Interrupts(at_once=True, is_guest=arguments is not None):
        _run_command(name, arguments, None)


def _list_or_reject(name: str) -> None:
    """List the commands, or report that there is none of this name."""
    import difflib

    import ppose

    parser = argparse.ArgumentParser(
        prog="ppose",
        usage="ppose <command> [options]",
        description=ppose.__doc__,
        epilog=f"commands:\n{_list_commands()}\n\n`ppose <command> --help` lists its options. Start with: "
        "`ppose predict photo.jpg`",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"ppose {ppose.__version__}")
    parser.parse_known_args([name])  # --help and --version end here
    near = difflib.get_close_matches(name, COMMANDS, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"expected one of {', '.join(COMMANDS)}"
    parser.error(f"no command '{name}'; {hint}")


def _run_command(name: str, arguments: Sequence[str] | None, prog: str | None) -> None:
    from functools import partial

    from ppose.commandline import run

    run(partial(_load_and_run, name, arguments, prog))


def _load_and_run(name: str, arguments: Sequence[str] | None, prog: str | None) -> None:
    _check_threads(name)  # before anything imports numpy
    import importlib
    from pathlib import Path

    from ppose.paths import expand_path
    from ppose.pixel_limit import limit_pixels

    command = importlib.import_module(f"ppose.commands.{name}")
    parser = make_parser(command, prog)
    args = parser.parse_args(arguments)
    for option, value in vars(args).items():
        if isinstance(value, str | Path):
            setattr(args, option, type(value)(expand_path(str(value))))
        elif isinstance(value, list) and all(isinstance(each, Path) for each in value):
            setattr(args, option, [Path(expand_path(str(each))) for each in value])
    if args.plugin:
        from ppose.workspace.plugins import load_plugin

        for module in args.plugin:
            load_plugin(module)
    with limit_pixels(args.max_pixels):
        command.main(parser, args)


def _check_threads(name: str) -> None:
    """Raise DeviceError if OpenBLAS could not start its threads, at which it sends the process SIGINT."""
    import os

    from ppose.processor import check_threads, own_cores

    asked = os.environ.get("OPENBLAS_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS", "")
    count = min(own_cores(), _MOST_THREADS, int(asked) if asked.isdecimal() else own_cores())
    if "numpy" not in sys.modules:
        check_threads(_BLAS * (count - 1), f"ppose {name}")


def make_parser(command: "ModuleType", prog: str | None = None) -> argparse.ArgumentParser:
    """Make the argument parser of a module of `ppose.commands`."""
    from ppose.options import add_pixel_option

    parser = _Parser(prog=prog, description=command.__doc__)
    command.add_options(parser)
    add_pixel_option(parser)
    parser.add_argument(
        "--plugin",
        nargs="+",
        action="extend",
        default=[],
        metavar="MODULE",
        help="import these modules first, so that configs can name your own components",
    )
    return parser


def _list_commands() -> str:
    import importlib

    texts = {name: importlib.import_module(f"ppose.commands.{name}").__doc__ for name in COMMANDS}
    return "\n".join(f"  {name:<16}{text}" for name, text in texts.items())
