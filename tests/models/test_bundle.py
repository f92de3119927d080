"""A bundle is what it says it is, or it is refused and says why."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import pickle
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from foretype_models import bundle, pointer
from foretype_models.bundle import Bundle, BundleError, BundleWriteError, ngrams_file
from foretype_models.inputs import PREDICTIONS, Ngrams
from foretype_models.runtime import Runtime

Change = Callable[[bytes], bytes]


@pytest.fixture
def copy(tiny_model: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_model, tmp_path / "copy")


def _describe(folder: Path, **values: Any) -> None:
    """Changes model.json; None takes a key out."""
    path = folder / "model.json"
    described = json.loads(path.read_text()) | values
    path.write_text(json.dumps({k: v for k, v in described.items() if v is not None}))


def _replace(folder: Path, name: str, data: bytes) -> None:
    """Changes a file as its maker could: with the right hash."""
    (folder / name).write_bytes(data)
    hashes = json.loads((folder / "model.json").read_text())["files"]
    _describe(folder, files=hashes | {name: hashlib.sha256(data).hexdigest()})


def _change_graph(folder: Path, change: Callable[[onnx.ModelProto], None]) -> None:
    model = onnx.load(folder / "network.onnx")
    change(model)
    _replace(folder, "network.onnx", model.SerializeToString())


def _refusal(path: Path) -> str:
    """Why it cannot be loaded, less its path."""
    with pytest.raises(BundleError) as raised:
        bundle.load(path)
    assert raised.value.exit_code == 2
    start = f"{path} cannot be used: "
    assert str(raised.value).startswith(start)
    assert "\n" not in str(raised.value)
    return str(raised.value).removeprefix(start)


def _refusal_to_run(path: Path) -> str:
    loaded = bundle.load(path)
    with pytest.raises(BundleError) as raised:
        Runtime(loaded)
    return str(raised.value)


def test_a_folder_holds_what_was_saved(tiny_model: Path, tmp_path: Path) -> None:
    made = bundle.load(tiny_model)
    bundle.save(made, tmp_path / "a" / "b")
    assert bundle.load(tmp_path / "a" / "b") == made
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]


def test_a_zip_holds_what_was_packed(tiny_model: Path, tmp_path: Path) -> None:
    made = bundle.load(tiny_model)
    bundle.pack(made, tmp_path / "tiny.zip")
    assert bundle.load(tmp_path / "tiny.zip") == made
    assert bundle.describe(tmp_path / "tiny.zip") == made.description
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.zip"]


def test_it_consists_of_these_files_and_their_hashes(tiny_model: Path) -> None:
    names = {path.name for path in tiny_model.iterdir()}
    assert names == {
        *("model.json", "network.onnx", "network.int8.onnx", "weights.safetensors", "ngrams.npz"),
        "pointer.npz",
    }
    described = json.loads((tiny_model / "model.json").read_text())
    assert set(described) == {
        *("format", "name", "version", "language", "alphabet", "architecture", "parameters"),
        *("training", "quality", "self_test", "files"),
    }
    assert set(described["files"]) == names - {"model.json"}
    for name, sha256 in described["files"].items():
        assert hashlib.sha256((tiny_model / name).read_bytes()).hexdigest() == sha256


@given(
    table=st.dictionaries(st.integers(0, 2**32 - 1), st.integers(0, PREDICTIONS - 1), max_size=9)
)
def test_the_table_of_ngrams_survives(table: dict[int, int], tiny_model: Path) -> None:
    contexts = sorted(table)
    ngrams = Ngrams(
        np.array(contexts, dtype=np.uint32),
        np.array([table[c] for c in contexts], dtype=np.uint16),
    )
    description = bundle.describe(tiny_model)
    read = Bundle(description, {"ngrams.npz": ngrams_file(ngrams)}).ngrams()
    np.testing.assert_array_equal(read.contexts, ngrams.contexts)
    np.testing.assert_array_equal(read.predictions, ngrams.predictions)


def test_nothing_at_the_path(tmp_path: Path) -> None:
    assert _refusal(tmp_path / "none") == "there is no such folder or file"


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("some text")
    assert _refusal(tmp_path / "text") == "it is neither a folder nor a zip file"


def test_a_folder_without_description(tmp_path: Path) -> None:
    assert _refusal(tmp_path) == "it has no model.json, so it is not a bundle"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "its model.json is not valid JSON: "),
        ("\xff", "its model.json is not valid JSON: "),
        ("[" * 100_000, "its model.json is not valid JSON: "),
        ("[]", "its model.json is not an object"),
    ],
)
def test_a_description_that_cannot_be_read(copy: Path, text: str, message: str) -> None:
    (copy / "model.json").write_bytes(text.encode("latin-1"))
    assert _refusal(copy).startswith(message)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"format": 2},
            "its format is 2 and this version of foretype reads format 1;"
            " update foretype or the bundle",
        ),
        ({"alphabet": "latin-1"}, "its alphabet is 'latin-1', not 'utf8+sof+eop+eof'"),
        ({"name": None}, "its model.json lacks 'name'"),
        ({"name": 7}, "its model.json is malformed: 7 is not a string"),
        ({"parameters": float("inf")}, "its model.json is malformed: "),
        ({"self_test": []}, "its model.json is malformed: "),
        ({"architecture": {"layers": 0}}, "its architecture cannot be built: layers must be"),
        ({"files": None}, "its model.json lacks the hashes of its files"),
        ({"files": {"setup.py": ""}}, "it lists 'setup.py', which no bundle of this format has"),
    ],
)
def test_a_description_that_does_not_fit(copy: Path, values: dict[str, Any], message: str) -> None:
    _describe(copy, **values)
    assert _refusal(copy).startswith(message)


@pytest.mark.parametrize(
    "name", ["network.onnx", "network.int8.onnx", "weights.safetensors", "ngrams.npz"]
)
def test_every_file_must_be_there_and_be_the_right_one(copy: Path, name: str) -> None:
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    assert _refusal(copy) == (
        f"{name} is not the file that model.json was written for (its SHA-256 differs);"
        " get the bundle again"
    )
    (copy / name).unlink()
    assert _refusal(copy) == f"it lacks {name}"


def test_other_files_beside_it_are_not_looked_at(copy: Path, tiny_model: Path) -> None:
    (copy / "README.md").write_text("a note")
    assert bundle.load(copy) == bundle.load(tiny_model)


def test_what_is_no_graph(copy: Path) -> None:
    _replace(copy, "network.onnx", b"no graph")
    assert _refusal(copy).startswith("network.onnx is not an ONNX file")
    _replace(copy, "network.onnx", b"")
    assert _refusal(copy).startswith("network.onnx is not an ONNX file")


@pytest.mark.parametrize(
    ("operator", "domain", "shown"),
    [("Loop", "", "Loop"), ("Add", "org.example", "org.example.Add")],
)
def test_an_operator_that_we_do_not_use(copy: Path, operator: str, domain: str, shown: str) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.node.append(helper.make_node(operator, [], [], domain=domain))

    _change_graph(copy, change)
    assert _refusal(copy) == (
        f"network.onnx has the operator {shown!r}, which no network of ours has"
    )


def test_weights_outside_of_the_graph(copy: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        weight = model.graph.initializer[0]
        weight.data_location = TensorProto.EXTERNAL
        weight.external_data.add(key="location", value="../../secret")
        weight.ClearField("raw_data")

    _change_graph(copy, change)
    assert _refusal(copy) == "network.onnx keeps its weights outside of itself"


def test_functions_of_its_own(copy: Path) -> None:
    """They could give an operator that we know another meaning."""

    def change(model: onnx.ModelProto) -> None:
        opset = helper.make_opsetid("", 17)
        body = [helper.make_node("Identity", ["x"], ["y"])]
        model.functions.append(
            helper.make_function("com.microsoft", "MatMul", ["x"], ["y"], body, [opset])
        )

    _change_graph(copy, change)
    assert _refusal(copy) == "network.onnx has functions of its own, which no network of ours has"


def _without(folder: Path, name: str) -> None:
    """As if its maker had left a file out."""
    (folder / name).unlink()
    hashes = json.loads((folder / "model.json").read_text())["files"]
    _describe(folder, files={other: hashes[other] for other in hashes if other != name})


def _archive(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _array(values: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


_ONE, _TWO = np.ones(1, np.uint32), np.ones(2, np.uint16)


def _pointer(hidden: int, **arrays: Any) -> dict[str, Any]:
    """The arrays of one, but for these."""
    shapes = pointer.shapes(hidden, 32, 32).items()
    return {name: np.zeros(shape, np.float32) for name, shape in shapes} | arrays


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"no archive", "cannot be read: "),
        (b"", "cannot be read: "),
        (pickle.dumps([1, 2]), "cannot be read: "),
        (_array(np.ones(3)), "cannot be read: "),
        (_archive(gaps=_ONE), "cannot be read: "),
        (_archive(gaps=_ONE, predictions=_TWO), "cannot be read: contexts and predictions differ"),
        (
            _archive(gaps=np.array([1, 0], np.uint32), predictions=_TWO),
            "cannot be read: its hashes do not rise",
        ),
        (
            _archive(gaps=np.ones(2000, np.uint32), predictions=np.zeros(2000, np.uint16)),
            "is damaged: its contexts are no hashes",
        ),
        (
            _archive(gaps=_ONE, predictions=np.array([PREDICTIONS], np.uint16)),
            "is damaged: it predicts what the alphabet does not have",
        ),
        (
            _archive(gaps=_ONE, predictions=np.array([-1], np.int16)),
            "is damaged: it predicts what the alphabet does not have",
        ),
    ],
)
def test_a_damaged_table_of_ngrams(copy: Path, data: bytes, message: str) -> None:
    _replace(copy, "ngrams.npz", data)
    assert _refusal(copy).startswith(f"ngrams.npz {message}")


def test_a_table_of_objects_is_never_unpickled(copy: Path, tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "unpickled",))

    _replace(copy, "ngrams.npz", _archive(gaps=np.array([Payload()]), predictions=_ONE))
    assert "cannot be read" in _refusal(copy)
    assert not (tmp_path / "unpickled").exists()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "it holds nothing"),
        ({"query": np.zeros((64, 32), np.float32)}, "it holds query"),
        (_pointer(hidden=65), "query must be finite float32 of shape (64, 32)"),
        (_pointer(hidden=64, near=np.full(12, np.nan, np.float32)), "near must be finite"),
        (_pointer(hidden=64, gate=np.zeros((64, 32))), "gate must be finite float32"),
        (_pointer(hidden=64, gate_bias=np.float32(0)), "query_bias and gate_bias must be"),
    ],
)
def test_a_damaged_pointer(copy: Path, arrays: dict[str, Any], message: str) -> None:
    _replace(copy, "pointer.npz", _archive(**arrays))
    assert _refusal(copy).startswith(f"pointer.npz cannot be used: {message}")


def test_other_shapes_than_described(copy: Path) -> None:
    _without(copy, "pointer.npz")
    architecture = json.loads((copy / "model.json").read_text())["architecture"]
    _describe(copy, architecture=architecture | {"hidden_size": 65})
    assert "the inputs of network.onnx are" in _refusal_to_run(copy)
    assert "as described" in _refusal_to_run(copy)


def test_a_graph_that_the_runtime_refuses(copy: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        del model.graph.node[0]

    _change_graph(copy, change)
    assert _refusal_to_run(copy).startswith("network.onnx cannot be loaded: ")


def test_a_graph_that_cannot_be_run(copy: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        [table] = [t for t in model.graph.initializer if t.name == "embedding.weight"]
        width = table.dims[1]
        table.CopyFrom(helper.make_tensor(table.name, TensorProto.FLOAT, [1, width], [0.0] * width))

    _change_graph(copy, change)
    assert _refusal_to_run(copy).startswith("network.onnx cannot be run: ")


def test_a_network_that_gives_other_answers(copy: Path) -> None:
    test = json.loads((copy / "model.json").read_text())["self_test"]
    bits = test["bits"]["fp32"]
    _describe(copy, self_test=test | {"bits": {"fp32": bits + 0.01}})
    assert _refusal_to_run(copy) == (
        f"the model 'tiny' fails its self-test: network.onnx gives {bits:.4f} bits per character"
        f" where {bits + 0.01:.4f} are right"
    )
    _describe(copy, self_test=test | {"bits": {"fp32": float("nan")}})
    assert "fails its self-test" in _refusal_to_run(copy)
    _describe(copy, self_test=test | {"bits": {}})
    assert _refusal_to_run(copy) == "the model 'tiny' has no self-test for network.onnx"


def test_a_precision_that_is_not_there(copy: Path) -> None:
    (copy / "network.int8.onnx").unlink()
    hashes = json.loads((copy / "model.json").read_text())["files"]
    del hashes["network.int8.onnx"]
    _describe(copy, files=hashes)
    loaded = bundle.load(copy)
    assert loaded.precisions == ["fp32"]
    with pytest.raises(BundleError, match="the model 'tiny' has no int8 network"):
        Runtime(loaded, "int8")


@pytest.fixture(scope="session")
def packed(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("packed") / "tiny.zip"
    bundle.pack(bundle.load(tiny_model), path)
    return path


@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_zip_is_refused_or_does_no_harm(
    packed: Path, tmp_path: Path, place: float, flip: int
) -> None:
    data = bytearray(packed.read_bytes())
    data[int(place * len(data))] ^= flip
    damaged = tmp_path / "damaged.zip"
    damaged.write_bytes(data)
    try:
        loaded = bundle.load(damaged)
    except BundleError:
        return
    assert loaded.files == bundle.load(packed).files


def test_a_zip_cut_short(packed: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.zip").write_bytes(packed.read_bytes()[:-1000])
    assert _refusal(tmp_path / "cut.zip") == "it is neither a folder nor a zip file"


def test_a_zip_with_a_damaged_member(packed: Path, tmp_path: Path) -> None:
    data = bytearray(packed.read_bytes())
    data[2000] ^= 0xFF
    (tmp_path / "bad.zip").write_bytes(data)
    assert _refusal(tmp_path / "bad.zip") == "it is a damaged zip file"


def test_a_zip_of_the_folder_itself(copy: Path, tmp_path: Path) -> None:
    shutil.make_archive(str(tmp_path / "whole"), "zip", copy.parent, copy.name)
    assert bundle.load(tmp_path / "whole.zip") == bundle.load(copy)


def test_int8_is_the_choice_where_it_costs_little(tiny_model: Path) -> None:
    loaded = bundle.load(tiny_model)

    def choice(bpc: object, wanted: str = "auto") -> str:
        described = replace(loaded.description, quality={"bpc": bpc})
        return replace(loaded, description=described).choose_precision(wanted)

    assert choice({"fp32": 1.0, "int8": 1.0049}) == "int8"
    assert choice({"fp32": 1.0, "int8": 1.0051}) == "fp32"
    assert choice({"fp32": 1.0, "int8": 1.0051}, "int8") == "int8"
    assert choice("nonsense") == choice({}) == "int8"


def test_a_zip_of_something_else(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme.txt", "a note")
    assert _refusal(tmp_path / "other.zip") == "it has no model.json, so it is not a bundle"


def test_a_full_disk_leaves_the_bundle_before(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = bundle.load(copy)

    def full(self: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        with pytest.raises(BundleWriteError) as raised:
            bundle.save(made, copy)
    assert raised.value.exit_code == 1
    assert str(raised.value) == f"cannot write the bundle {copy}: No space left on device"
    assert bundle.load(copy) == made
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


def test_a_zip_that_cannot_be_written(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleWriteError, match=r"cannot write .*: No such file or directory"):
        bundle.pack(bundle.load(tiny_model), tmp_path / "none" / "tiny.zip")
