"""Paddle's `model.json` made small: it takes half of a quantized Lite-HRNet's space otherwise."""

import json
from pathlib import Path
from typing import Any


def compact_graph(file: Path) -> None:
    """Leave out of a graph what running it does not need, in place: operators that compute what another
    one does, such as equal roundings of a map, and attributes of outputs.

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
    known: dict[str, list[int]] = {}  # the outputs of operators by what they compute
    number: dict[int, int] = {}  # of outputs that go, that of the equal one
    kept = []
    for operator in operators:
        if operator["#"] == "p":  # a weight, which has a form of its own
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
