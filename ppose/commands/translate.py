"""Translates a command of another pose code to ours, or one of its experiment files to our config."""

import argparse
import os
import re
import sys
from pathlib import Path


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "theirs",
        metavar="COMMAND_OR_FILE",
        help="a whole command in quotes, such as 'python tools/test.py --cfg experiments/x.yaml', or an "
        "experiment file (YAML) of HRNet, HSRNet or HRNet for spacecraft",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="config to write for an experiment file (default: its name, in the current folder)",
    )


def main(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Run the command."""
    from ppose.translate import translate_command

    is_named_so = args.theirs.endswith((".yaml", ".yml")) and " " not in args.theirs
    is_file = is_named_so or os.path.isfile(args.theirs)  # also for a line too long for a path
    if not is_file and args.output is not None:
        parser.error("--output needs an experiment file")
    if not is_file:
        line = translate_command(args.theirs)
        print(line)
        if "--cfg" in args.theirs and " -c configs/" not in line:
            print("write its config first: ppose translate EXPERIMENT.yaml", file=sys.stderr)
        return
    write_config(args.theirs, args.output)


def write_config(file: str, output: Path | None) -> None:
    """Write our config of an experiment file, once it loads; never overwrite a file."""
    import tempfile

    from ppose.errors import ConfigError
    from ppose.files import temporary_folder, write_bytes
    from ppose.translate import translate_experiment
    from ppose.translate.known import name_experiment
    from ppose.workspace import load_config

    output = output or Path(f"{name_experiment(file)}.yml")
    if output.exists():
        raise ConfigError(f"{output} already exists: choose another with --output FILE")
    text = f"# Of {Path(file).as_posix()!r}.\n{translate_experiment(file, output.stem)}"
    with temporary_folder(tempfile.gettempdir(), "ppose-") as folder:
        trial = folder / output.name
        trial.write_text(text, encoding="utf-8")
        try:
            load_config(trial)
        except ConfigError as error:  # in lines of the trial, which the user never sees
            raise ConfigError(
                re.sub(rf"{re.escape(str(trial))}(:\d+)?", lambda _: file, str(error))
            ) from None
    write_bytes(output, text.encode())
    print(f"{output}: train with python tools/train.py -c {output}")
