"""Makes files of torch.save without PyTorch."""

import collections
import io
import pickle
import sys
import types
import zipfile

import pytest


class _Call:
    """Pickles as a call of any function."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


def _rebuild_tensor_v2(*args):
    raise AssertionError("only named in the pickle")


class FloatStorage:
    def __init__(self, key, count):
        self.key, self.count = key, count


_rebuild_tensor_v2.__module__ = "torch._utils"
FloatStorage.__module__ = "torch"


def make_torch_file(tensors: dict, storages: dict) -> bytes:
    """A zip file of torch.save: tensors as (storage, offset, size, stride), storages as bytes by key."""
    modules = {name: types.ModuleType(name) for name in ("torch", "torch._utils")}
    modules["torch._utils"]._rebuild_tensor_v2 = _rebuild_tensor_v2
    modules["torch"].FloatStorage = FloatStorage

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj):
            if isinstance(obj, FloatStorage):
                return "storage", FloatStorage, obj.key, "cpu", obj.count
            return None

    with pytest.MonkeyPatch.context() as patch:
        for name, module in modules.items():
            patch.setitem(sys.modules, name, module)
        data = io.BytesIO()
        hooks = collections.OrderedDict()
        calls = {key: _Call(_rebuild_tensor_v2, *tensor, False, hooks) for key, tensor in tensors.items()}
        Pickler(data, 2).dump(calls)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("weights/data.pkl", data.getvalue())
        for key, raw in storages.items():
            archive.writestr(f"weights/data/{key}", raw)
    return buffer.getvalue()
