"""MkDocs' hooks: files outside of docs/ that pages link to become part of the site."""

import os
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("CONTRIBUTING.md", "CHANGELOG.md", "examples/README.md")  # from outside of docs/
_LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)\s#]+)")
_CODE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: Any) -> Files:
    """Add the pages and files outside of docs/ that pages link to, under their paths in the repository."""
    for name in PAGES:
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    for page in files.documentation_pages():
        for link in _LINK.findall(page.content_string):
            target = _in_site(page.src_uri, link)
            if files.get_file_from_path(target) is None and (ROOT / target).is_file():
                files.append(File.generated(config, target, abs_src_path=str(ROOT / target)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links to outside of docs/ to where these files are in the site."""
    here = page.file.src_uri

    def turn(match: re.Match[str]) -> str:
        return posixpath.relpath(_in_site(here, match[1]), posixpath.dirname(here) or ".")

    parts = _CODE.split(markdown)
    parts[::2] = [_LINK.sub(turn, text) for text in parts[::2]]
    return "".join(parts)


def _in_site(page: str, link: str) -> str:
    """Where the file that a page links to is in the site."""
    folder = posixpath.dirname(page if page in PAGES else posixpath.join("docs", page))
    path = os.path.normpath(posixpath.join(folder, link)).replace(os.sep, "/")
    return "index.md" if path == "README.md" else path.removeprefix("docs/")
