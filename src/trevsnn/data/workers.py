"""Worker processes that make batches: started, watched while one waits for them, and ended."""

import atexit
import ctypes
import errno
import signal
import sys
import traceback
import warnings
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple
from weakref import WeakSet

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info
from torch.utils.data._utils import signal_handling
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from trevsnn.data.errors import ENDED, LoadingError, LoadingWarning

_LOOK, _REMIND, _GIVE_UP = 5, 60, 1800
"""Seconds of waiting for a batch after which to look after the workers, to say that it takes long, and to end."""
_PR_SET_PDEATHSIG = 1
_SHARED_MEMORY = (
    "there is too little shared memory (/dev/shm) for the batches: use --workers 0, or give it more, with Docker by "
    "--shm-size=8g ({})"
)


def made_by_workers(source: Dataset, keys: Iterable, workers: int, pinned: bool) -> Iterator[Any]:
    """What source gives for each key, made by workers from now on.

    Raises:
        LoadingError: when they cannot be started.
    """
    try:
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # more workers than cores are not a fault
            loader = DataLoader(
                source,
                batch_size=None,  # a key stands for a whole batch
                sampler=keys,
                collate_fn=_in_shared_memory,
                num_workers=workers,
                worker_init_fn=_start_worker,
                pin_memory=pinned,
                timeout=_LOOK if workers else 0,
                generator=torch.Generator(),  # else it draws from the global one
            )
            return _watched(iter(loader))
    except OSError as error:
        _abandon(error)
        raise LoadingError(f"the processes that read images cannot be started: {_way_out(error)}") from error


def _abandon(error: OSError) -> None:
    """End the workers that were started before an error, and what PyTorch would do with the others later."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        begun = frame.f_locals.get("self")
        if isinstance(begun, _MultiProcessingDataLoaderIter):
            for worker in getattr(begun, "_workers", ()):
                worker.kill()
            begun._shutdown = True


def _way_out(error: OSError) -> str:
    """Of what a machine has too little of."""
    if error.errno == errno.EMFILE:
        return f"too many files are open: lower --workers, or allow more: ulimit -n 4096 ({error})"
    if error.errno in (errno.EAGAIN, errno.ENOMEM):
        return f"there is too little memory, or there are too many processes: lower --workers ({error})"
    return _SHARED_MEMORY.format(error)


def _watched(batches: Iterator[Any]) -> Iterator[Any]:
    """The batches, for as long as there are workers that can make them.

    Raises:
        LoadingError: when a worker is gone, lacks memory or has made nothing for very long.
    """
    waited, over = 0, False
    _open.add(batches)
    try:
        while not over:
            try:
                batch = next(batches)
            except StopIteration:
                over = True
                continue
            except Exception as error:
                if not _timed_out(error):
                    raise _of_worker(error) from error
                waited += _LOOK
                _report_waiting(waited)
                continue
            if isinstance(batch, _Failure):
                raise LoadingError(batch.reason)
            waited = 0
            yield batch
    finally:
        _open.discard(batches)
        if not over:
            _end_workers(batches)


_open = WeakSet[Any]()
"""Loaders with batches to come."""


@atexit.register
def _end_all_workers() -> None:
    """Where an error, or a program that still holds a loader, ends without it; Python would wait for the workers."""
    for batches in list(_open):
        _end_workers(batches)


def _timed_out(error: Exception) -> bool:
    return isinstance(error, RuntimeError) and str(error).startswith("DataLoader timed out")


def _report_waiting(seconds: int) -> None:
    if seconds >= _GIVE_UP:
        raise LoadingError(
            f"no images could be read for {seconds // 60} minutes: the disk does not answer, or a process that reads "
            "hangs; look at the disk, and try --workers 0"
        )
    if seconds % _REMIND == 0:
        warnings.warn(
            f"waiting for images for {seconds} s: the disk is slow or does not answer; Ctrl-C ends the run",
            LoadingWarning,
            stacklevel=2,
        )


def _of_worker(error: Exception) -> Exception:
    """What the error of a worker is to the user: his machine's, or a bug, which keeps its traceback."""
    text = str(error)
    first_line, caught = text.partition("\n")[0], text.startswith("Caught ")
    killed = isinstance(error, RuntimeError) and ("killed by signal" in text or "exited unexpectedly" in text)
    while_passing_on = isinstance(error, ConnectionError | EOFError) and not caught
    if killed or while_passing_on:
        return LoadingError(f"{ENDED} ({first_line})")
    if "Too many open files" in text:
        return LoadingError(_way_out(OSError(errno.EMFILE, first_line)))
    if not caught or "in DataLoader worker process" not in text:
        return error
    if isinstance(error, OSError):
        return LoadingError(f"a process that reads images failed: {text.splitlines()[-1]}")
    return RuntimeError(text)


def _end_workers(batches: Iterator[Any]) -> None:
    """End them now, whatever they are doing: PyTorch would wait for each, and they ignore its request."""
    workers = getattr(batches, "_workers", ())
    if workers and batches._worker_pids_set:  # type: ignore[attr-defined]
        signal_handling._remove_worker_pids(id(batches))  # their end is not a failure
        batches._worker_pids_set = False  # type: ignore[attr-defined]
    for worker in workers:
        worker.kill()


class _Failure(NamedTuple):
    """In place of a batch."""

    reason: str


def _in_shared_memory(batch: Any) -> Any:
    """A batch as it is. In a worker, put where the main process finds it, which would fail unnoticed later."""
    if get_worker_info() is None:
        return batch
    try:
        for part in batch:
            if isinstance(part, Tensor):
                part.share_memory_()
    except RuntimeError as error:
        return _Failure(_SHARED_MEMORY.format(str(error).splitlines()[0]))
    return batch


def _start_worker(_: int) -> None:
    """Signals often come to all processes of a job: the main one alone decides what they mean, and ends the workers."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # not to outlive it, whatever it waits for
    torch.set_num_threads(1)
