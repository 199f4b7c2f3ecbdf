"""Graphs in Paddle 2's format (`.pdmodel`), which Paddle Lite reads."""

from collections.abc import Iterator
from contextlib import contextmanager

from ppose.errors import ConfigError, ExportError
from ppose.paddle_internals import graphs_of_paddle_2
from ppose.paths import show_text

_SHOWN = 200  # characters of Paddle's message


@contextmanager
def paddle_2_graphs() -> Iterator[None]:
    """`graphs_of_paddle_2`; ExportError if Paddle 3 cannot write an operator of a network in that format."""
    try:
        with graphs_of_paddle_2():
            yield
    except (TypeError, ValueError, AttributeError, NotImplementedError) as error:
        reason = str(error).strip().rpartition("\n")[2].strip()
        raise ExportError(
            f"--format pdmodel: Paddle cannot write this network as a graph of Paddle 2: "
            f"{show_text(reason, _SHOWN)}"
        ) from error


def check_paddle_2(*, decodes: bool, is_int8: bool) -> None:
    """Raise ConfigError for decoding, for which Paddle Lite lacks operators, and for int8, not yet tested."""
    if decodes:
        raise ConfigError("--format pdmodel takes no --decode_in_graph: Paddle Lite lacks its operators")
    if is_int8:
        raise ConfigError(
            "--format pdmodel is for float networks, but this one is quantized: export it with --format onnx"
        )
