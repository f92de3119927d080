"""Learns what points at the words before (`foretype_models.pointer`), for a network that is done.

Nothing of the network changes. The files must be such that it was not trained on: of its own it
spells every name, and would have no need of a pointer. The words of paths are left out here, of
which every file has the same few.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from foretype_models import pointer
from foretype_models.alphabet import Symbols
from foretype_models.pointer import DISTANCES, TOLD, UNLIKELY, Pointer
from foretype_models.runtime import Runtime
from foretype_models.words import BEGINS, IS_WORD, LETTER, WINDOW
from foretype_training.corpus import SourceFile
from foretype_training.errors import TrainingError
from foretype_training.measure import Known, Setting, SideBySide

WIDTH = 32  # of queries and keys
GATE = 32
PASSES = 3
RATE = 2e-3  # of Adam at first; it falls to zero
DROPOUT = 0.1  # of the hidden states
TOGETHER = 3000
"""Words of a file that are learned from at a time."""
VALIDATION = 10  # one file of so many tells how well it was learned

_TINY = 1e-6


@dataclass(frozen=True)
class _Read:
    """The words of a file that was read, and what the network made of them."""

    words: Tensor  # the number of each among those that differ, (words,)
    before: Tensor  # hidden states, float16 (words, hidden)
    after: Tensor
    spelled: Tensor  # the log-probability of each, given that there is a word
    first: Tensor  # and of what may be its first letter, float16 (words, letters)
    letter: Tensor  # the number of the one that is

    def parts(self) -> Iterator[_Read]:
        tensors = [vars(self)[field.name] for field in fields(self)]
        for start in range(0, len(self.words), TOGETHER):
            yield _Read(*(tensor[start : start + TOGETHER] for tensor in tensors))


@dataclass(frozen=True)
class Learned:
    """A pointer, and the bits of a word of files that it was not learned from."""

    pointer: Pointer
    words: int
    bits_before: float
    bits: float


def learn(
    runtime: Runtime,
    files: Sequence[SourceFile],
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
    seed: int = 1,
) -> Learned:
    """Learns a pointer from files that stand project by project, in path order; every second of
    them is read with the memory of its project too. `progress` is told what is being done, how
    much of it is, and of how much.

    Raises TrainingError where there are not words enough.
    """
    read: list[_Read] = []
    total, done = sum(len(file.text) for file in files), 0
    for number, setting in enumerate[Setting](("file", "project")):
        some = files[number::2]
        for of_file in _read(runtime, some, files, setting):
            read.append(of_file)
            done += sum(len(f.text) for f in some) // max(1, len(some))
            progress("reading", min(done, total), total)
    usable = [of_file for of_file in read if len(of_file.words) > 1]
    held, learned = usable[::VALIDATION], [r for n, r in enumerate(usable) if n % VALIDATION]
    if not learned:
        raise TrainingError(f"{len(files)} files are too few to learn from what to point at")
    torch.manual_seed(seed)
    net = _Net(runtime.architecture.hidden_size)
    parts = [part for of_file in learned for part in of_file.parts() if len(part.words) > 1]
    _train(net, parts, seed, progress)
    before, bits, words = _bits(net, held)
    return Learned(net.pointer(), words, before, bits)


def _train(
    net: _Net, parts: Sequence[_Read], seed: int, progress: Callable[[str, int, int], None]
) -> None:
    optimizer = torch.optim.Adam(net.parameters(), RATE)
    generator, steps = np.random.default_rng(seed), PASSES * len(parts)
    order = [int(n) for _ in range(PASSES) for n in generator.permutation(len(parts))]
    net.train()
    for step, number in enumerate(order):
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 - step / steps)
        loss = net.nats(parts[number]).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        progress("learning what to point at", step + 1, steps)
    net.eval()


def _bits(net: _Net, files: Sequence[_Read]) -> tuple[float, float, int]:
    """Of a word: spelled by the network alone, and with the pointer; and of how many words."""
    with torch.no_grad():
        parts = [part for file in files for part in file.parts() if len(part.words) > 1]
        nats = sum(float(net.nats(part).sum()) for part in parts)
    alone = -sum(float(part.spelled[1:].sum()) for part in parts)
    words = sum(len(part.words) - 1 for part in parts)
    return alone / words / math.log(2), nats / words / math.log(2), words


class _Net(nn.Module):
    """The pointer as it is learned: of all words of a file at once."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.query = nn.Linear(hidden, WIDTH)
        self.before = nn.Linear(hidden, WIDTH, bias=False)
        self.after = nn.Linear(hidden, WIDTH, bias=False)
        self.near = nn.Parameter(torch.zeros(DISTANCES))
        self.near_query = nn.Parameter(torch.zeros(DISTANCES, WIDTH))
        self.first = nn.Parameter(torch.zeros(1))
        self.gate = nn.Linear(hidden, GATE)
        self.gate_told = nn.Linear(TOLD, GATE, bias=False)
        self.gate_output = nn.Linear(GATE + TOLD, 1)
        with torch.no_grad():
            # States that are alike suit one another, to begin with.
            self.before.weight.copy_(self.query.weight)
            self.gate_output.bias.fill_(-1)

    def nats(self, read: _Read) -> Tensor:
        """Of each word but the first, given that there is a word: (words - 1,)."""
        before, after = read.before.float(), read.after.float()
        if self.training:
            before = functional.dropout(before, DROPOUT)
        first = read.first.float()[1:]
        scores = self._scores(before, after) + self.first * first[:, read.letter]
        log_weights = torch.log_softmax(scores, -1)
        same = read.words[1:, None] == read.words[None, :]
        pointed = torch.logsumexp(log_weights.masked_fill(~same, -1e4), -1).clamp(min=-30)
        spread = -(log_weights.exp() * log_weights.clamp(min=-50)).sum(-1)
        unsure = -(first.exp() * first).sum(-1)
        told = (spread, torch.logsumexp(scores, -1), scores.amax(-1), unsure, first.amax(-1))
        told = pointer.SCALED * torch.stack(told, -1)
        seen = torch.tanh(self.gate(before[1:]) + self.gate_told(told))
        gate = self.gate_output(torch.cat((seen, told), -1))[:, 0]
        by_pointer = functional.logsigmoid(gate) + pointed
        by_network = functional.logsigmoid(-gate) + read.spelled[1:]
        return -torch.logaddexp(by_pointer, by_network)

    def _scores(self, before: Tensor, after: Tensor) -> Tensor:
        """Of every word before each but the first: (words - 1, words)."""
        numbers = torch.arange(len(before))
        distance = numbers[1:, None] - numbers[None, :]
        classes = torch.log2(distance.clamp(min=1).float()).long().clamp(max=DISTANCES - 1)
        keys, query = self.before(before) + self.after(after), self.query(before[1:]) / WIDTH**0.5
        near = (self.near + query @ self.near_query.T).gather(1, classes)
        return (query @ keys.T + near).masked_fill((distance <= 0) | (distance > WINDOW), -1e9)

    def pointer(self) -> Pointer:
        scale = WIDTH**-0.5
        tensors = {
            "query": self.query.weight.T * scale,
            "query_bias": self.query.bias * scale,
            "before": self.before.weight.T,
            "after": self.after.weight.T,
            "near": self.near,
            "near_query": self.near_query,
            "first": self.first,
            "gate_told": self.gate_told.weight.T,
            "gate": self.gate.weight.T,
            "gate_bias": self.gate.bias,
            "gate_output": self.gate_output.weight[0],
            "gate_output_bias": self.gate_output.bias,
        }
        return Pointer(**{k: t.detach().contiguous().numpy() for k, t in tensors.items()})


