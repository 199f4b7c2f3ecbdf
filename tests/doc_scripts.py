"""The scripts of docs/, which are no package, as modules."""

import importlib
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"


def load_doc_script(name):
    """The module of docs/NAME.py."""
    sys.path.insert(0, str(DOCS))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(DOCS))
