"""A picture of what an evaluation found. Needs matplotlib."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from foretype_training.errors import TrainingError
from foretype_training.kinds import Share
from foretype_training.measure import Predicted, bits_per_character
from foretype_training.outcome import Outcome
from foretype_training.typist import Keystrokes

_PANEL = (5.2, 3.6)  # inches
_COLOUR, _LINE = "#4c78a8", "#333333"
_BIN = 0.05  # bits per character


def draw(outcome: Outcome, path: Path) -> None:
    """Draws bits by kind, bits by file and keystrokes by file, those that were measured, into a
    file whose name ends in .svg or .png. The same outcome gives the same file.

    Raises TrainingError where it cannot be written.
    """
    panels: list[Callable[[Axes], None]] = []
    if (kinds := outcome.by_kind) is not None:
        panels.append(lambda axes: _bits_by_kind(axes, kinds))
    if "bpc" in outcome.measures:
        panels.append(lambda axes: _bits_by_file(axes, outcome.predicted))
    if (typed := outcome.keystrokes) is not None:
        panels.append(lambda axes: _keystrokes_by_file(axes, typed))
    width, height = _PANEL
    figure = Figure(figsize=(width * len(panels), height))
    figure.set_layout_engine("constrained", w_pad=0.15, h_pad=0.08)
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        axes.spines[["top", "right"]].set_visible(False)
        panel(axes)
    figure.suptitle(outcome.heading, fontsize="large")
    data = io.BytesIO()
    # Without dates, versions and random names in it.
    with matplotlib.rc_context({"svg.hashsalt": "foretype"}):
        if path.suffix == ".svg":
            figure.savefig(data, format="svg", metadata={"Date": None, "Creator": None})
        else:
            figure.savefig(data, format="png", dpi=150, metadata={"Software": None})
    try:
        path.write_bytes(data.getvalue())
    except OSError as error:
        raise TrainingError(f"cannot write {path}: {error.strerror}") from error


def _bits_by_kind(axes: Axes, shares: Mapping[str, Share]) -> None:
    characters = sum(share.characters for share in shares.values())
    bits = [share.bits / characters for share in shares.values()]
    total = sum(bits)
    bars = axes.barh(list(shares), bits, color=_COLOUR)
    axes.bar_label(bars, [f"{own:.3f}  ({own / total:.0%})" for own in bits], padding=4)
    axes.invert_yaxis()
    axes.set_xlim(right=1.25 * max(bits))  # room for the longest bar's label
    axes.spines["bottom"].set_visible(False)
    axes.xaxis.set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.set_title(f"{total:.3f} bits per character, by what stands there")


def _bits_by_file(axes: Axes, predicted: Sequence[Predicted]) -> None:
    bits = [file.bpc for file in predicted]
    bins = np.arange(0, max(bits) + _BIN, _BIN)
    axes.hist(bits, bins.tolist(), color=_COLOUR, edgecolor="white")
    together = bits_per_character(predicted)
    _mark(axes, together, f"all together: {together:.3f}")
    axes.set_xlim(left=0)
    axes.set_xlabel("bits per character")
    axes.set_ylabel("files")
    axes.set_title(f"{_files(len(predicted))} by bits per character")


def _keystrokes_by_file(axes: Axes, typed: Sequence[Keystrokes]) -> None:
    saved = sorted(file.saved for file in typed)
    axes.plot(saved, range(1, len(saved) + 1), "o", color=_COLOUR, clip_on=False)
    together = sum(typed, Keystrokes(0, 0, 0, 0)).saved
    _mark(axes, together, f"all together: {together:.1%}")
    axes.set_xlim(0, 1)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axes.set_xlabel("keystrokes saved")
    axes.set_ylabel("files, fewest saved first")
    axes.set_title(f"{_files(len(typed))} by keystrokes saved")


def _mark(axes: Axes, value: float, label: str) -> None:
    """A line at the value of all files, which are counted in whole numbers."""
    axes.axvline(value, color=_LINE, linestyle="--", linewidth=1, label=label)
    axes.legend(frameon=False)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count:,} files"
