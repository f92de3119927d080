"""Models are found by name or path; what the user installed comes first."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from foretype_models import bundle, registry
from foretype_models.bundle import Bundle, BundleError


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of models, not yet made."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data" / "foretype" / "models"


@pytest.fixture
def shipped(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of shipped models that holds one, `java`."""
    monkeypatch.setattr(registry, "shipped_folder", lambda: tmp_path / "shipped")
    shutil.copytree(tiny_model, tmp_path / "shipped" / "java")
    return tmp_path / "shipped"


def _renamed(tiny_model: Path, name: str, version: str) -> Bundle:
    made = bundle.load(tiny_model)
    return replace(made, description=replace(made.description, name=name, version=version))


def _names() -> dict[str, str]:
    return {entry.name: entry.origin for entry in registry.entries()}


def test_xdg_data_home_says_where_models_are_installed(installed: Path, tiny_model: Path) -> None:
    entry = registry.install(tiny_model)
    assert entry == registry.Entry("tiny", installed / "tiny", "installed")
    assert bundle.load(installed / "tiny") == bundle.load(tiny_model) == registry.load("tiny")
    assert registry.find("tiny") == entry


def test_an_installed_model_hides_the_shipped_one_until_it_is_removed(
    shipped: Path, installed: Path, tiny_model: Path
) -> None:
    assert _names() == {"java": "shipped"}
    registry.install(tiny_model, "java")
    assert _names() == {"java": "installed"}
    assert registry.find("java").path == installed / "java"
    registry.remove("java")
    assert registry.find("java").path == shipped / "java"


def test_a_shipped_model_cannot_be_removed(shipped: Path) -> None:
    with pytest.raises(BundleError, match="'java' is part of foretype and cannot be removed"):
        registry.remove("java")
    assert registry.load("java").description.name == "tiny"


def test_a_path_finds_a_model_that_is_not_installed(tiny_model: Path, tmp_path: Path) -> None:
    bundle.pack(bundle.load(tiny_model), tmp_path / "zoo.zip")
    folder, packed = registry.find(str(tiny_model)), registry.find(str(tmp_path / "zoo.zip"))
    assert (folder.name, folder.origin) == (tiny_model.name, "path")
    assert (packed.name, packed.origin) == ("zoo", "path")
    assert bundle.load(packed.path) == bundle.load(folder.path)


def test_a_name_goes_before_a_path(
    shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "java").mkdir()
    monkeypatch.chdir(tmp_path)
    assert registry.find("java").origin == "shipped"
    assert registry.find("./java").origin == "path"


@pytest.mark.parametrize("name", ["nonesuch", "../nonesuch", "x" * 5000, "nul\0"])
def test_what_is_not_there_is_not_found(shipped: Path, name: str) -> None:
    with pytest.raises(BundleError) as raised:
        registry.find(name)
    assert str(raised.value) == (
        f"there is no model {name!r}, neither installed (java) nor at that path"
    )


@pytest.mark.parametrize(
    "name", ["", "../escape", "/tmp/x", ".hidden", "Upper", "a b", "x" * 65, registry.NO_MODEL]
)
def test_a_name_cannot_be_a_way_out_of_the_folder(
    installed: Path, tiny_model: Path, tmp_path: Path, name: str
) -> None:
    bundle.save(_renamed(tiny_model, name, "1"), tmp_path / "made")
    with pytest.raises(BundleError, match=r"is not a name for a model: use up to 64 of a-z"):
        registry.install(tmp_path / "made")
    assert not installed.exists()


def test_a_given_name_goes_before_the_models_own(installed: Path, tiny_model: Path) -> None:
    assert registry.install(tiny_model, "zoo").path == installed / "zoo"
    with pytest.raises(BundleError, match="'Zoo' is not a name for a model"):
        registry.install(tiny_model, "Zoo")
    assert _names()["zoo"] == "installed"
    assert "Zoo" not in _names()


