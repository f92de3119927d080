"""What a server counts, read as Prometheus reads it."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Generator
from pathlib import Path
from urllib.request import urlopen

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from foretype.client import Client, Document, InvalidRequest, Limits
from tests.conftest import FORETYPE
from tests.server.work import give_up

pytestmark = pytest.mark.e2e

DOCUMENT = Document(
    path="src/main/java/org/example/zoo/Gorilla0.java",
    workspace="secret-workspace",
    prefix="package org.example.zoo;\n\n/**\n * A Gorilla0 that lives",
)
COMPLETE = {
    "grpc_type": "unary",
    "grpc_service": "foretype.v1.Completion",
    "grpc_method": "Complete",
}
STREAM = COMPLETE | {"grpc_type": "server_stream", "grpc_method": "Stream"}


@pytest.fixture
def counted(tiny_model: Path, tmp_path: Path) -> Generator[tuple[Client, str]]:
    """A client, and where the metrics are."""
    listen = f"unix:{tmp_path}/s"
    command = [*FORETYPE, "serve", "--model", tiny_model, "--listen", listen]
    with subprocess.Popen(
        [*command, "--metrics", "127.0.0.1:0"], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        found = re.search(r"http://127\.0\.0\.1:\d+/metrics", process.stderr.readline())
        assert found
        with Client(listen) as client:
            client.wait_until_serving()
            yield client, found[0]
        process.terminate()


def _metrics(url: str) -> tuple[str, dict[str, list[tuple[dict[str, str], float]]]]:
    """The text, and in it by name labels and values."""
    with urlopen(url) as response:
        text = response.read().decode()
    samples: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            samples.setdefault(sample.name, []).append((sample.labels, sample.value))
    return text, samples


def test_calls_and_the_engines_work_are_counted_and_no_text_is_told(
    counted: tuple[Client, str],
) -> None:
    client, url = counted
    client.complete(DOCUMENT)
    client.complete(DOCUMENT)
    sent = len(list(client.stream(DOCUMENT)))
    with pytest.raises(InvalidRequest):
        client.complete(DOCUMENT, Limits(confidence=2))
    text, samples = _metrics(url)
    assert (COMPLETE, 3) in samples["grpc_server_started_total"]
    assert (COMPLETE | {"grpc_code": "OK"}, 2) in samples["grpc_server_handled_total"]
    assert (COMPLETE | {"grpc_code": "INVALID_ARGUMENT"}, 1) in samples["grpc_server_handled_total"]
    assert (COMPLETE, 2) in samples["grpc_server_msg_sent_total"]
    assert (STREAM, sent) in samples["grpc_server_msg_sent_total"]
    assert (COMPLETE, 3) in samples["grpc_server_handling_seconds_count"]
    length = len(DOCUMENT.prefix)
    assert ({"how": "read"}, length) in samples["foretype_prefix_bytes_total"]
    assert ({"how": "known"}, 2 * length) in samples["foretype_prefix_bytes_total"]
    [(_, searches)] = samples["foretype_search_runs_count"]
    assert searches == 3
    [(_, steps)] = samples["foretype_steps_total"]
    assert steps > length
    [(_, snapshots)] = samples["foretype_snapshot_bytes"]
    assert snapshots > 1000
    assert samples["foretype_requests"] == [({}, 0)]
    for secret in ("secret", "Gorilla", "zoo"):
        assert secret not in text


def test_what_the_engine_holds_is_told_of_the_one_that_serves(counted: tuple[Client, str]) -> None:
    client, url = counted

    def held() -> float:
        return _metrics(url)[1]["foretype_snapshot_bytes"][0][1]

    client.complete(DOCUMENT)
    assert held() > 1000
    client.load("tiny")
    assert held() == 0
    client.complete(DOCUMENT)
    assert held() > 1000


def test_a_call_that_is_given_up_is_counted_as_such(counted: tuple[Client, str]) -> None:
    client, url = counted
    give_up(client.address)
    given_up = (COMPLETE | {"grpc_code": grpc.StatusCode.CANCELLED.name}, 1)
    deadline = time.monotonic() + 30  # nobody is told when the server has noticed
    while given_up not in _metrics(url)[1].get("grpc_server_handled_total", []):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("address", ["0.0.0.0:0", "127.0.0.1", "unix:s", "example.org:80"])
def test_nobody_else_on_the_network_reads_them(tiny_model: Path, address: str) -> None:
    command = [*FORETYPE, "serve", "--model", tiny_model, "--metrics", address]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"cannot listen at {address}" in done.stderr.replace("'", "")
