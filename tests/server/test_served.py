"""A server answers with one model, then with another, and nobody who asks meanwhile loses."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Generator, Iterable
from pathlib import Path

import grpc
import pytest

from foretype.client import AsyncClient, Client, Document, ForetypeError, InvalidRequest
from foretype.v1 import completion_pb2 as pb
from foretype_models import registry
from foretype_models.runtime import Runtime
from foretype_server.compute import THREADS
from foretype_server.documents import Document as Given
from foretype_server.documents import Timings
from foretype_server.engine import Engine
from foretype_server.errors import NotReady
from foretype_server.served import Served
from tests.conftest import FORETYPE, Serving

PATH = "src/main/java/org/example/zoo/Gorilla0.java"
TEXT = """package org.example.zoo;

/**
 * A Gorilla0 that lives in the zoo.
 */
public class Gorilla0 {

    private final String habitat;
"""
KNOWN = {"Zoo.java": 40 * "quokkaWombat.platypusEchidna();\n"}
ASKED = [
    *(Document(path=PATH, workspace="w", prefix=TEXT[:end]) for end in range(20, len(TEXT), 9)),
    Document(path="Own.java", workspace="w", prefix="quokkaWombat."),
]
Texts = list[tuple[str, float]]


@pytest.fixture
def installed(
    tiny_model: Path, other_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Two models have names; their folder."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    folder = tmp_path / "data" / "foretype" / "models"
    for model in (tiny_model, other_model):
        shutil.copytree(model, folder / json.loads((model / "model.json").read_text())["name"])
    return folder


@pytest.fixture
def client(installed: Path, serving: Serving, tmp_path: Path) -> Generator[Client]:
    """Of a server that answers with `tiny`."""
    with serving(Path("tiny"), f"unix:{tmp_path}/s") as address, Client(address) as client:
        client.wait_until_serving()
        yield client


def _texts(response: pb.CompleteResponse) -> Texts:
    return [(candidate.text, candidate.log_prob) for candidate in response.candidates]


def _streamed(responses: Iterable[pb.StreamResponse]) -> str:
    return "".join(response.character.text for response in responses)


def _alone(serving: Serving, model: Path, listen: str) -> tuple[dict[int, Texts], str]:
    """What a server answers that never had another model, and streams for the first."""
    with serving(model, listen) as address, Client(address) as client:
        client.wait_until_serving()
        client.remember("w", KNOWN)
        answers = {number: _texts(client.complete(asked)) for number, asked in enumerate(ASKED)}
        return answers, _streamed(client.stream(ASKED[0]))


@pytest.mark.e2e
async def test_models_follow_each_other_and_every_answer_is_that_of_one_of_them(
    client: Client, serving: Serving, tiny_model: Path, other_model: Path, tmp_path: Path
) -> None:
    right = {
        "tiny": _alone(serving, tiny_model, f"unix:{tmp_path}/tiny"),
        "other": _alone(serving, other_model, f"unix:{tmp_path}/other"),
    }
    client.remember("w", KNOWN)
    async with AsyncClient(client.address, timeout=60) as asking:
        over = asyncio.Event()
        served = ["tiny"]  # and "" while another one is being loaded
        answered: list[str] = []

        async def ask(first: int) -> None:
            number = first
            while not over.is_set():
                sent = len(served)
                response = await asking.complete(ASKED[number])
                assert _texts(response) == right[response.model.name][0][number]
                if sent == len(served) and served[-1]:
                    assert response.model.name == served[-1]
                    answered.append(response.model.name)
                number = (number + 1) % len(ASKED)

        async def stream() -> None:
            while not over.is_set():
                responses = [item async for item in asking.stream(ASKED[0])]
                assert _streamed(responses) == right[responses[-1].end.model.name][1]

        async with asyncio.TaskGroup() as group:
            for first in range(4):
                group.create_task(ask(first))
            group.create_task(stream())
            for name, before in 3 * [("other", "tiny"), ("tiny", "other")]:
                served.append("")
                loaded = await asking.load(name)
                served.append(name)
                assert (loaded.model.name, loaded.before.name) == (name, before)
                assert loaded.model.serving
                seen = len(answered)
                while len(answered) < seen + 8:
                    await asyncio.sleep(0.01)
            over.set()
    assert {"tiny", "other"} == set(answered)


@pytest.mark.e2e
def test_what_a_workspace_remembers_stays(client: Client) -> None:
    client.load("other")
    before = client.remember("w", KNOWN)
    client.load("tiny")
    after = client.workspace_memory("w")
    assert (after.documents, after.text_bytes) == (before.documents, before.text_bytes)
    assert after.contexts not in (0, before.contexts)  # of other lengths
    [candidate] = client.complete(ASKED[-1]).candidates
    assert candidate.text.startswith("platypus")
    assert client.forget("w", list(KNOWN)).documents == 0


@pytest.mark.e2e
def test_the_list_says_which_one_serves(client: Client) -> None:
    assert _serving_of(client) == {"java": False, "other": False, "tiny": True}
    client.load("other")
    assert _serving_of(client) == {"java": False, "other": True, "tiny": False}
    assert client.model("other").serving


def _serving_of(client: Client) -> dict[str, bool]:
    return {model.name: model.serving for model in client.models()}


@pytest.mark.e2e
def test_one_that_is_not_there_or_cannot_be_used_changes_nothing(
    client: Client, installed: Path
) -> None:
    answer = client.complete(ASKED[0])
    with pytest.raises(InvalidRequest, match="there is no model 'nonesuch'"):
        client.load("nonesuch")
    with pytest.raises(InvalidRequest, match=r"there is no model '.*tiny'"):  # no path
        client.load(str(installed / "tiny"))
    model_json = installed / "other" / "model.json"
    description = json.loads(model_json.read_text())
    description["self_test"]["bits"]["int8"] += 1
    model_json.write_text(json.dumps(description))
    with pytest.raises(ForetypeError, match="'other' fails its self-test") as refused:
        client.load("other")
    assert isinstance(refused.value.__cause__, grpc.RpcError)
    assert refused.value.__cause__.code() == grpc.StatusCode.FAILED_PRECONDITION
    (installed / "other" / "network.onnx").write_bytes(b"")
    with pytest.raises(ForetypeError, match=r"network\.onnx is not the file"):
        client.load("other")
    again = client.complete(ASKED[0])
    assert (again.model, again.candidates) == (answer.model, answer.candidates)


@pytest.mark.e2e
def test_the_model_that_a_server_began_with_comes_back_though_it_has_no_name(
    serving: Serving, other_model: Path, tmp_path: Path, installed: Path
) -> None:
    shutil.rmtree(installed / "other")
    with serving(other_model, f"unix:{tmp_path}/s") as address, Client(address) as client:
        client.wait_until_serving()
        client.load("tiny")
        assert _serving_of(client) == {"java": False, "other": False, "tiny": True}
        assert client.load("other").model.serving


@pytest.mark.e2e
def test_loading_can_be_switched_off(installed: Path, tmp_path: Path) -> None:
    command = [*FORETYPE, "serve", "--model", "tiny", "--listen", f"unix:{tmp_path}/s"]
    with (
        subprocess.Popen([*command, "--no-load"], stdout=subprocess.DEVNULL) as process,
        Client(f"unix:{tmp_path}/s") as client,
    ):
        client.wait_until_serving()
        with pytest.raises(ForetypeError, match="told to load no other model") as refused:
            client.load("other")
        assert isinstance(refused.value.__cause__, grpc.RpcError)
        assert refused.value.__cause__.code() == grpc.StatusCode.UNIMPLEMENTED
        assert _serving_of(client)["tiny"]
        process.terminate()


GIVEN = Given("", PATH, b"public cl", b"")


@pytest.fixture
def other(other_model: Path) -> Callable[[], Runtime]:
    opened = registry.load(str(other_model))
    return lambda: Runtime(opened)


async def test_a_request_that_was_begun_ends_with_its_model_which_is_closed_then(
    runtime: Runtime, other: Callable[[], Runtime]
) -> None:
    computing = [thread.name for thread in threading.enumerate()].count("compute")
    first = Engine(runtime)
    served = Served(first)
    with served.engine() as engine:
        following = await served.load(other)
        assert served.current is following
        assert engine is first
        assert await first.predict(GIVEN, 1, Timings())
    with served.engine() as engine:
        assert engine is following
        assert await engine.predict(GIVEN, 1, Timings())
    await served.load(lambda: runtime)  # which waits until the first one is closed
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("compute") <= computing + 2 * THREADS
    await served.close()


async def test_one_load_at_a_time_and_what_was_begun_is_carried_through(
    runtime: Runtime, other: Callable[[], Runtime]
) -> None:
    served, may_come = Served(Engine(runtime)), threading.Event()

    def slow() -> Runtime:
        may_come.wait()
        return other()

    loading = asyncio.create_task(served.load(slow))
    await asyncio.sleep(0)
    with pytest.raises(NotReady, match="another model is being loaded"):
        await served.load(other)
    assert await served.current.predict(GIVEN, 1, Timings())  # it serves meanwhile
    loading.cancel()
    may_come.set()
    await served.close()
    assert served.current.model.name == "other"
