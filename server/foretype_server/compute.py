"""The compute thread: runs all jobs, a slice at a time.

A job is a generator that yields after every slice of work (a step of the network, a block
of text). Whichever job has used the least time so far runs next, so a keystroke does not
wait until somebody's long file is read. Between two slices a job can be given up.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Generator
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from foretype_server.errors import Overloaded

_log = logging.getLogger(__name__)

T = TypeVar("T")
Y = TypeVar("Y")


class _Job(Generic[Y, T]):
    def __init__(self, work: Generator[Y, None, T], tell: Callable[[Y], None] | None) -> None:
        self.seconds = 0.0
        self.result: Future[T] = Future()
        self._work = work
        self._tell = tell

    def run_slice(self) -> bool:
        """Runs one slice; whether there is more to do."""
        if self.result.cancelled():
            self._work.close()
            return False
        began = time.perf_counter()
        try:
            event = next(self._work)
        except StopIteration as end:
            if self.result.set_running_or_notify_cancel():
                self.result.set_result(end.value)
            return False
        except BaseException as error:
            if self.result.set_running_or_notify_cancel():
                self.result.set_exception(error)
            return False
        self.seconds += time.perf_counter() - began
        if self._tell is not None:
            self._tell(event)
        return True


class Compute:
    """One thread for all computing. `capacity` bounds how many jobs are under way.

    Where there are none it does a slice of `background` at a time, until that says that
    nothing is left; jobs alone give it something to do.
    """

    def __init__(self, capacity: int, background: Callable[[], bool] = lambda: False) -> None:
        self._capacity = capacity
        self._background = background
        self._jobs: list[_Job[Any, Any]] = []
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="compute", daemon=True)
        self._thread.start()

    async def run(self, work: Generator[object, None, T]) -> T:
        """Does the work and returns its result. Raises Overloaded at once when full.

        Cancelling the awaiting task gives the work up within one slice.
        """
        return await asyncio.wrap_future(self._submit(_Job(work, None)))

    async def stream(self, work: Generator[list[Y], None, list[Y]]) -> AsyncIterator[Y]:
        """As `run`, passing on what the work yields, and at last what it returns."""
        loop = asyncio.get_running_loop()
        events: asyncio.Queue[list[Y] | None] = asyncio.Queue()

        def tell(event: list[Y] | None) -> None:
            loop.call_soon_threadsafe(events.put_nowait, event)

        result = self._submit(_Job(work, tell))
        result.add_done_callback(lambda _: tell(None))
        try:
            while (event := await events.get()) is not None:
                for item in event:
                    yield item
            for item in result.result():
                yield item
        finally:
            result.cancel()

    def close(self) -> None:
        """Gives up what is under way and ends the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _submit(self, job: _Job[Y, T]) -> Future[T]:
        with self._changed:
            if len(self._jobs) >= self._capacity:
                raise Overloaded(f"{self._capacity} requests are under way; try again")
            self._jobs.append(job)
            self._changed.notify()
        return job.result

    def _run(self) -> None:
        idle = True  # whether the background has nothing left either
        while not self._closed:
            if (job := self._next(wait=idle)) is not None:
                if not job.run_slice():
                    with self._changed:
                        self._jobs.remove(job)
                idle = False
            else:
                idle = not self._some_background()
        with self._changed:
            for job in self._jobs:
                job.result.cancel()

    def _some_background(self) -> bool:
        """A slice of the background; whether there may be more. What fails ends no thread."""
        try:
            return self._background()
        except Exception:
            _log.exception("work in the background failed")
            return True

    def _next(self, wait: bool) -> _Job[Any, Any] | None:
        """The job whose turn it is; None where there is none, or the end has come."""
        with self._changed:
            if wait:
                self._changed.wait_for(lambda: self._jobs or self._closed)
            if self._closed or not self._jobs:
                return None
            return min(self._jobs, key=lambda job: (not job.result.cancelled(), job.seconds))
