"""The training loop: truncated back-propagation through time with a carried state."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from foretype_models.architecture import Architecture
from foretype_models.network import Network
from foretype_training.checkpoint import Checkpoint, load_checkpoint, rng_state, save_checkpoint
from foretype_training.distributed import ALONE, Processes
from foretype_training.errors import InputError, TrainingError
from foretype_training.reader import (
    BITS,
    Calibration,
    Reader,
    best_precision,
    bits_per_character,
    calibrate,
)
from foretype_training.settings import Precision, Settings
from foretype_training.texts import Text
from foretype_training.windows import IGNORED, Lanes, Window

CHECKPOINT_SECONDS = 60.0
_TIMED_SECONDS, _TIMED_STEPS = 2.0, range(3, 20)  # to know how long a step takes
BASE_SHARES = (0.2, 0.4, 0.6, 0.8, 1.0)
"""How much of the base's weights may be left in the trained ones; all, where nothing helped."""


@dataclass(frozen=True)
class Progress:
    """Where a run stands, told after every step."""

    step: int
    steps: int
    rate: float  # symbols per second since the run, or its resumption, began
    seconds_left: float
    training_bits: float  # per character, a running mean
    validation_bits: float | None  # of the last validation


@dataclass(frozen=True)
class CurvePoint:
    """One point of the learning curve, in bits per character."""

    symbols: int
    training: float
    validation: float


@dataclass(frozen=True)
class Base:
    """A trained network to go on from."""

    version: str
    weights: dict[str, Tensor]  # by the names of the network's state_dict


@dataclass(frozen=True)
class Trained:
    """The network with the weights that were best on the validation files, calibrated on them.

    Where it goes on from a base, `base_share` of the base's weights are left in them, and
    `base_bits` are those per character that the base itself needs for these files.
    """

    network: Network
    curve: list[CurvePoint]
    symbols: int  # read, over all passes
    finished: bool  # False if it was stopped early
    base_share: float
    base_bits: float | None
    calibration: Calibration
    rate: float | None  # symbols per second of learning, None if there was no step


_RUN = {"settings": "settings", "data": "files or others held out", "base": "base"}
"""What makes a run, by its key in the checkpoint."""