def test_installing_again_replaces_the_whole_model(
    installed: Path, tiny_model: Path, tmp_path: Path
) -> None:
    registry.install(tiny_model)
    (installed / "tiny" / "left-over").touch()
    bundle.save(_renamed(tiny_model, "tiny", "2"), tmp_path / "second")
    registry.install(tmp_path / "second")
    assert registry.describe(registry.find("tiny")).version == "2"
    assert not (installed / "tiny" / "left-over").exists()
    assert [path.name for path in installed.iterdir()] == ["tiny"]


def _version(name: str) -> str:
    return registry.describe(registry.find(name)).version


def test_what_was_replaced_is_kept_and_comes_back_and_back_again(
    installed: Path, tiny_model: Path, tmp_path: Path
) -> None:
    for version in "123":
        bundle.save(_renamed(tiny_model, "tiny", version), tmp_path / version)
        registry.install(tmp_path / version)
    for now, kept in (("2", "3"), ("3", "2")):
        assert registry.restore("tiny").path == installed / "tiny"
        assert _version("tiny") == now
        previous = registry.previous("tiny")
        assert previous is not None
        assert registry.describe(previous).version == kept
    assert _names()["tiny"] == "installed"
    registry.remove("tiny")
    assert registry.previous("tiny") is None
    with pytest.raises(BundleError, match="no earlier version of the model 'tiny' was kept"):
        registry.restore("tiny")


def test_what_is_the_same_or_damaged_takes_no_kept_ones_place(
    installed: Path, tiny_model: Path, tmp_path: Path
) -> None:
    for version in "12":
        bundle.save(_renamed(tiny_model, "tiny", version), tmp_path / version)
        registry.install(tmp_path / version)
    registry.install(tmp_path / "2")
    (installed / "tiny" / "network.onnx").write_bytes(b"")
    registry.install(tmp_path / "2")
    registry.restore("tiny")
    assert _version("tiny") == "1"


@pytest.mark.parametrize("name", ["nonesuch", "", "..", "../models/tiny"])
def test_only_what_was_replaced_can_be_restored(tiny_model: Path, name: str) -> None:
    registry.install(tiny_model)
    with pytest.raises(BundleError, match="no earlier version of the model"):
        registry.restore(name)


def test_what_was_kept_is_checked_before_it_is_restored(
    installed: Path, tiny_model: Path, tmp_path: Path
) -> None:
    registry.install(tiny_model)
    bundle.save(_renamed(tiny_model, "tiny", "2"), tmp_path / "2")
    registry.install(tmp_path / "2")
    previous = registry.previous("tiny")
    assert previous is not None
    (previous.path / "network.onnx").write_bytes(b"")
    with pytest.raises(BundleError, match="is not the file"):
        registry.restore("tiny")
    assert _version("tiny") == "2"


@pytest.mark.parametrize("damage", ["hash", "self-test"])
def test_what_cannot_be_used_is_not_installed(
    installed: Path, tiny_model: Path, tmp_path: Path, damage: str
) -> None:
    registry.install(tiny_model)
    bad = shutil.copytree(tiny_model, tmp_path / "bad")
    if damage == "hash":
        (bad / "weights.safetensors").write_bytes(b"")
    else:
        description = json.loads((bad / "model.json").read_text())
        description["self_test"]["bits"]["int8"] += 1
        (bad / "model.json").write_text(json.dumps(description))
    with pytest.raises(BundleError):
        registry.install(bad)
    assert registry.load("tiny") == bundle.load(tiny_model)
    assert [path.name for path in installed.iterdir()] == ["tiny"]


def test_removing_takes_the_files_away(installed: Path, tiny_model: Path) -> None:
    registry.install(tiny_model)
    registry.remove("tiny")
    assert not (installed / "tiny").exists()
    with pytest.raises(BundleError, match="there is no model 'tiny' to remove"):
        registry.remove("tiny")


def test_what_is_no_model_is_not_listed(installed: Path, shipped: Path) -> None:
    (installed / "empty").mkdir(parents=True)
    (installed / "Wrong Name").mkdir()
    (installed / "Wrong Name" / "model.json").touch()
    assert _names() == {"java": "shipped"}
