"""The bundle: a folder, or a zip of one, that holds a trained network and all it needs.

    model.json            what it is: the description, with the SHA-256 of every other file
    network.onnx          the network in fp32
    network.int8.onnx     the same with int8 weights, where that was measured to cost little
    weights.safetensors   the weights by name, to go on training from
    ngrams.npz            what followed which context in the training files, if the network
                          reads that
    pointer.npz           what points at the words before, if there is such a pointer

Nothing in it is ever unpickled, and nothing is used before it was checked.
"""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, cast

import numpy as np
from google.protobuf.message import DecodeError

from foretype_models import alphabet
from foretype_models.architecture import Architecture, ArchitectureError
from foretype_models.graph_pb2 import Model as GraphModel
from foretype_models.inputs import PREDICTIONS, Ngrams
from foretype_models.pointer import Pointer

FORMAT = 1
"""Of the folder's layout and of model.json."""

DESCRIPTION = "model.json"
WEIGHTS = "weights.safetensors"
NGRAMS = "ngrams.npz"
POINTER = "pointer.npz"
Precision = Literal["fp32", "int8"]
NETWORKS: dict[Precision, str] = {"fp32": "network.onnx", "int8": "network.int8.onnx"}
_REQUIRED = {NETWORKS["fp32"], WEIGHTS}
_KNOWN = {*_REQUIRED, NETWORKS["int8"], NGRAMS, POINTER}

_OPERATORS = {
    *("Add", "Cast", "Clip", "Concat", "DequantizeLinear", "DynamicQuantizeLinear", "Gather"),
    *("GRU", "Identity", "LSTM", "LogSoftmax", "MatMul", "MatMulInteger", "Mul", "RNN"),
    *("ReduceSum", "Split", "Squeeze", "Sum", "Unsqueeze"),
    *("DynamicQuantizeLSTM", "DynamicQuantizeMatMul", "MatMulIntegerToFloat"),
}
"""The operators a network may consist of: none of them has a subgraph or touches a file."""

MAX_FILE_BYTES = 512 * 2**20

_MAX_ALIKE = 1000
"""Contexts of a table that may begin alike: of hashes, which are spread evenly, some 30 do, and
what is looked up is compared with all of them."""

SMALL_LOSS = 0.005
"""Bits per character that int8 may cost, as measured on held-out files, and still be the choice."""

_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError)
"""What `zipfile` raises on a damaged, encrypted or unusual archive."""


class BundleError(ValueError):
    """A bundle that cannot be used; the message says which, why, and what to do."""

    exit_code = 2


class BundleWriteError(BundleError):
    """A bundle that cannot be written, for lack of room or of permission."""

    exit_code = 1


@dataclass(frozen=True)
class SelfTest:
    """A text and how many bits the network gives it, to be compared before it is used."""

    path: str
    text: str
    bits: dict[str, float]  # by precision, per character of the text


