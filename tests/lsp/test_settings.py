from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from foretype_lsp.settings import Settings, read, section


def test_without_settings_the_defaults_hold() -> None:
    assert read(None) == (Settings(), [])
    assert read({}, {"until": None, "delay": None}) == (Settings(), [])


def test_a_later_source_wins_and_null_leaves_it_to_the_earlier() -> None:
    settings, problems = read({"until": "token", "delay": 50}, {"until": "block", "delay": None})
    assert (settings.until, settings.delay) == ("block", 50)
    assert problems == []


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("enabled", "yes", "true or false"),
        ("enabled", 1, "true or false"),
        ("languages", ["java"], "an object of language identifiers with true or false"),
        ("languages", {"java": "off"}, "an object of language identifiers with true or false"),
        ("until", "page", '"token", "line" or "block"'),
        ("until", ["line"], '"token", "line" or "block"'),
        ("candidates", 0, "a whole number from 1 to 10"),
        ("candidates", True, "a whole number from 1 to 10"),
        ("candidates", 2.5, "a whole number from 1 to 10"),
        ("delay", -1, "a whole number from 0 to 10000"),
        ("model", ["java"], "a model's name or path"),
        ("model", "java\0", "a model's name or path"),
        ("confidence", 1.5, "a number from 0 to 1"),
        ("confidence", float("nan"), "a number from 0 to 1"),
    ],
)
def test_a_bad_value_is_told_and_replaced(name: str, value: Any, wanted: str) -> None:
    settings, problems = read({name: value})
    assert getattr(settings, name) == getattr(Settings(), name)
    assert problems == [f"foretype.{name} must be {wanted}; the default is used"]


def test_an_unknown_name_is_told_but_for_those_of_the_editor() -> None:
    _, problems = read({"candiates": 3, "command": ["foretype"], "trace": {"server": "off"}})
    assert problems == ["foretype.candiates is no setting"]


def test_settings_that_are_no_object_are_told() -> None:
    assert read("on") == (Settings(), ["foretype must be an object of settings"])


def test_languages_can_be_switched_off_one_by_one_or_all_but_some() -> None:
    assert Settings().suggests_in("java")
    assert not Settings(enabled=False).suggests_in("java")
    assert not Settings(languages={"xml": False}).suggests_in("xml")
    only_java = Settings(languages={"*": False, "java": True})
    assert only_java.suggests_in("java")
    assert not only_java.suggests_in("xml")


def test_our_section_is_found_in_options_that_came_whole() -> None:
    assert section({"foretype": {"delay": 1}, "other": 2}) == {"delay": 1}
    assert section({"delay": 1}) == {"delay": 1}
    assert section(None) is None


def test_the_extension_and_the_page_describe_the_same_settings() -> None:
    root = Path(__file__).parents[2]
    package = json.loads((root / "lsp" / "editors" / "vscode" / "package.json").read_text())
    described = {
        name.removeprefix("foretype."): setting["default"]
        for name, setting in package["contributes"]["configuration"]["properties"].items()
        if name != "foretype.command"
    }
    assert described == asdict(Settings())
    page = (root / "docs" / "editors.md").read_text()
    for name, default in described.items():
        assert f"| `{name}` | `{json.dumps(default)}` |" in page
