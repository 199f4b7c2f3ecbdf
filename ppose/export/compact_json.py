"""Makes Paddle's `model.json` smaller; it is half of the size of a quantized Lite-HRNet."""

import json
from pathlib import Path
from typing import Any


def compact_graph(file: Path) -> None:
    """Remove from a graph, in place, duplicate operators, such as equal roundings of a map, and attributes
    of outputs; inference needs neither.

    The file is that of `paddle.jit.save`, format version 3 (Paddle 3.2): a list of operators, in which "#" is
    the kind, "A" attributes by name "N", "I" and "O" inputs and outputs by number, "OA" attributes of
    outputs such as stop_gradient.
    """
    content = json.loads(file.read_bytes())
    for region in content["program"]["regions"]:
        for block in region["blocks"]:
            block["ops"] = _compact(block["ops"])
    file.write_text(json.dumps(content, separators=(",", ":"), ensure_ascii=False))


def _compact(operators: list[dict[str, Any]]) -> list[dict[str, Any]]:
    known: dict[str, list[int]] = {}  # the operators' outputs, by kind, attributes, inputs and types
    number: dict[int, int] = {}  # by a removed output, the number of the equal one
    kept = []
    for operator in operators:
        if operator["#"] == "p":  # a weight, which has its own form
            kept.append(operator)
            continue
        operator["OA"] = []
        for given in operator["I"]:
            given["%"] = number.get(given["%"], given["%"])
        made = [output["%"] for output in operator["O"]]
        types = [output["TT"] for output in operator["O"]]
        key = json.dumps([operator["#"], operator["A"], operator["I"], types])
        if key in known:
            number.update(zip(made, known[key], strict=True))
            continue
        known[key] = made
        kept.append(operator)
    return kept
