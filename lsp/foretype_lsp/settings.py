"""What a user can set in the editor, under `foretype`.

A value that cannot be used is told to the user and replaced by its default.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Literal, cast, get_args

SECTION = "foretype"
Until = Literal["token", "line", "block"]

_OF_THE_EDITOR = {"command", "trace"}
"""Settings of the VS Code extension, which share our section."""


def _switch(value: Any) -> str | None:
    return None if isinstance(value, bool) else "true or false"


def _language_switches(value: Any) -> str | None:
    wanted = "an object of language identifiers with true or false"
    if not isinstance(value, dict):
        return wanted
    switches = cast("dict[Any, Any]", value)
    return None if all(isinstance(switch, bool) for switch in switches.values()) else wanted


def _boundary(value: Any) -> str | None:
    return None if value in get_args(Until) else '"token", "line" or "block"'


def _text(value: Any) -> str | None:
    # What cannot be printed, such as a zero, cannot be an argument of a process either.
    return None if isinstance(value, str) and value.isprintable() else "a model's name or path"


def _number(low: int, high: int, kind: type[int] | type[float]) -> Callable[[Any], str | None]:
    accepted = (int, float) if kind is float else (int,)
    name = "a number" if kind is float else "a whole number"

    def check(value: Any) -> str | None:
        valid = isinstance(value, accepted) and not isinstance(value, bool)
        return None if valid and low <= value <= high else f"{name} from {low} to {high}"

    return check


@dataclass(frozen=True)
class Settings:
    """Checked settings; the names are those in the editor."""

    enabled: bool = field(default=True, metadata={"check": _switch})
    # By language identifier; "*" stands for those that are not named.
    languages: dict[str, bool] = field(
        default_factory=dict[str, bool], metadata={"check": _language_switches}
    )
    # How far an inline suggestion goes. Those in a popup never go beyond the line.
    until: Until = field(default="line", metadata={"check": _boundary})
    candidates: int = field(default=1, metadata={"check": _number(1, 10, int)})
    # Milliseconds between the last keystroke and an automatic inline suggestion.
    delay: int = field(default=0, metadata={"check": _number(0, 10_000, int)})
    # Whether the files of the open folders are remembered.
    memory: bool = field(default=True, metadata={"check": _switch})
    # A suggestion is cut before its probability falls below this. Of 0, 0.1 to 0.4 and 0.55
    # this saved most keystrokes on validation code (Commons IO, the project's memory).
    confidence: float = field(default=0.3, metadata={"check": _number(0, 1, float)})

    # The one of the command line if empty. The only setting that is asked for by folder.
    model: str = field(default="", metadata={"check": _text})

    def suggests_in(self, language: str) -> bool:
        return self.enabled and self.languages.get(language, self.languages.get("*", True))


def read(*sources: Any) -> tuple[Settings, list[str]]:
    """Settings from what an editor sent, and what is wrong with it, in sentences.

    Of several sources a later one wins; null leaves a setting to the earlier ones.
    """
    values: dict[str, Any] = {}
    problems: list[str] = []
    for source in sources:
        if isinstance(source, dict):
            given = cast("dict[str, Any]", source)
            values |= {name: value for name, value in given.items() if value is not None}
        elif source is not None:
            problems.append(f"{SECTION} must be an object of settings")
    checked: dict[str, Any] = {}
    for setting in fields(Settings):
        if setting.name not in values:
            continue
        value = values.pop(setting.name)
        if wanted := setting.metadata["check"](value):
            problems.append(f"{SECTION}.{setting.name} must be {wanted}; the default is used")
        else:
            checked[setting.name] = value
    unknown = values.keys() - _OF_THE_EDITOR
    problems += [f"{SECTION}.{name} is no setting" for name in sorted(unknown)]
    return Settings(**checked), problems


def section(options: Any) -> Any:
    """Our part of options that some editors send whole and others by section."""
    if isinstance(options, dict) and SECTION in options:
        return cast("dict[str, Any]", options)[SECTION]
    return cast(Any, options)
