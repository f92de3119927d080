"""Pictures of what an evaluation or a comparison found. Needs matplotlib."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from foretype_training.comparison import Comparison, Side
from foretype_training.kinds import Share
from foretype_training.measure import Predicted, bits_per_character
from foretype_training.outcome import Outcome
from foretype_training.typist import Keystrokes
from foretype_training.writing import write_atomically

if TYPE_CHECKING:  # it needs torch, which an evaluation does not
    from foretype_training.trainer import Trained

_PANEL = (5.2, 3.6)  # inches
_COLOUR, _PALE, _LINE = "#4c78a8", "#bab0ac", "#333333"
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
    write_atomically(path, drawn(figure, path.suffix))


def comparison_png(comparison: Comparison) -> bytes:
    """Bits per character of each file before and after, and keystrokes saved, of a comparison
    with a base."""
    assert comparison.before
    width, height = _PANEL
    figure = Figure(figsize=(2 * width, height))
    figure.set_layout_engine("constrained", w_pad=0.15, h_pad=0.08)
    left, right = figure.subplots(1, 2)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    sides = comparison.before, comparison.after
    _files_before_and_after(left, *sides)
    _keystrokes_before_and_after(right, *sides)
    return drawn(figure, ".png")


def _files_before_and_after(axes: Axes, before: Side, after: Side) -> None:
    old, new = ([file.bpc for file in side.measured[-1].predicted] for side in (before, after))
    top = 1.05 * max(*old, *new)
    axes.plot([0, top], [0, top], color=_LINE, linestyle="--", linewidth=1, label="no change")
    axes.plot(old, new, "o", color=_COLOUR, alpha=0.7, markersize=4)
    axes.set_xlim(0, top)
    axes.set_ylim(0, top)
    axes.set_aspect("equal")
    axes.set_xlabel(before.label)
    axes.set_ylabel(after.label)
    axes.legend(frameon=False, loc="upper left")
    axes.set_title(f"Bits per character, {_files(len(old))}")


def _keystrokes_before_and_after(axes: Axes, before: Side, after: Side) -> None:
    settings = [measured.setting for measured in after.measured]
    places = np.arange(len(settings))
    for side, shift, colour in ((before, -0.2, _PALE), (after, 0.2, _COLOUR)):
        saved = [measured.keystrokes.saved for measured in side.measured]
        bars = axes.bar(places + shift, saved, 0.36, color=colour, label=side.label)
        axes.bar_label(bars, [f"{share:.1%}" for share in saved], padding=2)
    axes.margins(y=0.1)  # room for the labels
    axes.set_xticks(places, [f"memory {setting}" for setting in settings])
    axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    axes.set_title("Keystrokes saved")


def curve_png(trained: Trained, base: str | None) -> bytes:
    """The learning curve: bits per character over the characters read, where it ended, and what
    the base of this name, if there is one, needs for the same validation files."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    read = [point.symbols / 1e6 for point in trained.curve]
    training = [point.training for point in trained.curve]
    validation = [point.validation for point in trained.curve]
    axes.plot(read, training, ".-", color=_PALE, label="training files, running mean")
    axes.plot(read, validation, ".-", color=_COLOUR, label="validation files")
    end = trained.calibration.bits
    axes.plot(read[-1], end, "*", color=_COLOUR, markersize=10, label=f"the new model: {end:.3f}")
    if trained.base_bits is not None:
        label = f"{base}: {trained.base_bits:.3f}"
        axes.axhline(trained.base_bits, color=_LINE, linestyle="--", linewidth=1, label=label)
    axes.set_xlim(left=0)
    axes.set_xlabel("million characters read")
    axes.set_ylabel("bits per character")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return drawn(figure, ".png")


def drawn(figure: Figure, suffix: str) -> bytes:
    """As .svg or .png, without dates, versions and random names in it."""
    data = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "foretype"}):
        if suffix == ".svg":
            figure.savefig(data, format="svg", metadata={"Date": None, "Creator": None})
        else:
            figure.savefig(data, format="png", dpi=150, metadata={"Software": None})
    return data.getvalue()


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
