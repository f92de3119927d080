"""The protocol from outside Python: buf lints it, finds it by reflection and calls it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Serving

pytestmark = pytest.mark.e2e

CLIENT = Path(__file__).parents[2] / "client"
PREFIX = "package org.example.zoo;\n\nimport java.util.List;\n\n/**\n * A Gorilla0 that lives"


def _buf(node: Path, packages: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = packages / "node_modules" / "@bufbuild" / "buf" / "bin" / "buf"
    return subprocess.run(
        [node, program, *arguments], cwd=CLIENT, capture_output=True, text=True, timeout=120
    )


def test_the_protocol_is_clean(node: Path, node_packages: Path) -> None:
    done = _buf(node, node_packages, "lint")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_any_client_finds_and_calls_the_services(
    node: Path, node_packages: Path, serving: Serving, tiny_model: Path
) -> None:
    with serving(tiny_model, "127.0.0.1:0") as address:
        url, options = f"http://{address}", ("--protocol", "grpc", "--http2-prior-knowledge")
        listed = _buf(node, node_packages, "curl", *options, "--list-services", url)
        assert {"foretype.v1.Completion", "foretype.v1.Models"} <= set(listed.stdout.split())
        request = json.dumps({"document": {"path": "Gorilla0.java", "prefix": PREFIX}})
        method = f"{url}/foretype.v1.Completion/Complete"
        done = _buf(node, node_packages, "curl", *options, "--data", request, method)
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
    assert answer["candidates"][0]["text"] == " in the zoo."
    assert answer["candidates"][0]["stop"] == "STOP_BOUNDARY"
