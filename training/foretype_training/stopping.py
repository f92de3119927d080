"""Ctrl-C during training: the first stops it cleanly, a second ends the process at once."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stops_on_signals() -> Generator[Callable[[], bool]]:
    """Yields what says whether SIGINT or SIGTERM came. Handlers are only for the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    came = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came = True
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        print("\nstopping after this step; once more to end at once", file=sys.stderr)

    before = {each: signal.signal(each, stop) for each in _SIGNALS}
    try:
        yield lambda: came
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
