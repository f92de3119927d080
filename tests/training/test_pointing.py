"""A pointer is learned from files that a network was not trained on, and is worth it."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from foretype_models import alphabet, bundle, pointer
from foretype_models.inputs import Memories
from foretype_models.memory import Answers, answers
from foretype_models.pointer import Pointer
from foretype_models.runtime import Runtime
from foretype_models.words import BEGINS, IS_WORD, NOTHING
from foretype_training import pointing
from foretype_training.bundling import keeping_pointer, with_pointer
from foretype_training.corpus import SourceFile
from foretype_training.errors import TrainingError
from foretype_training.measure import Setting, bits_per_character, measure
from foretype_training.pointing import Learned, learn

NAMES = ["Otter", "Puffin", "Quokka", "Raven", "Stoat", "Tapir", "Urial", "Vole", "Wombat", "Zebu"]
CLASS = """class {name} {{
    private int {field};

    {name}(int {field}) {{
        this.{field} = {field};
    }}

    int twice{name}() {{
        return {field} + {field};
    }}
}}
"""
FILES = [
    SourceFile(f"{name}.java", CLASS.format(name=name, field=name.lower() + "Count").encode())
    for name in NAMES
]


@pytest.fixture(scope="module")
def stranger(other_model: Path) -> Runtime:
    """A network that has seen nothing like it."""
    return Runtime(bundle.load(other_model))


def test_words_of_other_files_take_fewer_bits(stranger: Runtime) -> None:
    told: list[tuple[str, int, int]] = []
    learned = learn(stranger, FILES, lambda what, done, total: told.append((what, done, total)))
    assert learned.bits < 0.9 * learned.bits_before
    assert [what for what, *_ in told] == sorted((what for what, *_ in told), reverse=True)
    assert all(0 <= done <= total for _, done, total in told)
    again = learn(stranger, FILES)
    for name, array in learned.pointer.arrays().items():
        assert np.array_equal(again.pointer.arrays()[name], array), name


def test_what_it_is_compared_with_is_what_the_network_says_of_words(stranger: Runtime) -> None:
    """Of a word, given that there is one: all of its letters, and that it ends."""
    text = b"\nint zoo = 1;"
    file = SourceFile("Zoo.java", text)
    one = learn(stranger, [file, file])
    symbols = alphabet.encode_file(file.path, text)
    own = Answers(answers(stranger.architecture.orders, symbols)[:, None])
    run = stranger.run(symbols[:, None], stranger.initial_state(), Memories(file=own))
    log_probs = run.log_probs[:, 0].astype(np.float64)
    start = len(symbols) - len(text) - 1 + text.index(b"zoo")
    letters = sum(log_probs[start + n - 1][symbols[start + n]] for n in range(3))
    ends = np.log(np.exp(log_probs[start + 2])[~IS_WORD].sum())
    begins = np.log(np.exp(log_probs[start - 1])[BEGINS].sum())
    assert one.words == 1
    assert one.bits_before == pytest.approx(-(letters + ends - begins) / np.log(2), rel=1e-4)


def test_what_is_learned_is_what_the_engine_computes(
    stranger: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a word, given that there is one, by a pointer all of whose numbers count, and which is
    never given up for what it costs."""
    monkeypatch.setattr(pointer, "LEAST", 0)
    monkeypatch.setattr(pointer, "_LEAST_SHARE", 1e-30)
    torch.manual_seed(1)
    net = pointing._Net(stranger.architecture.hidden_size)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    file = SourceFile("Zoo.java", b"\n" + b"".join(file.text for file in FILES[:4]))
    [read] = pointing._read(stranger, [file], [file], "file")
    with torch.no_grad():
        learned = -net.eval().nats(read).numpy()
    symbols = alphabet.encode_file(file.path, file.text)
    own = Answers(answers(stranger.architecture.orders, symbols)[:, None])
    run = stranger.run(symbols[:, None], stranger.initial_state(), Memories(file=own))
    text = slice(len(alphabet.encode_path(file.path)), None)  # nothing in the path is pointed at
    symbols, alone, hidden = symbols[text], run.log_probs[text, 0], run.hidden[text, 0]
    mixed, _ = net.pointer().follow(symbols, alone, hidden, NOTHING)
    computed: list[float] = []
    for word in re.finditer(rb"[A-Za-z]\w*", file.text):
        letters = sum(mixed[at - 1, symbols[at]] for at in range(*word.span()))
        ends = np.log(np.exp(mixed[word.end() - 1, ~IS_WORD]).sum())
        begins = np.log(np.exp(alone[word.start() - 1, BEGINS]).sum())
        computed.append(float(letters + ends - begins))
    counted = learned > -25  # what is less is not told apart
    assert counted.sum() > 40
    np.testing.assert_allclose(np.array(computed[1:])[counted], learned[counted], rtol=1e-2)


