"""Private names of Paddle stand in one file."""

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "ppose"
PRIVATE_MODULES = ("paddle.base", "paddle.framework", "paddle.nn.quant", "paddle.nn.layer")
OWN = {"self", "cls", *sys.stdlib_module_names}
PRIVATE_CALLS = {"concrete_program", "global_block", "skip_quant"}


def private_uses(code):
    """The private names in a module's code that are not its own: attributes of what is not self, imports."""
    found, nodes = [], list(ast.walk(ast.parse(code)))
    own = OWN | {node.name for node in nodes if isinstance(node, ast.ClassDef)}
    for node in nodes:
        if isinstance(node, ast.Attribute):
            full = ast.unparse(node)
            is_own = isinstance(node.value, ast.Name) and node.value.id in own
            is_private = node.attr.startswith("_") and not node.attr.endswith("__") and not is_own
            if is_private or node.attr in PRIVATE_CALLS or full.startswith(PRIVATE_MODULES):
                found.append(full)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PRIVATE_MODULES):
            found.append(node.module)
    return found


@pytest.mark.parametrize(
    "code",
    [
        "norm._mean.numpy()",
        "self.model.conv._groups",
        "paddle.base.core.set_num_threads(2)",
        "from paddle.nn.quant.quant_layers import QuantizedConv2D",
        "traced.forward.concrete_program",
    ],
)
def test_a_private_name_is_found(code):
    assert private_uses(code)


def test_only_one_file_touches_private_names():
    files = [file for file in PACKAGE.rglob("*.py") if file.name != "paddle_internals.py"]
    found = {str(file.relative_to(PACKAGE)): private_uses(file.read_text()) for file in files}
    assert {file: names for file, names in found.items() if names} == {}
