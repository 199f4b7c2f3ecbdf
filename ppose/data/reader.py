"""Makes batches: applies transforms to samples, in worker processes."""

import ctypes
import os
import signal
import traceback
from collections.abc import Iterator, Sequence
from typing import Any, Literal, cast

import cv2
import numpy as np
import paddle
from paddle.io import DataLoader

from ppose.data.dataset import Dataset
from ppose.errors import ConfigError, DataError, PposeError
from ppose.transforms import NormalizeImage, Transform
from ppose.transforms.batch import apply_transforms, make_batch
from ppose.workspace import register

_PR_SET_PDEATHSIG = 1  # of Linux's prctl.h


class PreparedSamples(paddle.io.Dataset):
    """A dataset after its transforms; random ones get a generator seeded by (seed, epoch, index)."""

    def __init__(self, dataset: Dataset, transforms: Sequence[Transform], seed: int) -> None:
        super().__init__()
        self._dataset, self._transforms, self._seed = dataset, transforms, seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: Any) -> dict[str, Any] | Exception:
        # An error raised in a worker makes Paddle's loader hang, so errors are returned as values.
        if isinstance(index, _Fault):
            return RuntimeError(index)
        try:
            sample = self._dataset[index]
            sample["index"] = index
            sample["generator"] = np.random.default_rng((self._seed, self.epoch, index))
            return apply_transforms(self._transforms, sample)
        except SystemExit as error:
            return RuntimeError(f"a transform or dataset called exit: {error}")
        except Exception as error:
            return error


class _Collate:
    """Stacks samples and applies the batch transforms; keeps only the text of an error."""

    def __init__(self, transforms: Sequence[Transform]) -> None:
        self._transforms = transforms

    def __call__(self, samples: list[dict[str, Any] | Exception]) -> dict[str, np.ndarray]:
        try:
            return self._collate(samples)
        except PposeError as error:
            return {"error": _to_bytes(_text(error))}
        except Exception as error:
            return {"fault": _to_bytes("".join(traceback.format_exception(error)))}

    def _collate(self, samples: list[dict[str, Any] | Exception]) -> dict[str, np.ndarray]:
        made = []
        for sample in samples:
            if isinstance(sample, Exception):
                raise sample
            made.append(sample)
        return make_batch(made, self._transforms)


def _depend_on_parent(worker: int) -> None:
    """Let a worker end exactly when its parent does, not on a signal to the whole process group.

    Paddle's workers wait without a timeout, and would outlive a killed parent.
    """
    os.setpgid(0, 0)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _to_bytes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(errors="backslashreplace") or b"?", np.uint8).copy()


def _text(error: Exception) -> str:
    try:
        return str(error)
    except Exception:
        return f"{type(error).__name__} without a text"


class _Fault(str):
    """An error in the order of samples, passed in place of an index."""

    __slots__ = ()


def _raise_error_of(batch: dict[str, paddle.Tensor]) -> None:
    if "error" in batch:
        raise DataError(batch["error"].numpy().tobytes().decode())
    if "fault" in batch:
        raise RuntimeError(batch["fault"].numpy().tobytes().decode())


class _BatchOrder:
    """The indices of each batch of an epoch, shuffled by (seed, epoch) alone, from batch ``start`` on.

    With n ranks, each gets its part of a batch n times as large. A last batch with fewer samples than ranks
    is filled up with the epoch's first ones, so that every rank has a sample.
    """

    def __init__(
        self, count: int, batch_size: int, shuffle: bool, drop_last: bool, seed: int, rank: int, ranks: int
    ) -> None:
        self._count, self.shuffle, self.drop_last = count, shuffle, drop_last
        self._seed, self._rank, self._ranks = seed, rank, ranks
        self.batch_size = batch_size * ranks
        self.epoch = self.start = 0

    def __len__(self) -> int:
        return self._count // self.batch_size if self.drop_last else -(-self._count // self.batch_size)

    def __iter__(self) -> Iterator[list[Any]]:
        # Paddle's loader also hangs if this raises.
        try:
            yield from self._batches()
        except Exception as error:
            yield [_Fault("".join(traceback.format_exception(error)))]

    def _batches(self) -> Iterator[list[int]]:
        indices = np.arange(self._count)
        if self.shuffle:
            # The key makes this generator differ from those of the samples.
            entropy = np.random.SeedSequence((self._seed, self.epoch), spawn_key=(0,))
            np.random.default_rng(entropy).shuffle(indices)
        for batch in range(self.start, len(self)):
            whole = indices[batch * self.batch_size : (batch + 1) * self.batch_size]
            if len(whole) < self._ranks:
                whole = np.resize(np.concatenate([whole, indices]), self._ranks)
            yield np.array_split(whole, self._ranks)[self._rank].tolist()


