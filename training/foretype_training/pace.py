"""How long a run will take: measured before it begins, with a trainer that is thrown away."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from foretype_models.alphabet import END_OF_PATH
from foretype_training.reader import bits_per_character, calibrate
from foretype_training.texts import Text
from foretype_training.trainer import BASE_SHARES, Trainer

_READ = 32  # validation files
_BEGINNING = 500  # symbols of each
_TIMES = 3


@dataclass(frozen=True)
class Pace:
    """In seconds."""

    step: float
    validation: float  # of the validation files
    end: float  # choosing how much of the base is left, and the temperature

    def seconds(self, trainer: Trainer) -> float:
        """From where a trainer stands to the end of its run."""
        left = 1 - trainer.step / trainer.steps
        validations = trainer.settings.validations * left
        return (trainer.steps - trainer.step) * self.step + validations * self.validation + self.end


def measure(trainer: Trainer, validation: Sequence[Text], has_base: bool) -> Pace:
    """Trains some steps and reads the beginnings of some validation files. What the trainer
    learns of it is for nothing."""
    step = trainer.step_seconds()
    texts = [_beginning(text) for text in validation[:_READ]]
    share = sum(len(text.symbols) for text in validation) / sum(len(t.symbols) for t in texts)
    reading = _seconds(lambda: bits_per_character(trainer.network, texts, trainer.precision))
    calibrating = _seconds(lambda: calibrate(trainer.network, texts, trainer.precision))
    settled = 1 + (len(BASE_SHARES) if has_base else 0)
    return Pace(step, reading * share, settled * calibrating * share)


def _beginning(text: Text) -> Text:
    path = int(np.argmax(text.symbols == END_OF_PATH)) + 1
    return replace(text, symbols=text.symbols[: path + _BEGINNING])


def _seconds(work: Callable[[], object]) -> float:
    """The least of some times: what another program holds up once is multiplied by no number."""
    times: list[float] = []
    for _ in range(_TIMES):
        began = time.monotonic()
        work()
        times.append(time.monotonic() - began)
    return min(times)
