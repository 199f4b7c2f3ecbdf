"""Makes graphs that can be parsed but have faults in their content."""

import json
import re

import numpy as np
import onnx

_VALUES = (-1, 0, 10**9, 2**63, "", "x", None, [], {}, 0.5, True)


def change_values(content: bytes, seed: int) -> bytes:
    """Return a JSON file with one to three of its values replaced or removed."""
    rng, graph = np.random.default_rng(seed), json.loads(content)
    for _ in range(rng.integers(1, 4)):
        blocks, stack = [], [graph]
        while stack:
            block = stack.pop()
            children = list(block.values()) if isinstance(block, dict) else block
            stack += [child for child in children if isinstance(child, dict | list) and child]
            blocks.append(block)
        block = blocks[rng.integers(len(blocks))]
        key = list(block)[rng.integers(len(block))] if isinstance(block, dict) else rng.integers(len(block))
        if rng.integers(4):
            block[key] = _VALUES[rng.integers(len(_VALUES))]
        else:
            del block[key]
    return json.dumps(graph).encode()


def change_nodes(content: bytes, seed: int) -> bytes:
    """Return an ONNX file that can be parsed, but has invalid nodes."""
    rng, model = np.random.default_rng(seed), onnx.load_from_string(content)
    nodes = model.graph.node
    for _ in range(rng.integers(1, 3)):
        node, fault = nodes[rng.integers(len(nodes))], rng.integers(6)
        lists = [attribute.ints for attribute in node.attribute if attribute.ints]
        if fault == 0 and lists:
            lists[0][int(rng.integers(len(lists[0])))] = int(rng.choice([-1, 0, 10**6, 2**40]))
        elif fault == 1:
            node.op_type = str(rng.choice(["Relu", "Loop", "Gather", "NoSuch"]))
        elif fault == 2 and node.input:
            node.input[0] = node.output[0]
        elif fault == 3:
            nodes.remove(node)
        elif fault == 4 and model.graph.initializer:
            model.graph.initializer[0].dims[0] = int(rng.choice([-5, 0, 2**31, 2**62]))
        else:
            node.output[0] = "nowhere"
    return model.SerializeToString()


def change_numbers(content: bytes, seed: int) -> bytes:
    """Return a text with one to three of its numbers replaced, such as an XML file's attributes."""
    rng, text = np.random.default_rng(seed), content.decode()
    for _ in range(rng.integers(1, 4)):
        places = list(re.finditer(r'(?<=")\d+(?=")|(?<=>)\d+(?=<)', text))
        place = places[rng.integers(len(places))]
        number = rng.choice(["-1", "0", "1", "3", "99999", "4294967296", "9223372036854775807", "NaN"])
        text = text[: place.start()] + number + text[place.end() :]
    return text.encode()
