"""Checks that a tag, as v1.2.3, is the version of ppose, and prints what CHANGELOG.md says of it."""

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
    """The section of a version; DataError where there is none, or where it says that it is not released."""
    found = re.search(rf"^## {re.escape(version)}(.*)\n((?:(?!## ).*\n?)*)", changelog, re.MULTILINE)
    if found is None or not found[2].strip():
        raise DataError(f"CHANGELOG.md has no section '## {version}'; write what users see change")
    if "unreleased" in found[1]:
        raise DataError(f"CHANGELOG.md calls {version} unreleased; put the date there")
    return found[2].strip()


def check_release(tag: str) -> str:
    """What changed in the version that the tag names; DataError where tag, version and citation differ."""
    cited = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    for place, version in (("ppose/__init__.py", ppose.__version__), ("CITATION.cff", cited and cited[1])):
        if tag != f"v{version}":
            raise DataError(f"the tag is {tag}, but {place} says {version}; one of them is to change")
    return read_changes((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), ppose.__version__)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tag", help="as in v1.2.3")
    print(check_release(parser.parse_args().tag))


if __name__ == "__main__":
    run(main)