class Trainer:
    """Trains a network on files, and goes on from a checkpoint as if it had never stopped.

    Several `processes` do what one does, and write the checkpoint that one would write: the
    settings' batch, a multiple of their number, is that of all of them together.
    """

    def __init__(
        self,
        settings: Settings,
        training: Sequence[Text],
        validation: Sequence[Text],
        data_hash: str,
        checkpoint: Path,
        device: torch.device,
        base: Base | None = None,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
        processes: Processes = ALONE,
    ) -> None:
        torch.manual_seed(settings.seed)
        self.settings = settings
        self.device = device
        self._processes = processes
        self._own = processes.own(settings.batch)
        self.precision: Precision = processes.first(lambda: best_precision(device))
        self._validation = validation
        self._data_hash = data_hash
        self._base = base
        self._path = checkpoint
        self._checkpoint_seconds = checkpoint_seconds
        part = (processes.rank, processes.count)
        self.network = Network(settings.architecture, settings.dropout, part).to(device)
        if base is not None:
            self.network.load_state_dict(base.weights)
        self._average = deepcopy(self.network).eval()
        self._optimizer = torch.optim.Adam(self.network.parameters(), betas=(0.9, 0.99), fused=True)
        files = [text.symbols for text in training]
        self._lanes = Lanes(files, settings.batch, settings.window, settings.seed)
        lanes = self._own.stop - self._own.start
        self._reader = Reader(self.network, training, lanes, processes.parallel(self.network))
        characters = sum(len(file) - 1 for file in files)
        per_step = settings.batch * settings.window
        self.steps = max(1, math.ceil(settings.epochs * characters / per_step))
        self._step = 0
        self._symbols = 0
        self._running: float | None = None  # mean of the training bits
        self._curve: list[CurvePoint] = []
        self._best: dict[str, Tensor] = {}

    def resume(self) -> None:
        """Goes on from the checkpoint. Raises InputError if it is of another run."""
        checkpoint = self._processes.first(lambda: load_checkpoint(self._path))
        progress = checkpoint.progress
        # A setting that was added since then has its default.
        settings = Settings.from_dict(progress["settings"])
        for name, found, own in (
            ("settings", settings, self.settings),
            ("data", progress["data"], self._data_hash),
            ("base", progress["base"], self._base_version),
        ):
            if found != own:
                raise InputError(
                    f"{self._path} belongs to a run with other {_RUN[name]};"
                    " resume with the same, or choose another --out"
                )
        self.network.load_state_dict(checkpoint.part("network"))
        self._average.load_state_dict(checkpoint.part("average"))
        self._best = checkpoint.part("best")
        _load_moments(self._optimizer, checkpoint.part("adam"), progress["step"])
        self._reader.state = tuple(
            checkpoint.tensors[f"state.{i}"][self._own].to(self.device)
            for i in range(len(self._reader.state))
        )
        torch.set_rng_state(checkpoint.tensors["rng"])
        self._lanes.seek(**progress["lanes"])
        self.precision = progress["precision"]  # of the machine it began on
        self._step, self._symbols = progress["step"], progress["symbols"]
        self._running = progress["running"]
        self._curve = [CurvePoint(**point) for point in progress["curve"]]

    def run(
        self,
        report: Callable[[Progress], None] = lambda progress: None,
        stopped: Callable[[], bool] = lambda: False,
        settling: Callable[[int, int], None] = lambda done, total: None,
    ) -> Trained:
        """Trains to the end, or until `stopped` says so; both leave a checkpoint. Then chooses
        the weights, of which `settling` is told.

        Raises TrainingError if the loss is no longer a number or the disk is full.
        """
        self.network.train()
        began, began_at, saved = time.monotonic(), self._symbols, time.monotonic()
        windows, learning = iter(self._lanes), 0.0
        while self._step < self.steps and not self._processes.any(stopped()):
            started = time.monotonic()
            self._train_on(windows)
            learning += time.monotonic() - started
            if self._step == self.steps or self._step in self._validation_steps():
                self._validate()
            if self._processes.any(time.monotonic() - saved > self._checkpoint_seconds):
                self.save()
                saved = time.monotonic()
            report(self._progress(time.monotonic() - began, self._symbols - began_at))
        self.save()
        if self._step == 0:
            raise TrainingError("stopped before anything was learned; --resume begins")
        rate = (self._symbols - began_at) / learning if learning else None
        finished = self._step == self.steps
        if not finished:
            self._validate()  # after saving: a resumed run must not know of it
        share, found = self._settle(settling)
        return Trained(
            self.network.eval(),
            self._curve,
            self._symbols,
            finished,
            share,
            found[BASE_SHARES[-1]].bits if self._base else None,
            found[share],
            rate,
        )

    @property
    def step(self) -> int:
        """How many are done."""
        return self._step

    def step_seconds(self) -> float:
        """What a step takes, the median of some that are taken: this trainer's run is spoilt."""
        self.network.train()
        windows = iter(self._lanes)
        self._train_on(windows)  # finds nothing ready that later ones find
        times: list[float] = []
        # As many in each process, for none takes a step alone.
        while len(times) < _TIMED_STEPS.start or (
            len(times) in _TIMED_STEPS and not self._processes.any(sum(times) >= _TIMED_SECONDS)
        ):
            began = time.monotonic()
            self._train_on(windows)
            times.append(time.monotonic() - began)
        return median(times)

    def save(self) -> None:
        """Writes the checkpoint, with the states of all lanes."""
        gathered = self._processes.gathered
        tensors = {
            **{f"network.{k}": v for k, v in self.network.state_dict().items()},
            **{f"average.{k}": v for k, v in self._average.state_dict().items()},
            **{f"best.{k}": v for k, v in self._best.items()},
            **{f"adam.{k}": v for k, v in _moments(self._optimizer).items()},
            **{f"state.{i}": gathered(s, 0) for i, s in enumerate(self._reader.state)},
            "rng": rng_state(),
        }
        progress = {
            "settings": self.settings.to_dict(),
            "data": self._data_hash,
            "base": self._base_version,
            "precision": self.precision,
            "step": self._step,
            "symbols": self._symbols,
            "running": self._running,
            "curve": [vars(point) for point in self._curve],
            "lanes": self._lanes.position,
        }
        if self._processes.rank == 0:
            save_checkpoint(self._path, Checkpoint(tensors, progress))

    def _train_on(self, windows: Iterator[Window]) -> None:
        """One step: a window, its gradient, an update."""
        window, count = self._next_to_learn(windows)
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate(self.settings, self._step / self.steps)
        loss = self._reader.loss(window, self.precision) / count  # what the own lanes add to it
        self._optimizer.zero_grad()
        (loss * self._processes.count).backward()  # whose mean over the processes is taken
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip)
        self._optimizer.step()
        bits = self._processes.total(loss.item())[0] * BITS
        if not math.isfinite(bits):
            raise TrainingError(
                f"the loss is no longer a number at step {self._step}; lower learning_rate"
            )
        self._running = bits if self._running is None else 0.98 * self._running + 0.02 * bits
        self._step += 1
        self._symbols += count
        self._update_average()

    def _update_average(self) -> None:
        """A running mean of the weights, which is often better than the last ones (Polyak &
        Juditsky 1992; Izmailov et al. 2018, "Averaging weights leads to wider optima")."""
        steps = max(1.0, min(self._step, self.settings.average * self.steps))
        with torch.no_grad():
            for mean, weight in zip(
                self._average.parameters(), self.network.parameters(), strict=True
            ):
                mean.lerp_(weight, 1 / steps)

    def _next_to_learn(self, windows: Iterator[Window]) -> tuple[Window, int]:
        """The own lanes of the next window that has targets, and how many all lanes have."""
        window = next(windows)
        while not (count := int((window.targets != IGNORED).sum())):
            with torch.no_grad():  # nothing but paths that are longer than a window
                self._reader.logits(window.of(self._own), self.precision)
            window = next(windows)
        return window.of(self._own), count

    def _validation_steps(self) -> set[int]:
        n = self.settings.validations
        return {round(self.steps * k / n) for k in range(1, n + 1)}

    def _validate(self) -> None:
        """Measures the validation files and keeps the weights if they are the best so far."""
        bits = bits_per_character(
            self._average, self._validation, self.precision, processes=self._processes
        )
        if all(bits < point.validation for point in self._curve):
            self._best = {k: v.detach().clone() for k, v in self._average.state_dict().items()}
        assert self._running is not None
        self._curve.append(CurvePoint(self._symbols, self._running, bits))

    def _settle(
        self, settling: Callable[[int, int], None]
    ) -> tuple[float, dict[float, Calibration]]:
        """Leaves in the network the best weights, mixed with the base's and calibrated. Gives
        the base's share that was chosen, and what was found with each.

        The mean of what a network was and what it became is often better than either, for
        nothing (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models"). How much of
        each, the validation files say.
        """
        shares = (0.0, *(BASE_SHARES if self._base else ()))
        found: dict[float, Calibration] = {}
        for share in shares:
            settling(len(found), len(shares))
            found[share] = self._calibrated(share)
        chosen = min(found, key=lambda share: found[share].bits)
        self._load_mixed(chosen)
        found[chosen].apply(self.network)
        return chosen, found

    def _calibrated(self, share: float) -> Calibration:
        """In the precision of the run: to choose among shares and temperatures takes no more."""
        self._load_mixed(share)
        return calibrate(self.network, self._validation, self.precision, processes=self._processes)

    def _load_mixed(self, share: float) -> None:
        base = self._base.weights if self._base else self._best
        mixed = {k: torch.lerp(w, base[k].to(w.device), share) for k, w in self._best.items()}
        self.network.load_state_dict(mixed)

    @property
    def _base_version(self) -> str | None:
        return self._base.version if self._base else None

    def _progress(self, seconds: float, symbols: int) -> Progress:
        rate = symbols / seconds
        per_step = self._symbols / self._step
        validations = [point.validation for point in self._curve]
        assert self._running is not None
        return Progress(
            step=self._step,
            steps=self.steps,
            rate=rate,
            seconds_left=(self.steps - self._step) * per_step / rate,
            training_bits=self._running,
            validation_bits=validations[-1] if validations else None,
        )


