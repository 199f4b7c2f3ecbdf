"""Graphs of Paddle 2 (`.pdmodel`), which Paddle Lite reads."""

from collections.abc import Iterator
from contextlib import contextmanager

from ppose.errors import ConfigError, ExportError
from ppose.paddle_internals import graphs_of_paddle_2
from ppose.paths import show_text

_SHOWN = 200  # of Paddle's words


@contextmanager
def paddle_2_graphs() -> Iterator[None]:
    """`graphs_of_paddle_2`; ExportError where Paddle 3 cannot write an operator of a network in one."""
    try:
        with graphs_of_paddle_2():
            yield
    except (TypeError, ValueError, AttributeError, NotImplementedError) as error:
        reason = str(error).strip().rpartition("\n")[2].strip()
        raise ExportError(
            f"--format pdmodel: Paddle does not write this network as a graph of Paddle 2: "
            f"{show_text(reason, _SHOWN)}"
        ) from error


def check_paddle_2(*, decodes: bool, is_int8: bool) -> None:
    """Raise ConfigError for what Paddle Lite has no operators for, and for int8, which was not tried."""
    if decodes:
        raise ConfigError("--format pdmodel takes no --decode_in_graph: Paddle Lite lacks its operators")
    if is_int8:
        raise ConfigError(
            "--format pdmodel is for networks in float, this one is quantized: export it with --format onnx"
        )