def spread(length: int, count: int) -> list[int]:
    """Up to ``count`` indexes spread over a list of that length."""
    count = min(count, length)
    return [i * length // count for i in range(count)]


class Batches:
    """Batches of a dataset: dicts of paddle tensors; order and random transforms vary with ``epoch``.

    Iteration starts at batch ``start`` of the epoch; the length is that of the whole epoch.
    """

    def __init__(
        self, prepared: PreparedSamples, order: _BatchOrder, loader: DataLoader, collate: _Collate
    ) -> None:
        self._prepared, self._order, self._loader, self._collate = prepared, order, loader, collate
        self.epoch = self.start = 0

    def __len__(self) -> int:
        return len(self._order)

    def examples(self, count: int) -> dict[str, paddle.Tensor]:
        """One batch of up to ``count`` samples spread over the dataset, as in the first epoch.

        This process makes it; do not call it during an iteration.
        """
        self._prepared.epoch = 0
        samples = [self._prepared[i] for i in spread(len(self._prepared), count)]
        batch = {key: paddle.to_tensor(value) for key, value in self._collate(samples).items()}
        _raise_error_of(batch)
        return batch

    def __iter__(self) -> Iterator[dict[str, paddle.Tensor]]:
        self._prepared.epoch = self._order.epoch = self.epoch
        self._order.start = self.start
        # A forked worker would wait forever for OpenCV's threads, which it does not inherit: use none then.
        threads = cv2.getNumThreads()
        cv2.setNumThreads(0)
        try:
            batches = iter(self._loader)
        finally:
            cv2.setNumThreads(threads)
        for batch in batches:
            _raise_error_of(batch)
            yield batch


@register(
    names=("TrainReader", "EvalReader", "TestReader"),
    ignored=("inputs_def", "fuse_normalize", "drop_empty"),
)
class Reader:
    """Turns samples into batches: transforms of each sample, then of the stacked batch.

    A batch holds, as far as the transforms make them: index (N,), image (N, 3, h, w), warp (N, 2, 3),
    heatmaps (N, K, H, W), target_weight (N, K, 1). ``batch_size`` auto is for training, which determines the
    number before it starts; otherwise it is 1.
    """

    def __init__(
        self,
        sample_transforms: Sequence[Transform],
        batch_transforms: Sequence[Transform] = (),
        batch_size: int | Literal["auto"] = 1,
        shuffle: bool = False,
        drop_last: bool = False,
        use_shared_memory: bool = False,
    ) -> None:
        batch_size = 1 if isinstance(batch_size, str) else batch_size
        if batch_size < 1:
            raise ConfigError(f"batch_size is {batch_size}, expected 1 or more")
        self.sample_transforms = sample_transforms
        self.batch_transforms = batch_transforms
        self.batch_size, self.shuffle, self.drop_last = batch_size, shuffle, drop_last
        self.use_shared_memory = use_shared_memory

    @property
    def normalization(self) -> NormalizeImage | None:
        """The `NormalizeImage` among the transforms; None without one."""
        transforms = (*self.sample_transforms, *self.batch_transforms)
        return next((step for step in transforms if isinstance(step, NormalizeImage)), None)

    def require_normalization(self) -> NormalizeImage:
        """The `normalization` of a TrainReader; ConfigError without one."""
        if self.normalization is None:
            raise ConfigError("TrainReader has no NormalizeImage: the network's input must be float")
        return self.normalization

    def batches(
        self, dataset: Dataset, *, workers: int, seed: int = 0, rank: int = 0, ranks: int = 1
    ) -> Batches:
        """One rank's batches of the dataset, made by that many worker processes (0: by this one)."""
        prepared = PreparedSamples(dataset, self.sample_transforms, seed)
        order = _BatchOrder(len(prepared), self.batch_size, self.shuffle, self.drop_last, seed, rank, ranks)
        collate = _Collate(self.batch_transforms)
        loader = DataLoader(
            prepared,
            batch_sampler=cast(Any, order),
            collate_fn=cast(Any, collate),
            num_workers=min(workers, len(order)),  # more would be idle
            worker_init_fn=_depend_on_parent,
            # Shared memory is faster, but a worker forked while another Paddle thread holds the lock of the
            # memory statistics waits forever for that lock when it shares its first batch.
            use_shared_memory=self.use_shared_memory,
        )
        return Batches(prepared, order, loader, collate)