@dataclass(frozen=True)
class Description:
    """What model.json says, less the hashes of the other files."""

    name: str
    version: str  # changes whenever the weights do
    language: str  # as in LSP; empty for any text
    architecture: Architecture
    parameters: int  # how many numbers were learned
    training: dict[str, Any]  # data with versions, licences and hashes; settings
    quality: dict[str, Any]  # as measured
    self_test: SelfTest

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "name": self.name,
            "version": self.version,
            "language": self.language,
            "alphabet": alphabet.NAME,
            "architecture": self.architecture.to_dict(),
            "parameters": self.parameters,
            "training": self.training,
            "quality": self.quality,
            "self_test": vars(self.self_test),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Raises BundleError with half a sentence that says what is wrong."""
        if values.get("format") != FORMAT:
            raise BundleError(
                f"its format is {values.get('format')!r} and this version of foretype reads"
                f" format {FORMAT}; update foretype or the bundle"
            )
        if values.get("alphabet") != alphabet.NAME:
            raise BundleError(f"its alphabet is {values.get('alphabet')!r}, not {alphabet.NAME!r}")
        try:
            test = values["self_test"]
            return cls(
                name=_string(values["name"]),
                version=_string(values["version"]),
                language=_string(values["language"]),
                architecture=Architecture.from_dict({"memory": False, **values["architecture"]}),
                parameters=int(values["parameters"]),
                training=dict(values["training"]),
                quality=dict(values["quality"]),
                self_test=SelfTest(
                    _string(test["path"]),
                    _string(test["text"]),
                    {_string(k): float(v) for k, v in test["bits"].items()},
                ),
            )
        except ArchitectureError as error:
            raise BundleError(f"its architecture cannot be built: {error}") from error
        except KeyError as error:
            raise BundleError(f"its {DESCRIPTION} lacks {error}") from error
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            raise BundleError(f"its {DESCRIPTION} is malformed: {error}") from error


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files were all read and checked; see `load`."""

    description: Description
    files: dict[str, bytes]

    @property
    def precisions(self) -> list[Precision]:
        return [precision for precision, name in NETWORKS.items() if name in self.files]

    def choose_precision(self, wanted: str = "auto") -> Precision:
        """`auto` takes int8 where the bundle has it and it costs less than SMALL_LOSS. Raises
        BundleError where there is none of the precision that was asked for.
        """
        if wanted == "auto":
            has_int8 = "int8" in self.precisions
            return "int8" if has_int8 and self.int8_loss < SMALL_LOSS else "fp32"
        precision: Precision = "int8" if wanted == "int8" else "fp32"
        self.network(precision)
        return precision

    @property
    def int8_loss(self) -> float:
        """Bits per character that int8 costs on held-out files; none, where the description does
        not say so."""
        try:
            bpc = self.description.quality["bpc"]
            return float(bpc["int8"]) - float(bpc["fp32"])
        except (KeyError, TypeError, ValueError):
            return 0.0

    def network(self, precision: Precision) -> bytes:
        """The ONNX graph. Raises BundleError where the bundle has none of this precision."""
        if NETWORKS[precision] not in self.files:
            raise BundleError(f"the model {self.description.name!r} has no {precision} network")
        return self.files[NETWORKS[precision]]

    def ngrams(self) -> Ngrams:
        """The table that the network reads; empty where it reads none."""
        if NGRAMS not in self.files:
            return Ngrams.empty()
        with np.load(io.BytesIO(self.files[NGRAMS]), allow_pickle=False) as arrays:
            contexts = np.cumsum(arrays["gaps"], dtype=np.uint32)
            return Ngrams(contexts, arrays["predictions"])

    def pointer(self) -> Pointer | None:
        """What points at the words before; none where the bundle has none."""
        if POINTER not in self.files:
            return None
        with np.load(io.BytesIO(self.files[POINTER]), allow_pickle=False) as arrays:
            return Pointer.from_arrays(dict(arrays), self.description.architecture.hidden_size)

    def description_json(self) -> dict[str, Any]:
        """The content of model.json."""
        hashes = {name: _sha256(data) for name, data in sorted(self.files.items())}
        return {**self.description.to_json(), "files": hashes}


def ngrams_file(ngrams: Ngrams) -> bytes:
    """The content of ngrams.npz: of the contexts their gaps, which deflate to half the size."""
    buffer = io.BytesIO()
    gaps = np.diff(ngrams.contexts, prepend=np.uint32(0))
    np.savez_compressed(buffer, gaps=gaps, predictions=ngrams.predictions)
    return buffer.getvalue()


def pointer_file(pointer: Pointer) -> bytes:
    """The content of pointer.npz."""
    buffer = io.BytesIO()
    cast(Any, np).savez(buffer, **pointer.arrays())
    return buffer.getvalue()


def save(bundle: Bundle, folder: Path, keep: Path | None = None) -> None:
    """Writes a bundle as a folder, which appears whole or not at all and replaces an older one.

    What it replaces is kept as the folder `keep`, of the same file system, in place of what
    was kept there. Raises BundleWriteError where it cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as scratch:
            new, old = Path(scratch, "new"), Path(scratch, "old")
            new.mkdir()
            for name, data in bundle.files.items():
                (new / name).write_bytes(data)
            text = json.dumps(bundle.description_json(), indent=2, ensure_ascii=False)
            (new / DESCRIPTION).write_text(text + "\n", encoding="utf-8")
            if keep is not None and folder.exists():
                keep.parent.mkdir(parents=True, exist_ok=True)
                if keep.exists():
                    os.replace(keep, old)
                os.replace(folder, keep)
            elif folder.exists():
                os.replace(folder, old)
            os.replace(new, folder)
    except OSError as error:
        raise BundleWriteError(f"cannot write the bundle {folder}: {error.strerror}") from error


def pack(bundle: Bundle, path: Path) -> None:
    """Writes a bundle as one zip file, atomically. Raises BundleWriteError where it cannot."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(DESCRIPTION, json.dumps(bundle.description_json(), indent=2))
            for name, data in bundle.files.items():
                archive.writestr(name, data)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise BundleWriteError(f"cannot write {path}: {error.strerror}") from error


def describe(path: Path) -> Description:
    """What a bundle's model.json says, without reading the rest. Raises BundleError."""
    try:
        return Description.from_json(_description_values(_read(path, {DESCRIPTION})))
    except BundleError as error:
        raise BundleError(f"{path} cannot be used: {error}") from error


def load(path: Path) -> Bundle:
    """Reads a bundle, a folder or a zip, and checks everything but what running it would show.

    Raises BundleError if a file is missing, its hash, the format, the operators of a graph or
    a table are not what they should be. `Runtime` does the rest: shapes and the self-test.
    """
    try:
        return _load(path)
    except BundleError as error:
        raise BundleError(f"{path} cannot be used: {error}") from error


