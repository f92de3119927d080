"""The processes that train together: the only one, or all that `torchrun` started.

They are one run. Each reads its part of the lanes, and what they find is added up before
anything is made of it, so each knows what the only process of a run would know. The first
alone reads files, writes them and speaks. Communication is torch's: DistributedDataParallel
(Li et al. 2020, "PyTorch distributed: experiences on accelerating data parallel training")
over nccl between GPUs, over gloo between processors.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn, TypeVar, cast
from uuid import uuid4

import torch
from torch import Tensor

from foretype_models.network import Network, State
from foretype_training.errors import InputError, TrainingError

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

T = TypeVar("T")
Forward = Callable[[Tensor, State], tuple[Tensor, State]]

PATIENCE = timedelta(hours=1)
"""How long one process waits for another; the others wait while the first reads and counts."""


class Processes:
    """The only process of a run: it waits for nobody, and what it finds is all there is."""

    rank = 0
    count = 1
    restarted = False  # whether the run goes on because a process of it was lost

    def own(self, lanes: int) -> slice:
        """Which of so many lanes this process reads; `lanes` is a multiple of `count`."""
        each = lanes // self.count
        return slice(self.rank * each, (self.rank + 1) * each)

    def first(self, make: Callable[[], T]) -> T:
        """What the first process makes, for all. Where it fails, all end as it does."""
        return make()

    def total(self, *values: float) -> list[float]:
        """The sum of each value over all processes."""
        return list(values)

    def any(self, flag: bool) -> bool:
        """Whether any process says so."""
        return self.total(flag)[0] > 0

    def gathered(self, own: Tensor, dim: int) -> Tensor:
        """The parts of all processes, which are of one shape, beside each other along `dim`."""
        return own

    def parallel(self, network: Network) -> Forward:
        """The network, but that its gradients become the mean of all processes' gradients."""
        return network


ALONE = Processes()


class _Group(Processes):
    """One of several."""

    def __init__(self) -> None:
        from torch import distributed

        self._distributed = distributed
        self.rank, self.count = distributed.get_rank(), distributed.get_world_size()
        # Each machine's torchrun counts what failed there.
        self.restarted = self.any(int(os.environ["TORCHELASTIC_RESTART_COUNT"]) > 0)

    def first(self, make: Callable[[], T]) -> T:
        if self.rank > 0:
            made, exit_code = cast(tuple[T, int | None], self._told((None, None)))
            if exit_code is not None:
                raise SystemExit(exit_code)
            return made
        try:
            made = make()
        except BaseException as error:
            self._told((None, getattr(error, "exit_code", 1)))
            raise
        self._told((made, None))
        return made

    def _told(self, message: object) -> object:
        messages = [message]
        self._distributed.broadcast_object_list(messages)
        return messages[0]

    def total(self, *values: float) -> list[float]:
        sums = torch.tensor(values, dtype=torch.float64)
        self._distributed.all_reduce(sums)
        return cast(list[float], sums.tolist())

    def gathered(self, own: Tensor, dim: int) -> Tensor:
        own = own.contiguous()
        parts = [torch.empty_like(own) for _ in range(self.count)]
        self._distributed.all_gather(parts, own)
        return torch.cat(parts, dim)

    def parallel(self, network: Network) -> Forward:
        from torch.nn.parallel import DistributedDataParallel

        return DistributedDataParallel(network)


@contextmanager
def joined() -> Generator[Processes]:
    """Yields the processes of this run, once all that torchrun started are there.

    What goes wrong inside goes wrong in all of them: the first says it, the others end quietly
    with its exit code. Raises InputError for more processes than GPUs, and TrainingError where
    another process has ended before its time.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield ALONE
        return
    from torch import distributed

    with _silent(os.environ["LOCAL_RANK"] != "0"):
        _take_gpu()
    with _silent(os.environ["RANK"] != "0"), _aware_of_losses():
        _meet()
        try:
            yield _Group()
        finally:
            distributed.destroy_process_group()


def leave() -> NoReturn:
    """Ends a process that has done its part, at once: a thread of torch's that is still there
    when the interpreter ends aborts the process now and then, for which torchrun would end the
    first process, which has the bundle still to make."""
    os._exit(0)


def _meet() -> None:
    """Connects the processes that were started together."""
    from torch import distributed
    from torch.distributed.distributed_c10d import PrefixStore

    # Its keywords have no annotations.
    rendezvous = cast(
        "Callable[..., Iterator[tuple[Store, int, int]]]",
        import_module("torch.distributed.rendezvous").rendezvous,
    )
    store, rank, count = next(rendezvous("env://", timeout=PATIENCE))
    start = _name_start(store, count) if rank == 0 else _ask_start(store, rank)
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
        store=PrefixStore(start, store),
        rank=rank,
        world_size=count,
        timeout=PATIENCE,
    )


def _name_start(store: Store, count: int) -> str:
    """Gives this start of all processes a name that all others of them come to know.

    torchrun keeps one store over its restarts, where the addresses of processes that are gone
    still stand (https://github.com/pytorch/pytorch/issues/167288). Under a new name nothing
    stands yet. But the last start's name does, too: so it is told to whoever asks, and each
    asks under a name of its own, which nobody was told anything under.
    """
    start = uuid4().hex
    began = time.monotonic()
    while store.add(f"{start}/here", 0) < count - 1:
        for other in range(1, count):
            if store.check([f"asks/{other}"]):
                store.set(f"start/{store.get(f'asks/{other}').decode()}", start)
        if time.monotonic() - began > PATIENCE.total_seconds():
            raise TrainingError(f"not all of the {count} processes that torchrun started came")
        time.sleep(0.05)
    return start


def _ask_start(store: Store, rank: int) -> str:
    own = uuid4().hex
    store.set(f"asks/{rank}", own)
    start = store.get(f"start/{own}").decode()
    store.add(f"{start}/here", 1)
    return start


def _take_gpu() -> None:
    """Each process of a machine computes on a GPU of its own, where there are GPUs."""
    gpus, processes = torch.cuda.device_count(), int(os.environ["LOCAL_WORLD_SIZE"])
    if not gpus:
        return
    if processes > gpus:
        raise InputError(
            f"this machine has {gpus} GPUs for {processes} processes;"
            f" give torchrun --nproc-per-node {gpus}"
        )
    torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))


@contextmanager
def _silent(silent: bool) -> Generator[None]:
    """Shows nothing of what is printed inside, nor an error's sentence; its exit code stays."""
    if not silent:
        yield
        return
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        try:
            yield
        except Exception as error:
            exit_code: int | None = getattr(error, "exit_code", None)
            if exit_code is None:
                raise  # a defect
            raise SystemExit(exit_code) from error


@contextmanager
def _aware_of_losses() -> Generator[None]:
    """A process that is gone shows in whatever the others do together next."""
    from torch.distributed import DistError

    try:
        yield
    except RuntimeError as error:
        # gloo raises what has no type of its own.
        if isinstance(error, DistError) or "/gloo/" in str(error):
            raise TrainingError(
                "another process of this run has ended; torchrun starts all again,"
                " from the last checkpoint, as often as its --max-restarts says"
            ) from error
        raise
