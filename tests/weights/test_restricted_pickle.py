"""Files that try to run something: each is refused by name, and nothing of it runs."""

import io
import os
import pickle
import zipfile

import numpy as np
import pytest

from ppose.errors import CheckpointError
from ppose.weights import restricted_pickle
from ppose.weights.reader import read_weights

WEIGHTS = np.arange(6, dtype=np.float32).reshape(2, 3)


def refusal(folder, content: bytes) -> str:
    """The text of the error for a file of that content."""
    path = folder / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        read_weights(path)
    return str(caught.value)


class Call:
    """Pickles as a call of any function."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


def as_zip(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("weights/data.pkl", data)
    return buffer.getvalue()


def as_legacy(data: bytes, first: bytes = pickle.dumps(0x1950A86A20F9469CFC6C, 2)) -> bytes:
    return (
        first + pickle.dumps(1001, 2) + pickle.dumps({"little_endian": True}, 2) + data + pickle.dumps([], 2)
    )


def raw_call(module: str, name: str, argument: str) -> bytes:
    """A protocol-2 pickle that calls module.name(argument), for names that are not importable here."""
    return (
        b"\x80\x02c%s\n%s\n" % (module.encode(), name.encode()) + pickle.dumps((argument,), 2)[2:-1] + b"R."
    )


@pytest.mark.parametrize("wrap", [bytes, as_zip, as_legacy])
@pytest.mark.parametrize(
    ("module", "name", "argument"),
    [
        ("os", "system", "touch {}"),
        ("posix", "system", "touch {}"),
        ("builtins", "eval", "open('{}', 'w')"),
        ("__builtin__", "eval", "open('{}', 'w')"),
        ("builtins", "exec", "open('{}', 'w')"),
        ("builtins", "open", "{}"),
        ("builtins", "getattr", "{}"),
        ("os", "mkdir", "{}"),
        ("numpy.testing._private.utils", "runstring", "open('{}', 'w')"),
        ("numpy", "load", "{}"),
        ("numpy", "core.multiarray._reconstruct", "{}"),
        ("collections", "OrderedDict.__init__", "{}"),
        ("torch", "load", "{}"),
        ("torch.storage", "_load_from_bytes", "{}"),
        ("subprocess", "getoutput", "touch {}"),
    ],
)
def test_names_outside_the_list_are_refused_and_nothing_runs(tmp_path, wrap, module, name, argument):
    witness = tmp_path / "ran"
    data = raw_call(module, name, argument.format(witness))
    text = refusal(tmp_path, wrap(data))
    assert f"names {module}.{name}," in text
    assert not witness.exists()


def test_the_witness_would_notice(tmp_path):
    pickle.loads(raw_call("posix", "system", f"touch {tmp_path / 'ran'}"))
    assert (tmp_path / "ran").exists()


def test_calls_hidden_beside_weights_are_refused(tmp_path):
    witness = tmp_path / "ran"
    call = Call(os.system, f"touch {witness}")
    for state in (
        {"a": WEIGHTS, "b": call},
        {"state_dict": {"a": WEIGHTS}, "meta": {"x": [call]}},
        {call: WEIGHTS},
    ):
        assert "posix.system" in refusal(tmp_path, pickle.dumps(state))
    # In a later pickle of the legacy format: the one before the content, and the storage keys.
    good = pickle.dumps({"a": WEIGHTS}, 2)
    magic = pickle.dumps(0x1950A86A20F9469CFC6C, 2)
    assert "posix.system" in refusal(tmp_path, magic + pickle.dumps(call, 2))
    start = magic + pickle.dumps(1001, 2) + pickle.dumps({"little_endian": True}, 2) + good
    assert "posix.system" in refusal(tmp_path, start + pickle.dumps(call, 2))
    assert not witness.exists()


def test_object_arrays_and_records_are_refused(tmp_path):
    witness = tmp_path / "ran"
    objects = np.empty(1, object)
    objects[0] = "harmless"
    assert "dtype 'O8'" in refusal(tmp_path, pickle.dumps({"a": objects}))
    assert "dtype 'V12'" in refusal(tmp_path, pickle.dumps({"a": np.zeros(2, "f4,f8")}))
    assert "dtype 'U3'" in refusal(tmp_path, pickle.dumps({"a": np.array(["abc"])}))
    objects[0] = Call(os.system, f"touch {witness}")
    assert "dtype 'O8'" in refusal(tmp_path, pickle.dumps({"a": objects}, 2))
    assert not witness.exists()


def test_a_pickle_cannot_change_what_its_names_stand_for(tmp_path):
    # BUILD on a name: on a real function or class it would set attributes for all files to come.
    for name in (b"numpy.core.multiarray\n_reconstruct", b"collections\nOrderedDict", b"numpy\ndtype"):
        state = pickle.dumps((None, {"_call": None, "__call__": None}), 2)[2:-1]
        refusal(tmp_path, b"\x80\x02c" + name + b"\n" + state + b"b.")
    (tmp_path / "good.pdparams").write_bytes(pickle.dumps({"a": WEIGHTS}))
    np.testing.assert_array_equal(read_weights(tmp_path / "good.pdparams")["a"], WEIGHTS)


def arrays_of_all_kinds():
    """Keys and shapes as networks have them: scalars, nothing, 255 elements and more, all dtypes."""
    rng = np.random.default_rng(0)
    shapes = [(3,), (2, 3), (300,), (2, 3, 4), (2, 3, 3, 3), (1, 70_000), (), (0, 4), (256,), (2, 1, 1, 2, 2)]
    dtypes = ["f4", "i8", "u1", "f2", "b1", ">f4", "u2"]
    return {
        f"layer.{number}.{'x' * number}": rng.integers(0, 2, shapes[number % 10]).astype(
            dtypes[number // 3 % 7]
        )
        for number in range(90)
    }


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_entries_at_once_are_those_of_single_operations(tmp_path, monkeypatch, protocol):
    state = arrays_of_all_kinds()
    file = tmp_path / "a.pdparams"
    file.write_bytes(pickle.dumps({**state, "names": {key: f"{key}_0" for key in state}}, protocol))
    at_once = read_weights(file)
    calls, build = [], restricted_pickle.ArrayPickles.build
    monkeypatch.setattr(
        restricted_pickle.ArrayPickles, "build", lambda self: calls.append(self) or build(self)
    )
    counts = []
    for most in (restricted_pickle._MOST_ENTRIES, 0):
        monkeypatch.setattr(restricted_pickle, "_MOST_ENTRIES", most)
        one_by_one = read_weights(file)
        counts.append(len(calls))
    assert counts[1] - counts[0] - counts[0] > 30 if protocol > 3 else counts[1] == 2 * counts[0]
    assert list(at_once) == list(one_by_one) == list(state)
    for key, array in state.items():
        expected = array.astype(array.dtype.newbyteorder("="))
        if array.dtype != np.uint16:  # those are bfloat16
            np.testing.assert_array_equal(at_once[key], expected)
        np.testing.assert_array_equal(at_once[key], one_by_one[key])
        assert at_once[key].dtype == one_by_one[key].dtype


def test_an_entry_that_is_not_what_it_says_is_no_entry(tmp_path):
    """Lengths of its key or bytes, its shape, the places in the memo, its end: as single operations find."""
    good = pickle.dumps({name: np.arange(6, dtype=np.float32) for name in ("a", "bb", "cc")}, 4)
    entry = good.index(b"\x8c\x02cc\x94")
    tail = good[entry:]
    changes = (
        (1, b"\x03"), (1, b"\x01"), (6, b"\xf0"), (6, b"\x00"), (tail.index(b"K\x06") + 1, b"\x05"),
        (tail.index(b"C\x18") + 1, b"\x17"), (tail.index(b"C\x18") + 1, b"\xff"),
        (tail.index(b"\x94h", 20) + 2, b"\xf0"), (len(tail) - 4, b"\x85"),
    )  # fmt: skip
    for at, new in changes:
        refusal(tmp_path, good[: entry + at] + new + good[entry + at + 1 :])
    for end in range(entry, len(good) - 1, 7):
        refusal(tmp_path, good[:end])
