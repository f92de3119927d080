"""What a long run shows: bars on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

PLAIN_SECONDS = 30.0
"""Between two lines where standard error is not a terminal."""

Track = Callable[[float, float, str], None]
"""Is told what is done, of how much (0 if nobody knows), and a note to show beside it."""


def say(text: str) -> None:
    """A line of the run's account, on standard output."""
    print(text, flush=True)


@contextmanager
def tracking(label: str) -> Generator[Track]:
    """Shows the progress of one stage on standard error while it lasts."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _plain(console, label)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TaskProgressColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(label, total=None, note="")
        yield lambda done, total, note: progress.update(
            task, completed=done, total=total or None, note=note
        )


def _plain(console: Console, label: str) -> Track:
    last = time.monotonic() - PLAIN_SECONDS / 2

    def track(done: float, total: float, note: str) -> None:
        nonlocal last
        if time.monotonic() - last < PLAIN_SECONDS:
            return
        last = time.monotonic()
        share = f" {done / total:.0%}" if total else ""
        console.print(f"{label}:{share} {note}", highlight=False, soft_wrap=True)

    return track


def duration(seconds: float) -> str:
    """Roughly, for people: "40 s", "12 min", "3 h 20 min"."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
