"""The compute threads: step all work together.

Work is a generator that yields the pieces it wants read by the network, a block of text or
what a search needs next, and is sent what came of each. Pieces of one length are read in one run,
whoever they are from: a step for sixteen sessions takes little longer than for one. The session
that has used the least time is next, however much it asks for at once, and of its work what has
used the least; it takes the others' along, so a keystroke does not wait until somebody's long
file is read. Who is new begins with as much time as the one that was next has used, so however
many keystrokes come, the long file is read too. Between two runs work can be given up.

Two threads do it, for two cores: while the network runs for one of them, the other does what
stands before and after such a run. But for these runs one at a time computes, so what they work
with need not be safe for threads.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator, Hashable, Sequence
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from foretype_models.runtime import Piece, Read, Runtime
from foretype_server.errors import Overloaded
from foretype_server.observer import NO_OBSERVER, Observer


def _cores() -> int:
    """That this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


THREADS = min(2, _cores())
"""More would wait: half of a search's time goes to Python, which one thread at a time can run."""
MAX_TOGETHER = 256
"""Symbols that one run reads at most of several pieces: what is new waits until it is over."""

LEFT_TO_OTHERS = 4
"""A session may have all but this part of the places, however much it asks for."""
BACKGROUND_SHARE = 8
"""The background has this part of a thread's time where jobs leave it none."""

_log = logging.getLogger(__name__)

T = TypeVar("T")
Y = TypeVar("Y")


def alone(runtime: Runtime, work: Generator[Piece, Read, T]) -> T:
    """Does work here and now, and returns its result."""
    try:
        piece = next(work)
        while True:
            [read] = runtime.read_together([piece])
            piece = work.send(read)
    except StopIteration as end:
        return end.value


class _Job(Generic[T]):
    """Work under way, and the piece that it waits for."""

    def __init__(
        self,
        work: Generator[Any, Any, T],
        session: Hashable,
        tell: Callable[[Any], None] | None = None,
    ) -> None:
        self.session = session
        self.seconds = 0.0  # used, waiting for the other thread included, beside what it began with
        self.piece: Piece | None = None
        self.taken = False  # whether a thread is at it
        self.result: Future[T] = Future()
        self._work = work
        self._tell = tell

    def go_on(self, read: Read | Exception | None) -> bool:
        """Goes on with what was read until the next piece; whether there is one."""
        if self.result.cancelled():
            try:
                self._work.close()
            except Exception:
                _log.exception("work that was given up failed")
            return False
        began = time.perf_counter()
        self.piece = None
        try:
            while self.piece is None:
                if isinstance(read, Exception):
                    event = self._work.throw(read)
                else:
                    event = self._work.send(read)
                if isinstance(event, Piece):
                    self.piece = event
                elif self._tell is not None:
                    self._tell(event)
                read = None
        except StopIteration as end:
            if self.result.set_running_or_notify_cancel():
                self.result.set_result(end.value)
        except BaseException as error:
            if self.result.set_running_or_notify_cancel():
                self.result.set_exception(error)
        self.seconds += time.perf_counter() - began
        return self.piece is not None


class _Released:
    """Within it a lock that one has is free for others."""

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock

    def __enter__(self) -> None:
        self._lock.release()

    def __exit__(self, *_: object) -> None:
        self._lock.acquire()