def test_too_few_files(stranger: Runtime) -> None:
    with pytest.raises(TrainingError, match="1 files are too few"):
        learn(stranger, FILES[:1])


def test_a_bundle_is_given_one_and_stays_what_it_was(other_model: Path, stranger: Runtime) -> None:
    before = bundle.load(other_model)
    learned: list[Learned] = []

    def learning(runtime: Runtime) -> Learned:
        learned.append(learn(runtime, FILES))
        return learned[0]

    made = with_pointer(before, learning, {"projects": ["zoo"]})
    assert made.files.keys() == before.files.keys() | {"pointer.npz"}
    assert made.files["weights.safetensors"] == before.files["weights.safetensors"]
    assert made.description.version != before.description.version
    assert made.description.training["pointer"] == {"projects": ["zoo"]}
    assert made.description.quality["pointer"]["words"] == learned[0].words
    assert made.pointer() is not None
    runtime = Runtime(made, "int8")
    old = Runtime(before, "int8")
    assert _bits(runtime, "none") == _bits(old, "none")
    assert _bits(runtime, "file") < 0.95 * _bits(old, "file")
    assert _bits(runtime, "project") < _bits(old, "project")


def test_a_base_s_pointer_stays_where_it_is_worth_it(other_model: Path, stranger: Runtime) -> None:
    learned = learn(stranger, FILES)
    made = with_pointer(bundle.load(other_model), lambda _: learned, {})
    told: list[str] = []
    assert keeping_pointer(made, FILES, told.append) is made
    wrong = {"gate_output_bias": [50], "first": [-50]}  # always at the least likely word
    arrays = learned.pointer.arrays() | {n: np.array(a, np.float32) for n, a in wrong.items()}
    misled = bundle.pointer_file(Pointer(**arrays))
    stale = replace(made, files={**made.files, bundle.POINTER: misled})
    kept = keeping_pointer(stale, FILES, told.append)
    assert kept.pointer() is None
    assert kept.description.version not in (made.description.version, "")
    assert "left out is the base's pointer" in told[-1]
    Runtime(kept)


def _bits(runtime: Runtime, setting: Setting) -> float:
    return bits_per_character(measure(runtime, FILES, setting, FILES))


def _pointer_py(*arguments: object) -> subprocess.CompletedProcess[str]:
    script = Path(__file__).parents[2] / "training/recipes/java/pointer.py"
    command = [sys.executable, str(script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_recipe_makes_a_bundle_that_can_be_used(other_model: Path, tmp_path: Path) -> None:
    code, out = tmp_path / "code", tmp_path / "out"
    code.mkdir()
    for file in FILES:
        (code / file.path).write_bytes(file.text)
    done = _pointer_py(other_model, code, "--out", out)
    assert done.returncode == 0, done.stderr
    made = bundle.load(out)
    assert made.pointer() is not None
    assert made.description.training["pointer"]["files"] == len(FILES)
    again = _pointer_py(other_model, code, "--out", out)
    assert again.returncode == 2
    assert again.stderr.endswith(f"pointer.py: {out} is there already; choose another folder\n")


def test_the_recipe_refuses_what_is_too_little(other_model: Path, tmp_path: Path) -> None:
    (tmp_path / "One.java").write_bytes(FILES[0].text)
    done = _pointer_py(other_model, tmp_path, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "1 files are too few" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
