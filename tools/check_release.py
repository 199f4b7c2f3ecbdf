"""Checks that a tag such as v1.2.3 is the version of ppose, and prints its section of CHANGELOG.md."""

import argparse
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import ppose
from ppose.commandline import run
from ppose.errors import DataError

ROOT = Path(__file__).resolve().parent.parent


def read_changes(changelog: str, version: str) -> str:
    """The section of a version; DataError if there is none, or if it is marked unreleased."""
    found = re.search(rf"^## {re.escape(version)}(.*)\n((?:(?!## ).*\n?)*)", changelog, re.MULTILINE)
    if found is None or not found[2].strip():
        raise DataError(f"CHANGELOG.md has no section '## {version}'; write the changes that users see")
    if "unreleased" in found[1]:
        raise DataError(f"CHANGELOG.md calls {version} unreleased; replace that by the date")
    return found[2].strip()


def check_release(tag: str) -> str:
    """The changes in the version of the tag; DataError if tag, version and citation differ."""
    cited = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    for place, version in (("ppose/__init__.py", ppose.__version__), ("CITATION.cff", cited and cited[1])):
        if tag != f"v{version}":
            raise DataError(f"the tag is {tag}, but {place} says {version}; change one of them")
    return read_changes((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), ppose.__version__)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tag", help="such as v1.2.3")
    print(check_release(parser.parse_args().tag))


if __name__ == "__main__":
    run(main)
