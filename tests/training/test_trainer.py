"""The training loop: what it learns, when it stops, and how it goes on."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from foretype_models import alphabet
from foretype_models.alphabet import Symbols
from foretype_models.architecture import Architecture
from foretype_models.inputs import Ngrams
from foretype_models.network import Network
from foretype_training import ngrams, pace
from foretype_training.checkpoint import load_checkpoint, save_checkpoint
from foretype_training.errors import InputError, TrainingError
from foretype_training.pace import Pace
from foretype_training.settings import Settings
from foretype_training.texts import Text
from foretype_training.trainer import (
    BASE_SHARES,
    Base,
    Progress,
    Trainer,
    learning_rate,
    parameters,
)

SHAPE = Architecture("lstm", embedding_size=8, hidden_size=16, layers=1, ngrams=(2,))
SETTINGS = Settings(SHAPE, epochs=4, batch=2, window=16, learning_rate=0.02, validations=3)
JAVA = (Path(__file__).parent / "Inventory.java").read_bytes()
TRAINING = [alphabet.encode_file(f"{n}.java", JAVA[n * 200 : n * 200 + 200]) for n in range(6)]
VALIDATION = [alphabet.encode_file("v.java", JAVA[1200:1500])]


def _trainer(
    folder: Path,
    settings: Settings = SETTINGS,
    training: list[Symbols] = TRAINING,
    data: str = "data",
    base: Base | None = None,
) -> Trainer:
    counted = ngrams.count(
        settings.architecture, training, Ngrams.empty(), ngrams.by_file(training)
    )
    texts = [Text(file, counted.of(number)) for number, file in enumerate(training)]
    validation = [Text(file, counted.table) for file in VALIDATION]
    device = torch.device("cpu")
    return Trainer(settings, texts, validation, data, folder / "checkpoint", device, base)


def _weights(network: Network) -> dict[str, Tensor]:
    return {name: weight.clone() for name, weight in network.state_dict().items()}


def _same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def _stopped_after(steps: int) -> Callable[[], bool]:
    counter = itertools.count()
    return lambda: next(counter) >= steps


def test_it_learns(tmp_path: Path) -> None:
    told: list[Progress] = []
    trainer = _trainer(tmp_path)
    trained = trainer.run(told.append)
    assert trained.finished
    assert [progress.step for progress in told] == list(range(1, trainer.steps + 1))
    assert told[-1].seconds_left == 0
    assert len(trained.curve) == SETTINGS.validations
    assert trained.curve[-1].validation < trained.curve[0].validation < math.log2(alphabet.SIZE)
    assert told[-1].validation_bits == trained.curve[-1].validation
    assert trained.symbols == trained.curve[-1].symbols


def test_the_same_run_gives_the_same_weights_and_another_seed_others(tmp_path: Path) -> None:
    first = _weights(_trainer(tmp_path).run().network)
    assert _same(first, _weights(_trainer(tmp_path).run().network))
    assert not _same(first, _weights(_trainer(tmp_path, replace(SETTINGS, seed=2)).run().network))


def test_steps_that_are_timed_before_change_nothing_of_the_run(tmp_path: Path) -> None:
    expected = _weights(_trainer(tmp_path).run().network)
    timed = _trainer(tmp_path)
    assert timed.step_seconds() > 0
    assert timed.step > 1
    assert _same(expected, _weights(_trainer(tmp_path).run().network))


def test_the_time_left_is_that_of_the_steps_and_validations_left(tmp_path: Path) -> None:
    trainer = _trainer(tmp_path)
    paced = Pace(step=2.0, validation=30.0, end=500.0)
    whole = paced.seconds(trainer)
    assert whole == 2.0 * trainer.steps + 30.0 * SETTINGS.validations + 500.0
    trainer.run(stopped=_stopped_after(trainer.steps // 2))
    assert trainer.step == trainer.steps // 2
    assert paced.seconds(trainer) == pytest.approx(500 + (whole - 500) / 2, rel=0.01)


def test_a_pace_is_measured(tmp_path: Path) -> None:
    trainer = _trainer(tmp_path)
    symbols = VALIDATION[0]
    texts = [Text(np.concatenate([symbols] * n), Ngrams.empty()) for n in (1, 9)]
    alone, with_base = (pace.measure(trainer, texts, has_base) for has_base in (False, True))
    assert min(alone.step, alone.validation, alone.end) > 0
    assert min(with_base.step, with_base.validation, with_base.end) > 0


@pytest.mark.parametrize("stops", [[1], [7, 20], [50]])
def test_a_run_that_was_stopped_goes_on_to_the_same_weights(
    tmp_path: Path, stops: list[int]
) -> None:
    whole = _trainer(tmp_path).run()
    (tmp_path / "checkpoint").unlink()
    for number, steps in enumerate(stops):
        trainer = _trainer(tmp_path)
        if number:
            trainer.resume()
        part = trainer.run(stopped=_stopped_after(steps))
        assert not part.finished
        assert part.curve[-1].validation > 0  # measured, so that it can be bundled
    trainer = _trainer(tmp_path)
    trainer.resume()
    resumed = trainer.run()
    assert resumed.finished
    assert _same(_weights(resumed.network), _weights(whole.network))
    assert (resumed.curve, resumed.calibration) == (whole.curve, whole.calibration)


def test_a_run_from_before_there_was_a_setting_goes_on(tmp_path: Path) -> None:
    """What it did not know has its default."""
    _trainer(tmp_path).run(stopped=_stopped_after(3))
    older = load_checkpoint(tmp_path / "checkpoint")
    del older.progress["settings"]["architecture"]["words"]
    save_checkpoint(tmp_path / "checkpoint", older)
    trainer = _trainer(tmp_path)
    trainer.resume()
    assert trainer.step == 3


def test_a_finished_run_can_be_finished_again(tmp_path: Path) -> None:
    once = _trainer(tmp_path).run()
    trainer = _trainer(tmp_path)
    trainer.resume()
    again = trainer.run()
    assert _same(_weights(once.network), _weights(again.network))
    assert again.curve == once.curve
    assert once.rate is not None
    assert once.rate > 0
    assert again.rate is None


def test_the_best_weights_are_kept_not_the_last(tmp_path: Path) -> None:
    """Long training on a single short text is bad for every other one."""
    settings = replace(SETTINGS, epochs=400, validations=8, decay=0.0)
    trained = _trainer(tmp_path, settings, TRAINING[:1]).run()
    bits = [point.validation for point in trained.curve]
    assert min(bits) < bits[-1]
    part = Network(SHAPE)
    part.load_state_dict(load_checkpoint(tmp_path / "checkpoint").part("best"))
    part.output.weight.data.div_(trained.calibration.temperature)
    torch.testing.assert_close(part.output.weight, trained.network.output.weight)


def test_what_is_validated_and_kept_is_the_average_of_the_weights(tmp_path: Path) -> None:
    """Over all steps, here of a rate too high to settle down, and not the last ones."""
    restless = replace(SETTINGS, learning_rate=0.1, decay=0.0, validations=1)
    last = _trainer(tmp_path, replace(restless, average=0.0)).run().calibration.bits
    mean = _trainer(tmp_path, replace(restless, average=0.5)).run().calibration.bits
    assert mean < last


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"settings": replace(SETTINGS, seed=2)}, "a run with other settings"),
        ({"data": "other"}, "a run with other files or others held out"),
        ({"base": Base("v2", Network(SHAPE).state_dict())}, "a run with other base"),
    ],
)
def test_only_the_same_run_can_be_resumed(
    tmp_path: Path, other: dict[str, object], message: str
) -> None:
    _trainer(tmp_path).run(stopped=_stopped_after(3))
    with pytest.raises(InputError, match=f"{message}; resume with the same, or choose another"):
        _trainer(tmp_path, **other).resume()  # pyright: ignore[reportArgumentType]


def test_a_run_that_was_stopped_at_once_has_learned_nothing_but_can_begin(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="stopped before anything was learned; --resume begins"):
        _trainer(tmp_path).run(stopped=lambda: True)
    trainer = _trainer(tmp_path)
    trainer.resume()
    assert _same(_weights(trainer.run().network), _weights(_trainer(tmp_path).run().network))


def test_a_base_is_where_it_begins(tmp_path: Path) -> None:
    base = Base("v1", _weights(Network(SHAPE)))
    trainer = _trainer(tmp_path, base=base)
    assert _same(_weights(trainer.network), base.weights)


def test_as_much_of_the_base_is_left_as_suits_the_validation_files(tmp_path: Path) -> None:
    """A step that is far too long ruins the network; the base is left as it was."""
    good = _trainer(tmp_path).run().network
    ruin = replace(SETTINGS, epochs=0.01, learning_rate=0.5, warmup=0.0)
    base = Base("v1", _weights(good))
    trainer = _trainer(tmp_path, ruin, base=base)
    trained = trainer.run()
    assert trainer.steps == 1
    assert trained.base_share == BASE_SHARES[-1]
    assert trained.base_bits == trained.calibration.bits < trained.curve[-1].validation


def test_without_a_base_none_of_it_is_left(tmp_path: Path) -> None:
    trained = _trainer(tmp_path).run()
    assert (trained.base_share, trained.base_bits) == (0, None)


def test_a_loss_that_is_no_number_ends_the_run(tmp_path: Path) -> None:
    weights = {name: weight * math.nan for name, weight in Network(SHAPE).state_dict().items()}
    trainer = _trainer(tmp_path, base=Base("broken", weights))
    with pytest.raises(TrainingError, match="no longer a number at step 0; lower learning_rate"):
        trainer.run()


def test_paths_longer_than_a_window_are_read_and_teach_nothing(tmp_path: Path) -> None:
    deep = [alphabet.encode_file("p/" * 30 + str(n), JAVA[:100]) for n in range(2)]
    settings = replace(SETTINGS, epochs=3, validations=1)
    trained = _trainer(tmp_path, settings, deep).run()
    assert trained.finished
    assert trained.symbols > 0


def test_the_learning_rate_rises_stays_and_falls() -> None:
    settings = Settings(learning_rate=1.0, warmup=0.1, decay=0.5)
    rates = [learning_rate(settings, step / 100) for step in range(101)]
    assert 0 < rates[0] < rates[5] < rates[10] == 1.0
    assert rates[10:51] == [1.0] * 41
    assert rates[51:] == sorted(rates[51:], reverse=True)
    assert rates[-1] == 0
    constant = Settings(learning_rate=1.0, warmup=0.0, decay=0.0)
    assert {learning_rate(constant, step / 100) for step in range(100)} == {1.0}


def test_the_parameters_are_counted_without_building_the_network() -> None:
    assert parameters(SHAPE) == sum(p.numel() for p in Network(SHAPE).parameters())
