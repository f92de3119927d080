"""From a trained network to a bundle that is known to say the same, with its measured quality."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load as load_weights
from safetensors.numpy import save as save_weights

from foretype_models import alphabet, inputs
from foretype_models.alphabet import Symbols
from foretype_models.architecture import Architecture
from foretype_models.bundle import (
    NETWORKS,
    NGRAMS,
    POINTER,
    WEIGHTS,
    Bundle,
    Description,
    Precision,
    SelfTest,
    ngrams_file,
    pointer_file,
)
from foretype_models.inputs import Memories, Ngrams
from foretype_models.memory import Answers, TextMemory, answers
from foretype_models.network import Network
from foretype_models.pointer import Pointer
from foretype_models.runtime import Runtime
from foretype_server.recall import memory_orders
from foretype_training.corpus import SourceFile, sample
from foretype_training.errors import TrainingError
from foretype_training.export import Weights, to_onnx
from foretype_training.int8 import CELLS, to_int8
from foretype_training.measure import Setting, bits_per_character, measure
from foretype_training.pointing import Learned

TOLERANCE = 1e-3
"""How far a log-probability (nats) of the exported network may be from torch's."""
AGREEMENT_CHARACTERS = 2_000
INT8_LOSS = 0.02
"""Bits per character that the int8 network may cost and still be shipped."""
POINTED_CHARACTERS = 50_000
"""Of the validation files, with and without a pointer: some seconds."""
SAMPLE_CHARACTERS = 500_000
"""Of the held-out files, if they have more: some half a minute of reading."""

EMBEDDED = 3.5
"""How large what is embedded may be for the int8 network, over its root mean square."""

# Neutral: a bundle is passed on, and what it was trained on may be private.
_SELF_TEST = SelfTest(
    "src/Counter.java",
    """/** Counts words. */
class Counter {
    private int total = 0;

    public void add(String word) {
        if (word != null) {
            total = total + 1;
        }
    }

    public int total() {
        return total;
    }
}
""",
    {},
)

Say = Callable[[str], None]


@dataclass(frozen=True)
class Identity:
    """What a bundle is called and tells of its making."""

    name: str
    language: str
    parameters: int
    training: dict[str, Any]


def make_bundle(
    network: Network,
    ngrams: Ngrams,
    identity: Identity,
    held_out: Sequence[SourceFile],
    say: Say = lambda text: None,
    pointer: Pointer | None = None,
) -> Bundle:
    """Exports, checks and measures a network; `pointer` is what goes with it.

    Raises TrainingError if the exported network disagrees with torch's.
    """
    draft = _draft(network, ngrams, identity, pointer)
    runtime = Runtime(draft, self_test=False)
    say("comparing the exported network with torch")
    difference = check_agreement(network, ngrams, runtime, held_out[0])
    measured = sample(held_out, SAMPLE_CHARACTERS)
    quality: dict[str, Any] = {
        "held_out": _sample_facts(held_out, measured),
        "export": {
            "max_log_prob_difference": difference,
            "tolerance": TOLERANCE,
            "characters": min(AGREEMENT_CHARACTERS, len(held_out[0].text)),
        },
    }
    bpc: dict[str, float] = {}
    for precision in draft.precisions:
        say(f"measuring {precision}")
        bpc[precision] = _bpc(Runtime(draft, precision, self_test=False), measured)
    ships = "int8" in bpc and bpc["int8"] - bpc["fp32"] < INT8_LOSS
    quality |= {"bpc": bpc, "int8_shipped": ships, "int8_limit_bpc": INT8_LOSS}
    return _finished(draft, quality, ["fp32", "int8"] if ships else ["fp32"])


def with_pointer(
    bundle: Bundle,
    learn: Callable[[Runtime], Learned],
    facts: Mapping[str, Any],
) -> Bundle:
    """The bundle with what points at the words before, which `learn` makes for its network;
    `facts` say what it was learned from. Raises TrainingError if that gains nothing."""
    weights = load_weights(bundle.files[WEIGHTS])
    networks = _networks(bundle.description.architecture, weights, bundle.ngrams())
    shown = {NETWORKS[precision]: networks[NETWORKS[precision]] for precision in bundle.precisions}
    draft = replace(bundle, files={**bundle.files, **shown})
    learned = learn(Runtime(draft, draft.choose_precision(), self_test=False))
    if learned.bits >= learned.bits_before:
        raise TrainingError(
            f"with what was learned a word takes {learned.bits:.3f} bits, and by the network alone"
            f" {learned.bits_before:.3f}; more files may be needed"
        )
    files = {**draft.files, POINTER: pointer_file(learned.pointer)}
    measured = {
        "words": learned.words,
        "bits_per_word": {"network": learned.bits_before, "with_pointer": learned.bits},
    }
    description = bundle.description
    description = replace(
        description,
        version=_version(files[WEIGHTS], bundle.ngrams(), files[POINTER]),
        training={**description.training, "pointer": dict(facts)},
    )
    # How it compared with its base was measured with another pointer.
    known = {name: found for name, found in description.quality.items() if name != "comparison"}
    quality = {**known, "pointer": measured}
    return _finished(Bundle(description, files), quality, bundle.precisions)


