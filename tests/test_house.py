"""The house: which room holds what, and which may lean on which."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = {
    "foretype": ROOT / "client" / "foretype",
    "foretype_models": ROOT / "models" / "foretype_models",
    "foretype_training": ROOT / "training" / "foretype_training",
    "foretype_server": ROOT / "server" / "foretype_server",
    "foretype_lsp": ROOT / "lsp" / "foretype_lsp",
}
MAY_IMPORT = {
    "foretype": set[str](),
    "foretype_models": set[str](),
    "foretype_training": {"foretype", "foretype_models", "foretype_server"},
    "foretype_server": {"foretype", "foretype_models"},
    "foretype_lsp": {"foretype"},
}


def _imports(node: ast.AST) -> Iterator[str]:
    for child in ast.walk(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module:
            yield child.module


def _at_once(module: ast.Module) -> Iterator[str]:
    """What a module imports when it is itself imported."""
    for statement in module.body:
        if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from _imports(statement)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_leans_only_on_those_it_may(room: str) -> None:
    files = list(ROOMS[room].rglob("*.py"))
    assert files
    for file in files:
        module = ast.parse(file.read_text())
        # Only the client's subcommands load other rooms, lazily.
        names = _at_once(module) if room == "foretype" else _imports(module)
        ours = {name.partition(".")[0] for name in names} & set(ROOMS)
        if room == "foretype" and file.name in {"bundles.py", "examination.py"}:
            continue  # the bodies of two subcommands, themselves loaded lazily
        assert ours <= MAY_IMPORT[room] | {room}, file


def test_torch_is_imported_only_where_the_network_is_defined() -> None:
    for file in ROOMS["foretype_models"].rglob("*.py"):
        imported = {name.partition(".")[0] for name in _imports(ast.parse(file.read_text()))}
        assert ("torch" in imported) == (file.name == "network.py"), file


@pytest.mark.parametrize("folder", ["client", "models", "training", "server", "lsp"])
def test_no_module_lies_directly_in_a_top_level_folder(folder: str) -> None:
    """It would land in everybody's site-packages under a common name."""
    assert not list((ROOT / folder).glob("*.py"))