class Compute:
    """Threads for all computing. `capacity` bounds how many jobs are under way, of which those of
    one session leave some for others.

    A thread that finds none, or all of them taken, does a piece of `background` work at a time,
    until there is none left; jobs alone give it something to do. However many there are, that has
    its share of the time.
    """

    def __init__(
        self,
        runtime: Runtime,
        capacity: int,
        background: Callable[[], Generator[Piece, Read, object] | None] = lambda: None,
        observer: Observer = NO_OBSERVER,
    ) -> None:
        self._runtime = runtime
        self._observer = observer
        self._capacity = capacity
        self._background = background
        self._in_background = False  # whether a thread is at that
        self._background_at = 0.0  # when it has a turn before jobs
        self._jobs: list[_Job[Any]] = []
        self._seconds: dict[Hashable, float] = {}  # used by the sessions of these
        self._clock = 0.0  # what the session that was last next had used
        self._computing = threading.Lock()
        self._network_runs = _Released(self._computing)
        self._changed = threading.Condition()  # what there is to do
        self._closed = False
        self._threads = [
            threading.Thread(target=self._run, name="compute", daemon=True) for _ in range(THREADS)
        ]
        for thread in self._threads:
            thread.start()

    async def run(self, work: Generator[Piece, Read, T], session: Hashable) -> T:
        """Does the work for a session and returns its result. Raises Overloaded at once when
        full.

        Cancelling the awaiting task gives the work up within one run of the network.
        """
        return await asyncio.wrap_future(self._submit(_Job(work, session)))

    async def stream(
        self, work: Generator[Piece | list[Y], Read, list[Y]], session: Hashable
    ) -> AsyncGenerator[Y]:
        """As `run`, passing on the lists that the work yields, and at last what it returns."""
        loop = asyncio.get_running_loop()
        events: asyncio.Queue[list[Y] | None] = asyncio.Queue()

        def tell(event: list[Y] | None) -> None:
            loop.call_soon_threadsafe(events.put_nowait, event)

        result = self._submit(_Job(work, session, tell))
        result.add_done_callback(lambda _: tell(None))
        try:
            while (event := await events.get()) is not None:
                for item in event:
                    yield item
            for item in result.result():
                yield item
        finally:
            result.cancel()

    @property
    def under_way(self) -> int:
        """Jobs that nobody has the result of yet."""
        with self._changed:
            return self._under_way()

    def _under_way(self) -> int:
        return sum(not job.result.done() for job in self._jobs)

    def close(self) -> None:
        """Gives up what is under way and ends the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _submit(self, job: _Job[T]) -> Future[T]:
        with self._changed:
            if self._under_way() >= self._capacity:
                raise Overloaded(f"{self._capacity} requests are under way; try again")
            own = sum(j.session == job.session and not j.result.done() for j in self._jobs)
            if own >= self._capacity - self._capacity // LEFT_TO_OTHERS:
                raise Overloaded(f"{own} requests of this workspace are under way; try again")
            self._seconds.setdefault(job.session, self._clock)
            others = (other.seconds for other in self._jobs if other.session == job.session)
            job.seconds = min(others, default=0.0)
            self._jobs.append(job)
            self._changed.notify()
        return job.result

    def _run(self) -> None:
        while self._is_needed():
            while self._goes_on():
                pass
        with self._changed:
            for job in self._jobs:
                job.result.cancel()

    def _is_needed(self) -> bool:
        """Waits for a job that no thread is at; whether there is one, and not the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._free())
            return not self._closed

    def _goes_on(self) -> bool:
        """Does what is next; whether there was anything."""
        with self._computing:
            if time.perf_counter() >= self._background_at and self._some_background():
                return True
            if jobs := self._next():
                self._advance(jobs)
                return True
            return self._some_background()

    def _some_background(self) -> bool:
        """A piece of the background's work; whether there may be more. What fails ends no
        thread."""
        if self._in_background or self._closed:
            return False
        self._in_background = True
        began = time.perf_counter()
        try:
            work = self._background()
            if work is None:
                return False
            job = _Job(work, None)
            read: Read | Exception | None = None
            while job.go_on(read) and job.piece is not None:
                [read] = self._read([job.piece])
            job.result.result()
        except Exception:
            _log.exception("work in the background failed")
        finally:
            self._in_background = False
            now = time.perf_counter()
            self._background_at = now + (BACKGROUND_SHARE - 1) * (now - began)
        return True

    def _free(self) -> list[_Job[Any]]:
        """Jobs that no thread is at."""
        return [job for job in self._jobs if not job.taken]

    def _next(self) -> list[_Job[Any]]:
        """The job whose turn it is, with those whose pieces can be read with its piece, but no
        more than a thread's share of all; none where there is none, or the end has come."""
        with self._changed:
            free = sorted(self._free(), key=self._turn)
            if self._closed or not free:
                return []
            jobs = self._together(free, -(-len(self._jobs) // THREADS))
            for job in jobs:
                job.taken = True
            if len(jobs) < len(free):
                self._changed.notify()
            return jobs

    def _together(self, free: Sequence[_Job[Any]], share: int) -> list[_Job[Any]]:
        """Of jobs in the order of their turns those that come to their turn now."""
        first, *others = free
        if first.result.cancelled():
            first.piece = None  # which nobody wants any more
            return [first]
        self._clock = max(self._clock, self._seconds[first.session])
        if first.piece is None:
            return [first]
        jobs = [first]
        length, together = len(first.piece.symbols), first.piece.symbols.size
        for job in others:
            if (piece := job.piece) is None or len(piece.symbols) != length:
                continue
            if len(jobs) < share and together + piece.symbols.size <= MAX_TOGETHER:
                together += piece.symbols.size
                jobs.append(job)
        return jobs

    def _turn(self, job: _Job[Any]) -> tuple[bool, float, float]:
        """What is cancelled is at an end at once."""
        return not job.result.cancelled(), self._seconds[job.session], job.seconds

    def _advance(self, jobs: list[_Job[Any]]) -> None:
        """Reads what the jobs wait for, if anything, and goes on with them."""
        began = time.perf_counter()
        pieces = [job.piece for job in jobs if job.piece is not None]
        read = self._read(pieces) if pieces else [None]
        each = (time.perf_counter() - began) / len(jobs)
        ended: list[_Job[Any]] = []
        for job, own in zip(jobs, read, strict=True):
            used = job.seconds
            job.seconds += each
            if not job.go_on(own):
                ended.append(job)
            self._seconds[job.session] += job.seconds - used
        self._clock = max(self._clock, self._seconds[jobs[0].session])
        with self._changed:
            for job in jobs:
                job.taken = False
            for job in ended:
                self._jobs.remove(job)
            if ended:
                left = {job.session for job in self._jobs}
                self._seconds = {session: self._seconds[session] for session in left}

    def _read(self, pieces: Sequence[Piece]) -> Sequence[Read | Exception]:
        """What came of each: where the run of all fails, whoever it is that it fails for."""
        try:
            read = self._runtime.read_together(pieces, self._network_runs)
            texts = sum(piece.state.batch for piece in pieces)
            self._observer.has_read(texts, len(pieces[0].symbols))
            return read
        except Exception as error:
            if len(pieces) == 1:
                return [error]
            return [self._read([piece])[0] for piece in pieces]
