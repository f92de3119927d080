"""Microsoft's own client library, the one in VS Code, under node."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.e2e

CLIENT = Path(__file__).parent / "client.mjs"
POSITION_AFTER = {"line": 1, "character": 27}


@pytest.fixture(scope="session")
def seen(node: Path, node_packages: Path, tiny_model: Path) -> dict[str, Any]:
    """What the client saw in one session."""
    server = [sys.executable, "-m", "foretype", "lsp", "--model", tiny_model]
    command = [node, CLIENT, node_packages, *server]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_it_is_offered_both_kinds_of_completion(seen: dict[str, Any]) -> None:
    capabilities = seen["capabilities"]
    assert capabilities["positionEncoding"] == "utf-16"
    assert capabilities["inlineCompletionProvider"] == {}
    assert capabilities["completionProvider"] == {"triggerCharacters": ["."]}
    assert capabilities["textDocumentSync"]["change"] == 2


def test_a_suggestion_replaces_the_word_that_is_being_typed(seen: dict[str, Any]) -> None:
    [item] = seen["inline"]
    start = {"line": 1, "character": 22}
    assert item == {
        "insertText": "lives in the zoo.",
        "filterText": "lives in the zoo.",
        "range": {"start": start, "end": POSITION_AFTER},
    }
    assert seen["popup"]["isIncomplete"]
    [popup] = seen["popup"]["items"]
    assert popup["textEdit"] == {"range": item["range"], "newText": "lives in the zoo."}


def test_what_is_typed_along_stays_suggested(seen: dict[str, Any]) -> None:
    [item] = seen["typedAlong"]
    assert item["insertText"] == "in the zoo."


def test_a_request_that_is_taken_back_ends(seen: dict[str, Any]) -> None:
    assert seen["cancelled"] is True


def test_settings_are_asked_for_and_a_bad_one_is_told(seen: dict[str, Any]) -> None:
    assert seen["registered"] == ["workspace/didChangeConfiguration"]
    assert seen["sections"] == [[None, "foretype"], ["file:///work/zoo", "foretype"]]
    warning = "foretype.candidates must be a whole number from 1 to 10; the default is used"
    assert seen["messages"] == [[2, warning]]


def test_it_ends_in_order(seen: dict[str, Any]) -> None:
    assert seen["exitCode"] == 0