def _load(path: Path) -> Bundle:
    files = _read(path, {DESCRIPTION, *_KNOWN})
    values = _description_values(files)
    description = Description.from_json(values)
    listed = values.get("files")
    if not isinstance(listed, dict):
        raise BundleError(f"its {DESCRIPTION} lacks the hashes of its files")
    hashes = cast(dict[str, Any], listed)
    if unknown := set(hashes) - _KNOWN:
        raise BundleError(f"it lists {min(unknown)!r}, which no bundle of this format has")
    if missing := (_REQUIRED | set(hashes)) - set(files):
        raise BundleError(f"it lacks {min(missing)}")
    del files[DESCRIPTION]
    for name in sorted(files):
        if hashes.get(name) != _sha256(files[name]):
            raise BundleError(
                f"{name} is not the file that {DESCRIPTION} was written for (its SHA-256"
                " differs); get the bundle again"
            )
    for name in NETWORKS.values():
        if name in files:
            _check_graph(name, files[name])
    bundle = Bundle(description, files)
    _check_ngrams(bundle)
    _check_pointer(bundle)
    return bundle


def _description_values(files: Mapping[str, bytes]) -> dict[str, Any]:
    if DESCRIPTION not in files:
        raise BundleError(f"it has no {DESCRIPTION}, so it is not a bundle")
    try:
        values = json.loads(files[DESCRIPTION])
    except (ValueError, RecursionError) as error:
        raise BundleError(f"its {DESCRIPTION} is not valid JSON: {error}") from error
    if not isinstance(values, dict):
        raise BundleError(f"its {DESCRIPTION} is not an object")
    return cast(dict[str, Any], values)


def _read(path: Path, names: set[str]) -> dict[str, bytes]:
    """Those of `names` that are there, by name."""
    try:
        if path.is_dir():
            found = [path / name for name in sorted(names) if (path / name).is_file()]
            return {file.name: file.read_bytes() for file in found}
        with zipfile.ZipFile(path) as archive:
            inside = _folder_in(archive)
            members = {m.filename.removeprefix(inside): m for m in archive.infolist()}
            members = {name: m for name, m in members.items() if name in names}
            if any(m.file_size > MAX_FILE_BYTES for m in members.values()):
                raise BundleError(f"a file in it is larger than {MAX_FILE_BYTES} bytes")
            return {name: archive.read(member) for name, member in members.items()}
    except FileNotFoundError as error:
        raise BundleError("there is no such folder or file") from error
    except OSError as error:
        raise BundleError(f"it cannot be read: {error.strerror}") from error
    except _ZIP_ERRORS as error:
        what = (
            "a damaged zip file" if zipfile.is_zipfile(path) else "neither a folder nor a zip file"
        )
        raise BundleError(f"it is {what}") from error


def _folder_in(archive: zipfile.ZipFile) -> str:
    """The folder, with its slash, that all of an archive lies in, as zip tools make them; or
    nothing."""
    names = archive.namelist()
    folder, slash, _ = names[0].partition("/") if names else ("", "", "")
    return folder + slash if all(name.startswith(folder + slash) for name in names) else ""


def _check_graph(name: str, data: bytes) -> None:
    """Refuses graphs that could do more than compute."""
    try:
        model = GraphModel.FromString(data)
    except DecodeError as error:
        raise BundleError(f"{name} is not an ONNX file") from error
    graph = model.graph
    if not graph.node:
        raise BundleError(f"{name} is not an ONNX file, or has no operators")
    for node in graph.node:
        if node.op_type not in _OPERATORS or node.domain not in ("", "com.microsoft"):
            operator = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
            raise BundleError(f"{name} has the operator {operator!r}, which no network of ours has")
    if model.functions:
        raise BundleError(f"{name} has functions of its own, which no network of ours has")
    if graph.sparse_initializer or any(
        tensor.data_location or tensor.external_data for tensor in graph.initializer
    ):
        raise BundleError(f"{name} keeps its weights outside of itself")


_NPZ_ERRORS = (*_ZIP_ERRORS, ValueError, TypeError, KeyError, OSError, MemoryError)


def _check_pointer(bundle: Bundle) -> None:
    try:
        bundle.pointer()
    except _NPZ_ERRORS as error:
        raise BundleError(f"{POINTER} cannot be used: {error}") from error


def _check_ngrams(bundle: Bundle) -> None:
    try:
        table = bundle.ngrams()
    except _NPZ_ERRORS as error:
        raise BundleError(f"{NGRAMS} cannot be read: {error}") from error
    if table.largest_bucket > _MAX_ALIKE:
        raise BundleError(f"{NGRAMS} is damaged: its contexts are no hashes")
    if table.predictions.dtype != np.uint16 or (table.predictions >= PREDICTIONS).any():
        raise BundleError(f"{NGRAMS} is damaged: it predicts what the alphabet does not have")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a string")
    return value


def remove(folder: Path) -> None:
    """Deletes a bundle's folder. Raises BundleWriteError where it cannot."""
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise BundleWriteError(f"cannot remove {folder}: {error.strerror}") from error
