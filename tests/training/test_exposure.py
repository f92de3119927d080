"""A secret that stands once in the training files does not come out of the model."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import pytest
from benchmarks.canaries import BEAM, SPACE, Canary, bits, drawn, exposure, is_drawn_out, plant

from foretype_models import alphabet, bundle, contexts, inputs
from foretype_models.architecture import Architecture
from foretype_models.bundle import Bundle
from foretype_models.runtime import Runtime
from foretype_training import training
from foretype_training.corpus import SourceFile, read_corpus, split
from foretype_training.leaks import secrets
from tests.conftest import write_java

CONFIG = """epochs = 8
batch = 4
validations = 2
[architecture]
hidden_size = 64
layers = 1
embedding_size = 32
ngrams = [3, 6, 12]
memory = false
"""
_RANDOM = random.Random(7)
ONCE, OFTEN = drawn(_RANDOM), drawn(_RANDOM)
OTHERS = [drawn(_RANDOM) for _ in range(200)]


@dataclass(frozen=True)
class Learned:
    """A model of files of which one holds a secret and all the others hold another one."""

    bundle: Bundle
    once: Canary
    often: Canary

    @property
    def runtime(self) -> Runtime:
        return Runtime(self.bundle)


def _planted(secret: str, file: SourceFile, name: str) -> Canary:
    canary = plant(secret, file, name)
    assert canary is not None
    return canary


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Learned:
    folder = tmp_path_factory.mktemp("exposure")
    (folder / "config.toml").write_text(CONFIG)
    zoo = write_java(folder / "zoo")
    files = read_corpus([zoo]).files
    first = split(files).training[0]
    once = _planted(ONCE, first, "ONCE")
    often = [_planted(OFTEN, file, "OFTEN") for file in files if file is not first]
    for canary in (once, *often):
        (zoo / canary.file.path).write_bytes(canary.file.text)
    config = folder / "config.toml"
    training.run(training.Options([zoo], folder / "run", base="none", config=config))
    return Learned(bundle.load(folder / "run" / "model"), once, often[0])


def test_a_secret_that_stands_once_is_not_drawn_out(learned: Learned) -> None:
    for candidates in (1, BEAM):
        assert not is_drawn_out(learned.runtime, learned.once, candidates)
        # Not because nothing could be: what stands in every file is.
        assert is_drawn_out(learned.runtime, learned.often, candidates)


def test_its_exposure_says_so(learned: Learned) -> None:
    once = exposure(learned.runtime, learned.once, OTHERS)
    often = exposure(learned.runtime, learned.often, OTHERS)
    assert once.fitted < SPACE / 4
    assert often.fitted > SPACE / 2
    assert often.ranked == pytest.approx(np.log2(len(OTHERS) + 1))
    assert often.bits < once.others
    assert 0 <= once.ranked <= often.ranked


def test_the_count_table_holds_nothing_of_it(learned: Learned) -> None:
    """Not a context within it that is long enough to be its own."""
    table = learned.bundle.ngrams()
    for length in (6, 12):
        shape = Architecture(ngrams=(length,))
        for secret, stands_there in ((ONCE, False), (OFTEN, True)):
            symbols = alphabet.encode(secret.encode())[:-1, None]
            hashes = contexts.hashes(shape.orders, inputs.initial_context(shape, 1), symbols)
            within = table.look_up(hashes).ravel()[length - 1 :]
            assert (within > 0).all() if stands_there else not within.any()


def test_the_bits_of_many_secrets_are_those_of_each(learned: Learned) -> None:
    canary = learned.once
    text = canary.file.text[: canary.at] + ONCE.encode()
    expected = learned.runtime.score(canary.file.path, text)[canary.at :].sum()
    together = bits(learned.runtime, canary, [ONCE, *OTHERS[:20]])
    assert together[0] == pytest.approx(expected, rel=1e-4)
    assert together[7] == pytest.approx(bits(learned.runtime, canary, OTHERS[6:7])[0], rel=1e-4)


def test_a_planted_secret_is_one_that_training_would_leave_out() -> None:
    file = SourceFile("A.java", b"package a;\n\npublic final class A {\n    int a;\n}\n")
    canary = _planted(ONCE, file, "API_KEY")
    assert not secrets("A.java", canary.file.text)
    line = canary.file.text.replace(b"pragma", b"")
    assert set(secrets("A.java", line)) >= {"Secret Keyword"}
    assert canary.file.text[canary.at :].startswith(ONCE.encode())
    assert plant(ONCE, SourceFile("package-info.java", b"package a;\n")) is None
