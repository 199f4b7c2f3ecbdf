"""Self-contained pages: one HTML file without scripts that needs no network.

Texts are escaped, pictures are embedded. `page.html` is the template of all reports.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ppose.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    kind: str = "text"


@dataclass(frozen=True)
class Code:
    """Preformatted lines."""

    text: str
    kind: str = "code"


@dataclass(frozen=True)
class Table:
    """Rows of texts; the first column has names, the others numbers."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    kind: str = "table"


@dataclass(frozen=True)
class Picture:
    """A picture as a data URL, and its caption."""

    url: str
    caption: str = ""
    kind: str = "picture"


Block = Text | Code | Table | Picture


@dataclass
class Page:
    """A title, and sections by heading, each with several blocks."""

    title: str
    sections: dict[str, list[Block]] = field(default_factory=dict)

    def write(self, path: str | Path) -> None:
        """Write the page, whole or not at all."""
        import jinja2

        environment = jinja2.Environment(
            autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        template = environment.from_string(Path(__file__).with_name("page.html").read_text("utf-8"))
        text = template.render(page=self)
        write_bytes(path, text.encode("utf-8", "backslashreplace"))


def show_number(value: float | None) -> str:
    """A metric for a table; `-` for None, NaN or -1."""
    return f"{value:.4f}" if value is not None and value >= 0 else "-"


def show_figure(figure: "Figure") -> Picture:
    """A figure of matplotlib's, as a drawing (SVG) within an image: nothing of it can act on the page."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return _show(buffer.getvalue(), "svg+xml", "")


def show_picture(data: bytes, ending: str, caption: str) -> Picture:
    """The content of a picture file: ``ending`` is png or jpeg."""
    return _show(data, ending, caption)


def _show(data: bytes, kind: str, caption: str) -> Picture:
    return Picture(f"data:image/{kind};base64,{base64.b64encode(data).decode()}", caption)
