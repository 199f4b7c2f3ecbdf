"""A bounded machine that reads pickles of weights, instead of Python's own.

A pickle is a program of one-byte operations on a stack. Python's machine lets it use any memory and time: a
memo of any size, nested tuples that are hashed endlessly, numbers of any length. This one knows only the
operations that weights files use. It hashes and prints only short texts and numbers from the file, takes
bytes as views of the file, and stops after a bounded number of operations.
"""

import pickle
import struct
from collections.abc import Callable, Mapping
from typing import Any

from ppose.errors import CheckpointError

# HRNet-W48 with two optimizer arrays per weight needs half of them. Apart from texts, the result of an
# operation takes about 100 bytes.
_MOST_OPERATIONS = 300_000
_MOST_TEXT = 4 << 20  # bytes of all texts together
_LONG_TEXT = 1000  # bytes; a longer text is no name but an array's bytes, and stays a view
_LONGEST_NUMBER = 16  # bytes


class PickleMachine:
    """Runs the pickles of a file's content in order.

    ``find`` returns the stand-in for a name (module, name), ``find_storage`` that for a persistent id; both
    raise for unknown ones. A stand-in is called with its arguments if it is callable, and changed only by its
    own ``set_state``. A pickle can make dicts, lists and tuples (also for sets), texts, numbers, and the
    results of stand-ins; bytes and long texts are views of the content. Dict entries whose key is neither a
    text nor a number are dropped.
    """

    def __init__(
        self, content: bytes, find: Callable[[str, str], Any], find_storage: Callable[[Any], Any]
    ) -> None:
        self._data, self._content = content, memoryview(content)
        self._stack: list[Any] = []
        self._find, self._find_storage = find, find_storage
        self._text_left, self._left = _MOST_TEXT, _MOST_OPERATIONS
        self.position = 0

    def load(self) -> Any:
        """The value of the pickle at ``position``, which moves to the pickle's end.

        Raises EOFError, UnpicklingError, LookupError, TypeError or ValueError if it is damaged, and
        CheckpointError if it exceeds the limits.
        """
        data, size, operations = self._data, len(self._data), _OPERATIONS
        stack: list[Any] = []
        below: list[list[Any]] = []
        memo: list[Any] = []
        self._below, self._memo = below, memo
        position = self.position
        for done in range(self._left):
            if position >= size:
                raise EOFError("it ends within its pickle")
            code = data[position]
            position += 1
            # Nine in ten operations are one of these; a call for each would make reading four times slower.
            if code == _MEMOIZE:
                memo.append(stack[-1])
            elif code == _BINGET:
                stack.append(memo[data[position]])
                position += 1
            elif code == _BININT1:
                stack.append(data[position])
                position += 1
            elif code in _PUTS:
                end = position + _PUTS[code]
                place = int.from_bytes(data[position:end], "little")
                position = end
                if place == len(memo):
                    memo.append(stack[-1])
                else:
                    self._keep(place, stack[-1])
            elif code in _TEXTS:
                start = position + _TEXTS[code]
                position = start + int.from_bytes(data[position:start], "little")
                if position > size:
                    raise EOFError("it ends within a text")
                if position - start > _LONG_TEXT:
                    stack.append(self._content[start:position])
                else:
                    self._count_text(position - start)
                    stack.append(data[start:position].decode("utf-8", "surrogatepass"))
            elif code == _TUPLE1:
                stack[-1] = (stack[-1],)
            elif code == _MARK:
                below.append(stack)
                stack = []
            elif code == _TUPLE:
                items = tuple(stack)
                stack = below.pop()
                stack.append(items)
            elif code == _TUPLE3:
                last, middle, first = stack.pop(), stack.pop(), stack[-1]
                stack[-1] = (first, middle, last)
            elif code == _LONG_BINGET:
                stack.append(memo[int.from_bytes(data[position : position + 4], "little")])
                position += 4
            elif code == _STOP:
                self._left -= done
                self.position = position
                return stack.pop()
            else:
                operation = operations[code]
                if operation is None:
                    raise pickle.UnpicklingError(f"an operation {bytes([code])!r} that no weights file needs")
                self.position, self._stack = position, stack
                operation(self)
                position, stack = self.position, self._stack
        raise CheckpointError(
            f"is refused: its pickle has more than {_MOST_OPERATIONS:,} operations; save the state dict alone"
        )

    def take(self, count: int) -> memoryview:
        """The next bytes, as a view."""
        end = self.position + count
        if end > len(self._content):
            raise EOFError(f"{count:,} bytes announced at byte {self.position:,}")
        view = self._content[self.position : end]
        self.position = end
        return view

    def _number(self, size: int, *, signed: bool = False) -> int:
        return int.from_bytes(self.take(size), "little", signed=signed)

    def _line(self) -> str:
        end = bytes(self._content[self.position : self.position + _LONG_TEXT]).find(b"\n")
        if end < 0:
            raise EOFError("a line without an end")
        line = bytes(self.take(end)).decode("latin-1")
        self.position += 1
        return line

    def _push_text(self, size: int, encoding: str) -> None:
        if size > _LONG_TEXT:
            self._stack.append(self.take(size))
            return
        raw = bytes(self.take(size))
        self._count_text(size)
        # surrogatepass, as pickle itself writes them
        self._stack.append(raw.decode(encoding, "surrogatepass" if encoding == "utf-8" else "strict"))

    def _count_text(self, size: int) -> None:
        self._text_left -= size
        if self._text_left < 0:
            raise CheckpointError(f"is refused: its texts are more than {_MOST_TEXT:,} bytes")

    def _push_long(self, size: int) -> None:
        if size > _LONGEST_NUMBER:
            raise ValueError(f"a number of {size:,} bytes")
        self._stack.append(self._number(size, signed=True))

    def _take_marked(self) -> list[Any]:
        items = self._stack
        self._stack = self._below.pop()
        return items

    def _push_tuple(self, count: int) -> None:
        stack = self._stack
        if len(stack) < count:
            raise pickle.UnpicklingError("a tuple of more than the stack has")
        items = tuple(stack[-count:])
        del stack[-count:]
        stack.append(items)

    def _push_marked(self, kind: Callable[[list[Any]], Any]) -> None:
        items = self._take_marked()
        self._stack.append(kind(items))

    def _append(self) -> None:
        item = self._stack.pop()
        self._plain(list).append(item)

    def _extend(self) -> None:
        items = self._take_marked()
        self._plain(list).extend(items)

    def _set_items(self) -> None:
        items = self._take_marked()
        self._plain(dict).update(_pairs(items))

    def _set_item(self) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._plain(dict).update(_pairs([key, value]))

    def _plain(self, kind: type) -> Any:
        if not isinstance(self._stack[-1], kind):
            raise pickle.UnpicklingError(f"items for something other than a {kind.__name__}")
        return self._stack[-1]

    def _keep(self, place: int, value: Any) -> None:
        """Put a value into the memo, whose places are filled in order; Python 2 starts with the second."""
        memo = self._memo
        if place == len(memo):
            memo.append(value)
        elif place < len(memo):
            memo[place] = value
        elif place == 1:
            memo += (None, value)
        else:
            raise pickle.UnpicklingError("memo places out of order")

    def _global(self) -> None:
        module = self._line()
        self._stack.append(self._find(module, self._line()))

    def _stack_global(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise pickle.UnpicklingError("a name that is no text")
        self._stack.append(self._find(module, name))

    def _reduce(self) -> None:
        arguments = self._stack.pop()
        if not isinstance(arguments, tuple) or not callable(self._stack[-1]):
            raise pickle.UnpicklingError("a call of something other than a function")
        self._stack[-1] = self._stack[-1](*arguments)

    def build(self) -> None:
        """BUILD: set the state of the object below the top of the stack to the top."""
        state = self._stack.pop()
        set_state = getattr(self._stack[-1], "set_state", None)
        if set_state is None:
            raise pickle.UnpicklingError("a state for an object that has none")
        set_state(state)


def _pairs(items: list[Any]) -> dict[Any, Any]:
    """A dict of alternating keys and values, without keys that are unsafe to hash."""
    keys, values = items[::2], items[1::2]
    return {
        key: value
        for key, value in zip(keys, values, strict=True)
        if key is None or isinstance(key, str | int | float)
    }


_STOP, _MARK, _TUPLE, _TUPLE1 = (code[0] for code in (pickle.STOP, pickle.MARK, pickle.TUPLE, pickle.TUPLE1))
_MEMOIZE, _BINGET, _LONG_BINGET = (code[0] for code in (pickle.MEMOIZE, pickle.BINGET, pickle.LONG_BINGET))
_BININT1, _TUPLE3 = pickle.BININT1[0], pickle.TUPLE3[0]
# How many bytes encode the place in the memo, or the length of a text.
_PUTS = {pickle.BINPUT[0]: 1, pickle.LONG_BINPUT[0]: 4}
_TEXTS = {pickle.SHORT_BINUNICODE[0]: 1, pickle.BINUNICODE[0]: 4}


def _table(cls: type[PickleMachine]) -> list[Callable[[PickleMachine], object] | None]:
    def push(value: Any) -> Callable[[PickleMachine], object]:
        return lambda self: self._stack.append(value)

    def push_number(size: int, *, signed: bool = False) -> Callable[[PickleMachine], object]:
        return lambda self: self._stack.append(self._number(size, signed=signed))

    def sized(size: int, act: Callable[..., None], *rest: Any) -> Callable[[PickleMachine], object]:
        return lambda self: act(self, self._number(size), *rest)

    def push_bytes(self: PickleMachine, size: int) -> None:
        self._stack.append(self.take(size))

    known: Mapping[bytes, Callable[[PickleMachine], object]] = {
        pickle.PROTO: lambda self: self._number(1),
        pickle.FRAME: lambda self: self._number(8),
        pickle.POP: lambda self: self._stack.pop() if self._stack else self._take_marked(),
        pickle.POP_MARK: lambda self: self._take_marked(),
        pickle.DUP: lambda self: self._stack.append(self._stack[-1]),
        pickle.NONE: push(None), pickle.NEWTRUE: push(True), pickle.NEWFALSE: push(False),
        pickle.EMPTY_TUPLE: push(()),
        pickle.EMPTY_LIST: lambda self: self._stack.append([]),
        pickle.EMPTY_SET: lambda self: self._stack.append([]),
        pickle.EMPTY_DICT: lambda self: self._stack.append({}),
        pickle.BININT: push_number(4, signed=True),
        pickle.BININT2: push_number(2),
        pickle.LONG1: sized(1, cls._push_long), pickle.LONG4: sized(4, cls._push_long),
        pickle.INT: lambda self: self._stack.append(int(self._line())),  # Python 2, beyond 32 bits
        pickle.BINFLOAT: lambda self: self._stack.append(struct.unpack(">d", self.take(8))[0]),
        pickle.BINUNICODE8: sized(8, cls._push_text, "utf-8"),
        pickle.SHORT_BINSTRING: sized(1, cls._push_text, "latin-1"),
        pickle.BINSTRING: sized(4, cls._push_text, "latin-1"),
        pickle.SHORT_BINBYTES: sized(1, push_bytes), pickle.BINBYTES: sized(4, push_bytes),
        pickle.BINBYTES8: sized(8, push_bytes), pickle.BYTEARRAY8: sized(8, push_bytes),
        pickle.LIST: lambda self: self._push_marked(list),
        pickle.FROZENSET: lambda self: self._push_marked(tuple),
        pickle.DICT: lambda self: self._push_marked(_pairs),
        pickle.TUPLE2: lambda self: self._push_tuple(2),
        pickle.APPEND: cls._append, pickle.APPENDS: cls._extend, pickle.ADDITEMS: cls._extend,
        pickle.SETITEM: cls._set_item, pickle.SETITEMS: cls._set_items,
        pickle.GLOBAL: cls._global, pickle.STACK_GLOBAL: cls._stack_global,
        pickle.BINPERSID: lambda self: self._stack.append(self._find_storage(self._stack.pop())),
        pickle.REDUCE: cls._reduce, pickle.NEWOBJ: cls._reduce, pickle.BUILD: lambda self: self.build(),
    }  # fmt: skip
    return [known.get(bytes([code])) for code in range(256)]


_OPERATIONS = _table(PickleMachine)