def learning_rate(settings: Settings, progress: float) -> float:
    """Rises linearly, stays, and falls linearly to zero; `progress` runs from 0 to 1."""
    rising = progress / settings.warmup if settings.warmup else 1.0
    falling = (1 - progress) / settings.decay if settings.decay else 1.0
    return settings.learning_rate * min(1.0, rising + 1e-3, falling)


def _moments(optimizer: torch.optim.Adam) -> dict[str, Tensor]:
    """Adam's running means of gradients and squared gradients, by parameter number."""
    return {
        f"{number}.{name}": state[name]
        for number, state in optimizer.state_dict()["state"].items()
        for name in ("exp_avg", "exp_avg_sq")
    }


def _load_moments(optimizer: torch.optim.Adam, moments: dict[str, Tensor], step: int) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in moments.items():
        number, moment = name.split(".")
        state.setdefault(int(number), {"step": torch.tensor(float(step))})[moment] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def shapes(architecture: Architecture) -> dict[str, torch.Size]:
    """Of a network's weights, by name."""
    with torch.device("meta"):
        return {name: w.shape for name, w in Network(architecture).state_dict().items()}


def parameters(architecture: Architecture) -> int:
    """How many numbers a network of this shape learns."""
    return sum(shape.numel() for shape in shapes(architecture).values())