def keeping_pointer(bundle: Bundle, files: Sequence[SourceFile], say: Say) -> Bundle:
    """The bundle with its pointer, or without one where files, read with their own memory, take
    fewer bits so: it is the base's, and what it was learned for may have changed too much."""
    known = {name: data for name, data in bundle.files.items() if name != POINTER}
    version = _version(known[WEIGHTS], bundle.ngrams(), b"")
    bare = Bundle(replace(bundle.description, version=version), known)
    measured = sample(files, POINTED_CHARACTERS)
    say("trying the base's pointer")
    if _bpc(_served(bundle), measured, "file") <= _bpc(_served(bare), measured, "file"):
        return bundle
    say("left out is the base's pointer at the words before: the network has changed too much")
    return bare


def _served(bundle: Bundle) -> Runtime:
    return Runtime(bundle, bundle.choose_precision(), self_test=False)


def _networks(architecture: Architecture, weights: Weights, ngrams: Ngrams) -> dict[str, bytes]:
    """In all precisions that there can be."""
    networks = {NETWORKS["fp32"]: to_onnx(architecture, weights)}
    if architecture.cell in CELLS:
        bound = EMBEDDED * _embedded(architecture, weights, ngrams)
        networks[NETWORKS["int8"]] = to_int8(architecture, weights, bound)
    return networks


def _draft(network: Network, ngrams: Ngrams, identity: Identity, pointer: Pointer | None) -> Bundle:
    """A bundle with all files, whose description lacks what must be measured first."""
    weights = {name: w.detach().cpu().numpy() for name, w in network.state_dict().items()}
    architecture = network.architecture
    files = {**_networks(architecture, weights, ngrams), WEIGHTS: save_weights(weights)}
    if architecture.orders:
        files[NGRAMS] = ngrams_file(ngrams)
    if pointer is not None:
        files[POINTER] = pointer_file(pointer)
    description = Description(
        name=identity.name,
        version=_version(files[WEIGHTS], ngrams, files.get(POINTER, b"")),
        language=identity.language,
        architecture=architecture,
        parameters=identity.parameters,
        training=identity.training,
        quality={},
        self_test=_SELF_TEST,
    )
    return Bundle(description, files)


def _embedded(architecture: Architecture, weights: Weights, ngrams: Ngrams) -> float:
    """The root mean square of what is embedded of a text that is read with its own memory."""
    symbols = alphabet.encode_file(_SELF_TEST.path, _SELF_TEST.text.encode())
    own = _own_memory(architecture, symbols)
    context = inputs.initial_context(architecture, 1)
    rows, _ = inputs.encode(architecture, ngrams, context, symbols[:, None], own)
    embedded = weights["embedding.weight"][rows].sum(axis=-2)
    return float(np.sqrt(np.square(embedded).mean()))


def _own_memory(architecture: Architecture, symbols: Symbols) -> Memories:
    """What a text's own memory answers."""
    return Memories(file=Answers(answers(memory_orders(architecture), symbols)[:, None]))


def _version(weights: bytes, ngrams: Ngrams, pointer: bytes) -> str:
    learned = hashlib.sha256(weights)
    learned.update(pointer)
    learned.update(ngrams.contexts.tobytes())
    learned.update(ngrams.predictions.tobytes())
    return learned.hexdigest()[:12]


def check_agreement(network: Network, ngrams: Ngrams, runtime: Runtime, file: SourceFile) -> float:
    """The largest difference of any log-probability on the start of a file, which torch reads
    at once and the exported network symbol by symbol, both with the file's own memory. Raises
    TrainingError above TOLERANCE."""
    text = file.text[:AGREEMENT_CHARACTERS]
    symbols = alphabet.encode_file(file.path, text)[:-1, None]
    context = inputs.initial_context(network.architecture, 1)
    own = _own_memory(network.architecture, symbols[:, 0])
    rows, _ = inputs.encode(network.architecture, ngrams, context, symbols, own)
    network = network.cpu().eval()
    with torch.no_grad():
        logits, _ = network(torch.from_numpy(rows), network.initial_state(1))
    expected = torch.log_softmax(logits, dim=-1).numpy()
    memory = TextMemory(memory_orders(network.architecture), symbols[:, 0])
    state = runtime.initial_state()
    difference = 0.0
    for step, symbol in enumerate(symbols):
        known = Memories(file=memory.along(step, step + 1))
        run = runtime.run(symbol[None], state, known)
        state = run.state
        difference = max(difference, float(np.abs(run.log_probs[0] - expected[step]).max()))
    if not difference <= TOLERANCE:
        raise TrainingError(
            f"the exported network differs from the trained one by {difference:.2g} nats on"
            f" {file.path}, more than {TOLERANCE:.0e}; please report this"
        )
    return difference


def _sample_facts(held_out: Sequence[SourceFile], measured: Sequence[SourceFile]) -> dict[str, int]:
    return {
        "files": len(held_out),
        "characters": sum(len(file.text) for file in held_out),
        "measured_files": len(measured),
        "measured_characters": sum(len(file.text) for file in measured),
    }


def _bpc(runtime: Runtime, files: Sequence[SourceFile], setting: Setting = "none") -> float:
    return bits_per_character(measure(runtime, files, setting))


def _finished(draft: Bundle, quality: dict[str, Any], precisions: list[Precision]) -> Bundle:
    """The bundle with the answers of its self-test, which it then passes."""
    unwanted = {name for p, name in NETWORKS.items() if p not in precisions}
    test = draft.description.self_test
    bits = {
        p: float(Runtime(draft, p, self_test=False).score(test.path, test.text.encode()).mean())
        for p in precisions
    }
    bundle = Bundle(
        replace(draft.description, quality=quality, self_test=replace(test, bits=bits)),
        {name: data for name, data in draft.files.items() if name not in unwanted},
    )
    for precision in precisions:
        Runtime(bundle, precision)
    return bundle
