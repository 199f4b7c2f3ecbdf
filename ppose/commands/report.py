"""Shows a training run on one HTML page, alone or beside other runs."""

import argparse
from pathlib import Path


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a run: output/<config>")
    parser.add_argument(
        "--compare", type=Path, nargs="+", default=[], metavar="RUN", help="runs to show beside it"
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="page to write (default: report.html in the run's folder)"
    )


def main(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Run the command."""
    from ppose.files import check_writable
    from ppose.reports.run_page import make_run_page, read_run

    output = args.output or args.run / "report.html"
    runs = [read_run(folder) for folder in (args.run, *args.compare)]
    check_writable(output)
    make_run_page(runs).write(output)
    print(f"page: {output}")