def _read(
    runtime: Runtime, files: Sequence[SourceFile], project: Sequence[SourceFile], setting: Setting
) -> Iterator[_Read]:
    known = Known(runtime, files, setting, project)
    beside = SideBySide(runtime, known)
    reading: dict[int, _File] = {}
    for window in beside.windows():
        lanes, piece = beside.piece(window)
        run = runtime.run(piece.symbols, piece.state, piece.memories)
        beside.state = run.state
        for place, lane in enumerate(lanes):
            number, at = int(window.files[lane]), int(window.offsets[lane])
            if number not in reading:
                reading[number] = _File(known.symbols[number], known.text_at[number])
            file = reading[number]
            file.add(at, run.log_probs[:, place], run.hidden[:, place])
            if file.done:
                yield reading.pop(number).read()


class _File:
    """A file that is being read."""

    def __init__(self, symbols: Symbols, text_at: int) -> None:
        self._symbols = symbols
        inside = IS_WORD[symbols]
        starts = np.flatnonzero(inside[1:] & ~inside[:-1]) + 1
        ends = np.flatnonzero(inside[:-1] & ~inside[1:]) + 1
        words = BEGINS[symbols[starts]] & (starts >= text_at)
        self._starts, self._ends = starts[words], ends[len(ends) - len(starts) :][words]
        self._wanted = np.unique(np.concatenate((self._starts, self._ends))) - 1
        self._hidden: list[npt.NDArray[np.float16]] = []
        self._own: list[npt.NDArray[np.float32]] = []  # of the symbol after each position
        self._begins: list[npt.NDArray[np.float32]] = []  # that a word begins there
        self._first: list[npt.NDArray[np.float16]] = []  # where one does, of each first letter
        self._ends_there: list[npt.NDArray[np.float32]] = []
        self._at = 0

    @property
    def done(self) -> bool:
        return self._at >= len(self._symbols) - 1

    def add(
        self, at: int, log_probs: npt.NDArray[np.float32], hidden: npt.NDArray[np.float32]
    ) -> None:
        """What the network says after the symbols from `at` on."""
        targets = self._symbols[at + 1 :][: len(log_probs)]
        log_probs, self._at = log_probs[: len(targets)], at + len(targets)
        probs = np.exp(log_probs)
        self._own.append(log_probs[np.arange(len(targets)), targets])
        begins = np.log(probs[:, BEGINS].sum(axis=1) + _TINY)
        self._begins.append(begins)
        starts = self._starts[(self._starts > at) & (self._starts <= self._at)] - 1 - at
        first = log_probs[starts][:, BEGINS] - begins[starts, None]
        self._first.append(np.maximum(first, UNLIKELY).astype(np.float16))
        self._ends_there.append(np.log(probs[:, ~IS_WORD].sum(axis=1) + _TINY))
        wanted = self._wanted[(self._wanted >= at) & (self._wanted < self._at)] - at
        self._hidden.append(hidden[wanted].astype(np.float16))

    def read(self) -> _Read:
        own = np.concatenate(self._own).astype(np.float64)
        begins, ends_there = np.concatenate(self._begins), np.concatenate(self._ends_there)
        until = np.append(0, np.cumsum(own))  # of the symbols up to each
        starts, ends = self._starts, self._ends
        spelled = until[ends - 1] - until[starts - 1] + ends_there[ends - 1] - begins[starts - 1]
        hidden = np.concatenate(self._hidden)
        before, after = (np.searchsorted(self._wanted, places - 1) for places in (starts, ends))
        numbers: dict[bytes, int] = {}
        words = [
            numbers.setdefault(self._symbols[start:end].tobytes(), len(numbers))
            for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
        ]
        return _Read(
            torch.tensor(words, dtype=torch.int64),
            torch.from_numpy(hidden[before]),
            torch.from_numpy(hidden[after]),
            torch.from_numpy(spelled.astype(np.float32)),
            torch.from_numpy(np.concatenate(self._first)),
            torch.from_numpy(LETTER[self._symbols[starts]]),
        )
