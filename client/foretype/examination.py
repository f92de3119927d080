"""`foretype doctor`: does everything work here, and how fast?"""

from __future__ import annotations

import json
import platform
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING

from rich.console import Console

from foretype.client import Client, Document, ForetypeError

if TYPE_CHECKING:
    from foretype_models.bundle import Bundle
    from foretype_models.runtime import Runtime

_EXAMPLE = (
    "package org.example;\n\n/**\n * Counts words.\n */\npublic class WordCount {\n\n"
    "    private final String text;\n\n    public WordCount(final String text) {\n        this."
)
_KEYS = "text = text;"


class NotWell(ForetypeError):
    """Something does not work here."""

    exit_code = 1


@dataclass(frozen=True)
class Finding:
    """What one check saw."""

    check: str
    ok: bool
    seen: str


def run(model: str, as_json: bool) -> None:
    """Prints what was found. Raises NotWell if anything is wrong."""
    findings = _examine(model)
    if as_json:
        print(json.dumps({"findings": [asdict(f) for f in findings]}, indent=2))
    else:
        console = Console(highlight=False)
        for finding in findings:
            mark = "[green]ok  [/]" if finding.ok else "[red]FAIL[/]"
            console.print(f"{mark} {finding.check}: {finding.seen}")
    wrong = [finding.check for finding in findings if not finding.ok]
    if wrong:
        raise NotWell(f"not everything works: {', '.join(wrong)}")


def _examine(model: str) -> list[Finding]:
    findings = [
        _check("machine", _machine),
        _check("packages", _packages),
        _check("training", _training),
        _check("model", lambda: _model(model)),
    ]
    if findings[-1].ok:
        findings.append(_check("precision", lambda: _precision(model)))
        findings.append(_check("engine", lambda: _engine(model)))
    return findings


def _check(name: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, look())
    except Exception as error:  # whatever is wrong is what the user wants to know
        return Finding(name, False, str(error) or type(error).__name__)


def _machine() -> str:
    return f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"


def _packages() -> str:
    names = ("foretype", "grpcio", "numpy", "onnxruntime", "protobuf", "pygls")
    return ", ".join(f"{name} {metadata.version(name)}" for name in names)


def _training() -> str:
    try:
        return f"torch {metadata.version('torch')}"
    except metadata.PackageNotFoundError:
        return "not installed; to train, run `pip install '.[train]'` where Foretype was cloned"


@cache
def _loaded(model: str) -> tuple[Bundle, dict[str, Runtime]]:
    """The model, and what runs it in each precision, once that has passed its self-test."""
    from foretype_models import registry
    from foretype_models.runtime import Runtime

    bundle = registry.load(model)
    return bundle, {precision: Runtime(bundle, precision) for precision in bundle.precisions}


def _model(model: str) -> str:
    bundle, tested = _loaded(model)
    description = bundle.description
    return (
        f"{description.name} {description.version}, {description.parameters:,} parameters;"
        f" hashes and self-test right in {' and '.join(tested)}"
    )


def _precision(model: str) -> str:
    """Which network is used, and why: what each costs."""
    from foretype_models.bundle import SMALL_LOSS

    bundle, runtimes = _loaded(model)
    chosen = bundle.choose_precision()
    took = {precision: _step(runtime) for precision, runtime in runtimes.items()}
    steps = ", ".join(f"{p} {milliseconds:.2f} ms" for p, milliseconds in took.items())
    if "int8" not in took:
        return f"fp32 is used: the model has no int8 network; a step takes {steps}"
    loss = f"{bundle.int8_loss:.4f} bits per character, where less than {SMALL_LOSS} may be lost"
    fastest = min(took, key=lambda p: took[p])
    hint = "" if fastest == chosen else f"; serve --precision {fastest} is faster here"
    return f"{chosen} is used: int8 loses {loss}; a step of the network takes {steps}{hint}"


def _step(runtime: Runtime) -> float:
    """The milliseconds of a byte, the median of some."""
    import numpy as np

    byte, state, times = np.array([[ord("a")]]), runtime.initial_state(), list[float]()
    for _ in range(60):
        began = time.perf_counter()
        state = runtime.run(byte, state).state
        times.append(time.perf_counter() - began)
    return sorted(times)[len(times) // 2] * 1e3


def _engine(model: str) -> str:
    """Types a few characters as an editor would, through gRPC, and times each."""
    from foretype_server import serving

    began = time.perf_counter()
    with serving.embedded(model) as address, Client(address) as client:
        client.complete(Document(path="WordCount.java", prefix=_EXAMPLE))
        first = time.perf_counter() - began
        times: list[float] = []
        for typed in range(1, len(_KEYS)):
            sent = time.perf_counter()
            client.complete(Document(path="WordCount.java", prefix=_EXAMPLE + _KEYS[:typed]))
            times.append(time.perf_counter() - sent)
    times.sort()
    return (
        f"first suggestion {first * 1e3:.0f} ms after the start; then per keystroke"
        f" {times[len(times) // 2] * 1e3:.1f} ms (median of {len(times)}), at most"
        f" {times[-1] * 1e3:.1f} ms; {_resident_mebibytes():.0f} MiB at most in this process"
    )


def _resident_mebibytes() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
