"""The server as a client sees it: a real process, a real channel, both kinds of address."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from foretype.client import (
    AsyncClient,
    Client,
    DeadlineExceeded,
    Document,
    InvalidRequest,
    Limits,
    Unavailable,
)
from foretype.v1 import completion_pb2 as pb
from tests.conftest import FORETYPE, Serving

pytestmark = pytest.mark.e2e

PATH = "src/main/java/org/example/zoo/Gorilla0.java"
PREFIX = "package org.example.zoo;\n\nimport java.util.List;\n\n/**\n * A Gorilla0 that lives"
DOCUMENT = Document(path=PATH, prefix=PREFIX, language="java")


@pytest.fixture(params=["unix", "tcp"])
def listen(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"unix:{tmp_path}/s" if request.param == "unix" else "127.0.0.1:0"


def test_it_completes_over_a_socket_and_over_tcp(
    serving: Serving, tiny_model: Path, listen: str
) -> None:
    with serving(tiny_model, listen) as address, Client(address) as client:
        client.wait_until_serving()
        response = client.complete(DOCUMENT)
        [candidate] = response.candidates
        assert candidate.text == " in the zoo."
        assert candidate.stop == pb.STOP_BOUNDARY
        assert len(candidate.confidences) == len(candidate.text)
        assert response.model.name == "tiny"
        *characters, end = client.stream(DOCUMENT)
        assert "".join(item.character.text for item in characters) == candidate.text
        assert end.end.stop == pb.STOP_BOUNDARY


def test_a_socket_is_its_owners_alone(serving: Serving, tiny_model: Path, tmp_path: Path) -> None:
    with serving(tiny_model, f"unix:{tmp_path}/s"):
        assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600


def test_predictions_and_scores(client: Client) -> None:
    predictions = client.predict(DOCUMENT, top=3).predictions
    assert predictions[0].text == " "
    assert predictions[0].probability > 0.5
    text = "class A {\n}\n"
    scores = client.score(PATH, text).characters
    assert "".join(score.text for score in scores) == text
    assert all(score.bits >= 0 for score in scores)


def test_models_are_listed_and_found_by_name(client: Client) -> None:
    served = [model for model in client.models() if model.serving]
    assert [model.name for model in served] == ["tiny"]
    assert client.model("tiny") == served[0]
    with pytest.raises(InvalidRequest, match="there is no model 'nonesuch'"):
        client.model("nonesuch")


async def test_the_asynchronous_client_says_the_same(server_address: str, client: Client) -> None:
    async with AsyncClient(server_address) as other:
        await other.wait_until_serving()
        found = await other.complete(DOCUMENT)
        assert found.candidates == client.complete(DOCUMENT).candidates
        text = "".join([item.character.text async for item in other.stream(DOCUMENT)])
        assert text == found.candidates[0].text
        assert (await other.predict(DOCUMENT)).predictions[0].text == " "
        assert len((await other.score(PATH, "abc")).characters) == 3
        assert await other.model("tiny") in await other.models()


async def test_many_requests_at_once_each_get_their_own_answer(server_address: str) -> None:
    documents = [Document(path=PATH, prefix=PREFIX[:length]) for length in range(20, 60)]
    async with AsyncClient(server_address) as client:
        alone = [await client.complete(document) for document in documents]
        together = await asyncio.gather(*map(client.complete, documents))
    assert [r.candidates for r in together] == [r.candidates for r in alone]


@pytest.mark.parametrize(
    ("document", "limits", "message"),
    [
        (Document(path="x" * 1025), Limits(), "path has 1025 bytes; at most 1024 are allowed"),
        (
            Document(prefix="x" * (4 * 2**20 + 1)),
            Limits(),
            "prefix has 4194305 bytes; at most 4194304 are allowed",
        ),
        (Document(), Limits(candidates=11), "candidates must be at most 10, not 11"),
        (Document(), Limits(length=2001), "length must be at most 2000, not 2001"),
        (Document(), Limits(confidence=1.5), "confidence must be from 0 to 1, not 1.5"),
        (Document(), Limits(confidence=float("nan")), "confidence must be from 0 to 1, not nan"),
        (Document(), Limits(until=cast(Any, 9)), "until must be one of the named boundaries"),
    ],
)
def test_a_request_that_breaks_a_limit_is_told_which(
    client: Client, document: Document, limits: Limits, message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message):
        client.complete(document, limits)


def test_a_long_prefix_is_read_in_the_background_and_the_answer_says_so(client: Client) -> None:
    long = Document(path="Long.java", prefix="int x = 0;\n" * 2_000 + PREFIX)
    near = client.complete(long)
    assert near.context_bytes == near.timings.read_bytes < len(long.prefix)
    alone = Document(path=long.path, prefix=long.prefix[-near.context_bytes :])
    assert client.complete(alone).candidates == near.candidates
    whole = client.complete(long, Limits(whole_prefix=True))
    assert whole.context_bytes == len(long.prefix)
    *_, end = client.stream(long)
    assert end.end.context_bytes == len(long.prefix)
    assert client.complete(long).candidates == whole.candidates


def test_a_file_that_was_opened_is_read_before_anybody_asks(client: Client) -> None:
    opened = Document(path="Opened.java", prefix="int x = 0;\n" * 500 + PREFIX)
    assert client.read(opened).left_bytes == len(opened.prefix)
    while client.read(opened).left_bytes:
        time.sleep(0.05)
    typed = Document(path=opened.path, prefix=opened.prefix[:4000] + "int")
    answer = client.complete(typed)
    assert answer.context_bytes == len(typed.prefix)
    assert answer.timings.read_bytes <= 256 + len("int")


def test_a_stream_takes_one_candidate(client: Client) -> None:
    with pytest.raises(InvalidRequest, match="candidates must be at most 1, not 2"):
        next(client.stream(DOCUMENT, Limits(candidates=2)))


def test_a_deadline_ends_the_work(client: Client) -> None:
    long = Document(path=PATH, prefix="int x = 0;\n" * 200_000)
    with pytest.raises(DeadlineExceeded):
        client.complete(long, Limits(whole_prefix=True), timeout=0.3)
    client.complete(DOCUMENT, timeout=20)  # reading the rest of it would take longer


def test_a_stream_that_is_closed_ends_the_work(client: Client) -> None:
    for _ in range(70):  # more than may be under way at a time
        stream = client.stream(DOCUMENT, Limits(until=pb.BOUNDARY_BLOCK, length=2000))
        next(stream)
        cast(Any, stream).close()
    assert client.complete(DOCUMENT).candidates


def test_the_empty_document_is_a_document(client: Client) -> None:
    [candidate] = client.complete(Document()).candidates
    assert candidate.text


def test_health_and_reflection(server_address: str, client: Client) -> None:
    with grpc.insecure_channel(server_address) as channel:
        check: Any = cast(Any, health_pb2_grpc.HealthStub)(channel).Check
        for service in ("", "foretype.v1.Completion", "foretype.v1.Models"):
            status = check(health_pb2.HealthCheckRequest(service=service)).status
            assert status == health_pb2.HealthCheckResponse.SERVING
        stub = cast(Any, reflection_pb2_grpc.ServerReflectionStub)(channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        [answer] = stub.ServerReflectionInfo(iter([request]))
        names = {service.name for service in answer.list_services_response.service}
    assert {"foretype.v1.Completion", "foretype.v1.Models", "grpc.health.v1.Health"} <= names


Started = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tiny_model: Path) -> Started:
    def start(*options: str, **settings: Any) -> subprocess.Popen[str]:
        command = [*FORETYPE, "serve", "--model", str(tiny_model), *options]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **settings
        )

    return start


def _line(pipe: IO[str] | None) -> str:
    assert pipe is not None
    return pipe.readline()


def test_reflection_can_be_switched_off(start: Started, tmp_path: Path) -> None:
    with start("--listen", f"unix:{tmp_path}/s", "--no-reflection") as process:
        assert "serving tiny" in _line(process.stdout)
        with grpc.insecure_channel(f"unix:{tmp_path}/s") as channel:
            stub = cast(Any, reflection_pb2_grpc.ServerReflectionStub)(channel)
            request = reflection_pb2.ServerReflectionRequest(list_services="")
            with pytest.raises(grpc.RpcError) as refused:
                list(stub.ServerReflectionInfo(iter([request])))
            assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED
        process.terminate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(start: Started, tmp_path: Path, number: signal.Signals) -> None:
    with start("--listen", f"unix:{tmp_path}/s") as process:
        _line(process.stdout)
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Traceback" not in errors


def test_it_ends_with_the_process_that_started_it(start: Started, tmp_path: Path) -> None:
    options = ("--listen", f"unix:{tmp_path}/s", "--until-stdin-closes")
    with start(*options, stdin=subprocess.PIPE) as process:
        _line(process.stdout)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=30) == 0


def _refusal(process: subprocess.Popen[str]) -> str:
    """What a server says that cannot start."""
    with process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert errors.count("\n") == 1
    return errors


def test_it_refuses_addresses_that_others_can_reach(start: Started) -> None:
    assert "anybody on the network could read your code" in _refusal(start("--listen", "0.0.0.0:0"))


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:99999", "127.0.0.1:x"])
def test_it_says_what_an_address_looks_like(start: Started, address: str) -> None:
    assert "give unix:PATH or HOST:PORT" in _refusal(start("--listen", address))


def test_it_never_takes_anothers_place(
    start: Started, serving: Serving, tiny_model: Path, tmp_path: Path
) -> None:
    with serving(tiny_model, f"unix:{tmp_path}/s") as address:
        assert "another server does" in _refusal(start("--listen", address))
    file = tmp_path / "file"
    file.write_text("kept")
    assert "there is a file of that name" in _refusal(start("--listen", f"unix:{file}"))
    assert file.read_text() == "kept"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert "is the port in use?" in _refusal(start("--listen", f"127.0.0.1:{port}"))


def test_a_socket_left_by_a_killed_server_is_taken_over(
    start: Started, serving: Serving, tiny_model: Path, tmp_path: Path
) -> None:
    with start("--listen", f"unix:{tmp_path}/s") as process:
        _line(process.stdout)
        process.kill()
    assert (tmp_path / "s").exists()
    with serving(tiny_model, f"unix:{tmp_path}/s") as address, Client(address) as client:
        client.wait_until_serving()


def test_a_client_says_that_nobody_answers(tmp_path: Path) -> None:
    with Client(f"unix:{tmp_path}/none") as client, pytest.raises(Unavailable, match="no Foretype"):
        client.complete(DOCUMENT, timeout=10)


def test_an_idle_server_uses_no_processor_time(start: Started, tmp_path: Path) -> None:
    with start("--listen", f"unix:{tmp_path}/s") as process:
        _line(process.stdout)
        with Client(f"unix:{tmp_path}/s") as client:
            client.complete(DOCUMENT)
        before = _ticks(process.pid)
        threading.Event().wait(2)
        assert _ticks(process.pid) - before <= 0.05 * 2 * os.sysconf("SC_CLK_TCK")
        process.terminate()


def _ticks(pid: int) -> int:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_a_workspace_remembers_and_forgets(client: Client) -> None:
    known = 40 * "quokkaWombat.platypusEchidna();\n"
    document = Document(path="Own.java", workspace="memory", prefix="quokkaWombat.")

    def completed() -> str:
        return "".join(candidate.text for candidate in client.complete(document).candidates)

    before = completed()
    memory = client.remember("memory", {"Zoo.java": known, "Ant.java": "class Ant {}"})
    length = len("Zoo.java" + known) + len("Ant.java" + "class Ant {}")
    assert (memory.documents, memory.text_bytes) == (2, length)
    assert memory.is_read
    assert memory.contexts
    assert completed().startswith("platypus")
    assert not before.startswith("platypus")
    assert client.workspace_memory("other").documents == 0
    assert client.forget("memory", ["Zoo.java"]).documents == 1
    assert completed() == before
    assert client.forget("memory") == client.workspace_memory("memory")
    assert client.workspace_memory("memory").documents == 0


def test_many_texts_are_remembered_in_several_requests(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foretype.client._MAX_REQUEST", 100)
    texts = {f"{number}.java": "class A {}" for number in range(30)}
    assert client.remember("many", texts).documents == 30

    async def asynchronously() -> int:
        async with AsyncClient(client.address) as other:
            await other.remember("many", {"new.java": "class B {}"})
            await other.forget("many", ["0.java"])
            return (await other.workspace_memory("many")).documents

    assert asyncio.run(asynchronously()) == 30


def test_what_is_too_large_to_remember_is_refused(client: Client) -> None:
    with pytest.raises(InvalidRequest, match=r"text of A\.java has 1048577 bytes; at most 1048576"):
        client.remember("large", {"A.java": "x" * (2**20 + 1)})
    with pytest.raises(InvalidRequest, match="workspace has 1025 bytes; at most 1024"):
        client.workspace_memory("x" * 1025)
    with pytest.raises(InvalidRequest, match="workspace must be named"):
        client.remember("", {"A.java": "class A {}"})
