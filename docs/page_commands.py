"""The command blocks of README and docs/, and which of them the tests do not run.

A block is fenced as bash. One that is not run has a line `<!-- not run: REASON -->` before it.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_BLOCK = re.compile(r"(?:^<!-- not run: ([^\n]+) -->\n)?^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """Commands of a page, one a line; ``not_run`` is why the tests leave them out, if they do."""

    page: str
    text: str
    not_run: str | None

    def commands(self) -> list[list[str]]:
        """The words of each command, without comments."""
        lines = self.text.replace("\\\n", " ").replace(" && ", "\n").splitlines()
        return [words for line in lines if (words := shlex.split(line, comments=True))]


def list_pages() -> list[Path]:
    """README, and all pages of docs/ that people write."""
    pages = sorted((ROOT / "docs").rglob("*.md"))
    return [ROOT / "README.md", *(page for page in pages if "reference" not in page.parts)]


def list_blocks() -> Iterator[Block]:
    """The blocks of all pages, in their order."""
    for page in list_pages():
        for reason, text in _BLOCK.findall(page.read_text(encoding="utf-8")):
            yield Block(page.relative_to(ROOT).as_posix(), text, reason or None)


def list_not_run() -> str:
    """A table of the commands that the tests do not run, with the reason."""
    rows = ["| page | command | why it is not run |", "|---|---|---|"]
    for block in list_blocks():
        if block.not_run:
            page = block.page.removeprefix("docs/")
            link = f"[{page}]({page if block.page != page else '../' + page})"
            cells = [f"`{shlex.join(words)}`".replace("|", "\\|") for words in block.commands()]
            rows += [f"| {link} | {' '.join(cells)} | {block.not_run} |"]
    return "\n".join(rows)
