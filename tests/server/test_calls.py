"""The log of calls, as a program reads it."""

from __future__ import annotations

import io
import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from foretype.client import Client, Document, InvalidRequest, Limits
from foretype_server.calls import Call, CallLog
from tests.conftest import FORETYPE
from tests.server.work import give_up

DOCUMENT = Document(
    path="src/main/java/org/example/zoo/Gorilla0.java",
    workspace="secret-workspace",
    prefix="package org.example.zoo;\n\n/**\n * A Gorilla0 that lives",
)


@pytest.mark.e2e
def test_each_call_has_a_line_and_no_text_is_told(tiny_model: Path, tmp_path: Path) -> None:
    listen = f"unix:{tmp_path}/s"
    command = [*FORETYPE, "serve", "--model", tiny_model, "--listen", listen, "--log"]
    began = datetime.now(UTC)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        with Client(listen) as client:
            client.wait_until_serving()
            client.complete(DOCUMENT)
            sent = len(list(client.stream(DOCUMENT)))
            give_up(listen)
            with pytest.raises(InvalidRequest):
                client.complete(DOCUMENT, Limits(confidence=2))
            client.models()
        process.terminate()
        assert process.stderr is not None
        log = process.stderr.read()
    complete, whole, given_up, refused, models = sorted(
        map(json.loads, log.splitlines()), key=lambda line: line["time"]
    )
    assert complete["method"] == "foretype.v1.Completion/Complete"
    assert (complete["code"], complete["messages"]) == ("OK", 1)
    assert began < datetime.fromisoformat(complete["time"]) < datetime.now(UTC)
    assert complete["read_bytes"] == len(DOCUMENT.prefix)
    assert 0 < complete["read_ms"] + complete["search_ms"] < complete["ms"]
    assert whole["method"] == "foretype.v1.Completion/Stream"
    assert (whole["code"], whole["messages"], whole["read_bytes"]) == ("OK", sent, 0)
    assert given_up["code"] == "CANCELLED"
    assert refused["code"] == "INVALID_ARGUMENT"
    assert "read_ms" not in refused
    assert (models["method"], models["code"]) == ("foretype.v1.Models/List", "OK")
    for text in ("Gorilla", "secret", "zoo"):
        assert text not in log


def test_who_reads_the_log_may_go() -> None:
    class Gone(io.StringIO):
        def write(self, s: str, /) -> int:
            raise BrokenPipeError

    CallLog(Gone()).has_ended(Call("unary", "foretype.v1.Completion", "Complete"))
