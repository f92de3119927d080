"""Builds a corpus for the `java` model from Debian's source packages.

    python training/recipes/java/corpus.py OUT [--cache FOLDER] [--only PACKAGE,...]
        [--manifest FILE...] [--largest-share SHARE]

    OUT/PACKAGE/...      the files of each project, with their paths in its archive
    OUT/manifest.json    of each project: version, licence, SHA-256, what was taken, what
                         each filter took

What is taken stands in corpus.toml, or in the manifests that are named, of which the first has
the settings. Archives that are not in the cache (OUT's neighbour
`archives` if not said otherwise) are fetched by apt; each must have the hash that stands
there. OUT appears when all is done, and is the same every time.

The filters, in this order; what one takes the next does not see:

    withheld        the model's validation files
    copyleft        files whose own notice names a licence that is not permissive
    data            tables of parsers and test data: a quarter of the file and more are runs of
                    numbers, escapes, or encoded bytes
    generated, minified, oversized, binary, empty, not UTF-8, exact duplicate, with a secret
                    as `foretype train` does
    near duplicate  (Jaccard similarity of five-token shingles above 0.85, by MinHash) of a file
                    before it, of any project, of one withheld, or of one of the projects that
                    are kept apart for tests
    over the share  what a project has beyond its share of all characters, by the hash of paths

Before the shares are taken, a leading comment that stands in many files, as licences do, is
cut from all but a hundredth of them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from itertools import repeat
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

from rich.console import Console
from rich.table import Table

from foretype_training import duplicates
from foretype_training.corpus import SourceFile, read_corpus, sample
from foretype_training.display import say, tracking
from foretype_training.errors import InputError, TrainingError

MANIFEST = Path(__file__).with_name("corpus.toml")
KEPT_HEADERS = 100
"""Of so many files with the same leading comment one keeps it."""
DATA_SHARE = 0.25

_APT_SOURCES = Path("/etc/apt/sources.list.d/debian.sources")
_SPACE = rb"[\s\"+,{}]*"
_DATA = re.compile(
    rb"(?:[-+]?(?:0[xX][0-9a-fA-F_]+|\d[\d_]*(?:\.\d*)?(?:[eE][-+]?\d+)?)[LlFfDd]?\s*,\s*){8,}"
    rb"|(?:\\(?:u+[0-9a-fA-F]{4}|[0-7]{1,3})" + _SPACE + rb"){8,}"
    rb"|\"[0-9a-fA-F]{32,}\"|\"[0-9A-Za-z+/]{48,}={0,2}\""
)
_COPYLEFT = re.compile(
    rb"\b(?:Lesser |Library |Affero )?General Public Licen[cs]e|\bA?L?GPL\b"
    rb"|\b(?:Mozilla|Eclipse|Common) Public Licen[cs]e|\bCommon Development and Distribution"
)
_PERMISSIVE = re.compile(rb"Apache License|\bBSD\b|\bMIT License")
_NOTICE_WITHIN = 3_000  # bytes
_HEADER = re.compile(rb"\A\s*(?:/\*.*?\*/[ \t]*\r?\n|(?://[^\n]*\n)+)\s*", re.DOTALL)
_YEARS = re.compile(rb"\W+|\d+")


@dataclass(frozen=True)
class Project:
    """As it stands in the manifest."""

    package: str  # Debian's source package
    version: str
    archive: str
    sha256: str
    licence: str  # SPDX
    folders: Sequence[str] = (".",)
    withheld: Sequence[str] = ()


@dataclass
class Kept:
    """The files of a project that are left, and how many each filter took."""

    project: Project
    files: list[SourceFile]
    apart: list[SourceFile]  # those withheld
    taken: Counter[str] = field(default_factory=Counter[str])

    def keep(self, files: Sequence[SourceFile], filtered_by: str) -> None:
        if len(self.files) > len(files):
            self.taken[filtered_by] += len(self.files) - len(files)
        self.files = list(files)

    @property
    def characters(self) -> int:
        return sum(len(file.text) for file in self.files)

    def to_json(self) -> dict[str, Any]:
        return {
            **asdict(self.project),
            "files": len(self.files),
            "characters": self.characters,
            "taken": dict(sorted(self.taken.items())),
        }


def is_data(text: bytes) -> bool:
    """Whether a quarter of it and more are runs of numbers, escapes or encoded bytes."""
    return sum(len(run.group()) for run in _DATA.finditer(text)) >= DATA_SHARE * len(text)


def is_copyleft(text: bytes) -> bool:
    """Whether its notice names a licence that is not permissive, and none that is."""
    notice = text[:_NOTICE_WITHIN]
    return bool(_COPYLEFT.search(notice)) and not _PERMISSIVE.search(notice)


def without_header(text: bytes) -> bytes:
    """The text after the comment that it begins with."""
    return _HEADER.sub(b"", text, count=1)


def thin_headers(projects: Sequence[Kept], common: int) -> int:
    """Cuts leading comments that stand in `common` files and more, years apart, from all but
    a hundredth of each project's files with it, at least one; says from how many."""
    with_header: dict[bytes, dict[int, list[SourceFile]]] = defaultdict(lambda: defaultdict(list))
    for number, kept in enumerate(projects):
        for file in kept.files:
            if header := _HEADER.match(file.text):
                with_header[_YEARS.sub(b" ", header.group())][number].append(file)
    cut: set[tuple[int, str]] = set()
    for by_project in with_header.values():
        if sum(map(len, by_project.values())) >= common:
            for number, files in by_project.items():
                keeping = -(-len(files) // KEPT_HEADERS)
                files.sort(key=lambda file: file.sha1)
                cut.update((number, file.path) for file in files[keeping:])
    for number, kept in enumerate(projects):
        kept.files = [
            replace(file, text=without_header(file.text)) if (number, file.path) in cut else file
            for file in kept.files
        ]
    return len(cut)


def share_limit(sizes: Sequence[int], share: float) -> int:
    """The characters that a project may have so that none has more than this share of what
    is then left; all of them where the projects are too few for that."""
    if len(sizes) * share <= 1:
        return max(sizes)
    limit = max(sizes)
    while (allowed := int(share * sum(min(size, limit) for size in sizes))) < limit:
        limit = allowed
    return limit


def load(
    manifests: Sequence[Path], only: Sequence[str]
) -> tuple[dict[str, Any], list[Project], list[Project]]:
    """The first one's settings, the projects that are asked for, and those kept apart."""
    read: list[dict[str, Any]] = [tomllib.loads(path.read_text()) for path in manifests]
    entries = [entry for values in read for entry in values.pop("project")]
    projects = {entry["package"]: Project(**entry) for entry in entries}
    if unknown := set(only) - projects.keys():
        names = " and ".join(str(path) for path in manifests)
        raise InputError(f"no project {', '.join(sorted(unknown))} in {names}")
    kept_apart = [entry for values in read for entry in values.pop("kept_apart", [])]
    apart = {entry["package"]: Project(**entry) for entry in kept_apart}
    wanted = [p for p in projects.values() if not only or p.package in only]
    return read[0], wanted, list(apart.values())


def fetch(projects: Sequence[Project], cache: Path) -> None:
    """Puts the archives that the cache lacks into it, and checks the hashes of all."""
    missing = [project for project in projects if not (cache / project.archive).is_file()]
    if missing:
        cache.mkdir(parents=True, exist_ok=True)
        apt = _apt(cache)
        for number, project in enumerate(missing, 1):
            say(f"fetching {project.archive} ({number} of {len(missing)})")
            command = [*apt, "source", "--download-only", "--tar-only", project.package]
            subprocess.run(command, cwd=cache, capture_output=True)
    for project in projects:
        archive = cache / project.archive
        if not archive.is_file():
            raise TrainingError(f"apt does not give {project.archive}; put it into {cache}")
        with archive.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        if digest != project.sha256:
            raise TrainingError(f"{archive} has the SHA-256 {digest}, not {project.sha256}")


def _apt(cache: Path) -> list[str]:
    """The command, which knows source packages from a list of its own."""
    sources, lists = (cache / "sources.sources").resolve(), (cache / "lists").resolve()
    lists.mkdir(exist_ok=True)
    try:
        text = _APT_SOURCES.read_text()
    except OSError as error:
        raise TrainingError(f"cannot read {_APT_SOURCES}: {error.strerror}") from error
    sources.write_text(re.sub(r"^Types: .*", "Types: deb-src", text, flags=re.MULTILINE))
    options = (f"Dir::Etc::sourcelist={sources}", "Dir::Etc::sourceparts=/dev/null")
    apt = ["apt-get", *(f"-o{option}" for option in (*options, f"Dir::State::Lists={lists}"))]
    if subprocess.run([*apt, "update"], capture_output=True).returncode:
        raise TrainingError(f"apt-get update failed with {sources}")
    return apt


def sources(archive: Path) -> Iterator[tuple[str, bytes]]:
    """The Java files of an archive, by their paths below the one folder that holds all."""
    with tarfile.open(archive) as opened:
        found = {
            PurePosixPath(member.name): member
            for member in opened
            if member.isfile() and member.name.endswith(".java") and ".." not in member.name
        }
        tops = {path.parts[0] for path in found if len(path.parts) > 1}
        strip = len(tops) == 1 and all(len(path.parts) > 1 for path in found)
        for path, member in found.items():
            content = opened.extractfile(member)
            assert content is not None  # it is a file
            yield PurePosixPath(*path.parts[strip:]).as_posix(), content.read()


def _is_below(path: str, folders: Sequence[str]) -> bool:
    return any(folder == "." or path.startswith(f"{folder}/") for folder in folders)


def read(project: Project, number: int, cache: Path) -> Kept:
    """The project's files that filters leave which look at one file or project alone."""
    kept = Kept(project, [], [])
    with TemporaryDirectory() as unpacked:
        for path, text in sources(cache / project.archive):
            if _is_below(path, project.withheld):
                kept.apart.append(SourceFile(path, text))
            elif not _is_below(path, project.folders):
                continue
            elif is_copyleft(text) or is_data(text):
                kept.taken["copyleft" if is_copyleft(text) else "data"] += 1
            else:
                place = Path(unpacked, path)
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(text)
        found = read_corpus([Path(unpacked)], ["*.java"], to_learn=True)
    kept.files = [replace(file, project=number) for file in found.files]
    kept.taken += found.skipped
    if within := sum(_is_below(file.path, project.folders) for file in kept.apart):
        kept.taken["withheld"] = within
    return kept


def leave_out_near_duplicates(projects: Sequence[Kept], apart: Sequence[SourceFile]) -> None:
    """Of files that stand before them, and of those `apart`; their headers do not count."""
    known = [*apart, *(file for kept in projects for file in kept.apart)]
    files = [file for kept in projects for file in kept.files]
    with tracking("comparing") as track:

        def texts() -> Iterator[bytes]:
            for done, file in enumerate(files):
                track(done, len(files), f"{done:,} of {len(files):,} files")
                yield without_header(file.text)

        first = duplicates.first_of_each(texts(), [without_header(file.text) for file in known])
    left: dict[int, list[SourceFile]] = defaultdict(list)
    for number in first:
        left[files[number].project].append(files[number])
    for number, kept in enumerate(projects):
        kept.keep(left[number], "near duplicate")


def build(
    manifests: Sequence[Path], only: Sequence[str], cache: Path, largest_share: float | None = None
) -> tuple[list[Kept], dict[str, Any]]:
    """The projects' files, and manifest.json; `largest_share` instead of the settings'."""
    settings, wanted, held_apart = load(manifests, only)
    if largest_share is not None:
        settings["largest_share"] = largest_share
    fetch([*wanted, *held_apart], cache)
    projects: list[Kept] = []
    with tracking("reading") as track, ProcessPoolExecutor() as pool:
        reading = pool.map(read, wanted, range(len(wanted)), repeat(cache))
        for number, project in enumerate(wanted):
            track(number, len(wanted), project.package)
            projects.append(next(reading))
    apart = [
        SourceFile(path, text) for p in held_apart for path, text in sources(cache / p.archive)
    ]
    leave_out_near_duplicates(projects, apart)
    cut = thin_headers(projects, settings["common_header"])
    limit = share_limit([kept.characters for kept in projects], settings["largest_share"])
    for kept in projects:
        if kept.characters > limit:
            kept.keep(sample(kept.files, limit), "over the share")
    made = {
        "settings": settings,
        "projects": [kept.to_json() for kept in projects],
        "kept_apart": [asdict(project) for project in held_apart],
        "files": sum(len(kept.files) for kept in projects),
        "characters": sum(kept.characters for kept in projects),
        "taken": dict(sorted(sum((kept.taken for kept in projects), Counter[str]()).items())),
        "headers_cut": cut,
    }
    return projects, made


def write(out: Path, projects: Sequence[Kept], made: dict[str, Any]) -> None:
    """All at once: a run that is cut off leaves no folder of this name."""
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = f".{out.name}.unfinished-"
    for abandoned in out.parent.glob(f"{unfinished}*"):
        shutil.rmtree(abandoned)
    partial = Path(mkdtemp(prefix=unfinished, dir=out.parent))
    try:
        for kept in projects:
            for file in kept.files:
                place = partial / kept.project.package / file.path
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(file.text)
        (partial / "manifest.json").write_text(json.dumps(made, indent=2) + "\n")
        partial.chmod(0o755)
        partial.rename(out)
    except BaseException:
        shutil.rmtree(partial)
        raise


def show(projects: Sequence[Kept], made: dict[str, Any]) -> None:
    """What is left of each project, and what each filter took of all."""
    table = Table("project", "files", "characters", "share", "files left out")
    for kept in projects:
        share = kept.characters / max(1, made["characters"])
        row = (f"{len(kept.files):,}", f"{kept.characters:,}", f"{share:.1%}")
        table.add_row(kept.project.package, *row, f"{kept.taken.total():,}")
    table.add_section()
    totals = (f"{made['files']:,}", f"{made['characters']:,}", "")
    table.add_row("all", *totals, f"{sum(made['taken'].values()):,}")
    filters = Table("filter", "files left out")
    for name, count in sorted(made["taken"].items(), key=lambda item: -item[1]):
        filters.add_row(name, f"{count:,}")
    console = Console()
    console.print(table)
    console.print(filters)
    say(f"leading comments cut from {made['headers_cut']:,} files")


def main() -> None:
    command = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.add_argument("out", type=Path, metavar="OUT")
    command.add_argument("--cache", type=Path, metavar="FOLDER")
    command.add_argument("--only", default="", metavar="PACKAGE,...")
    command.add_argument("--manifest", type=Path, nargs="+", default=[MANIFEST], metavar="FILE")
    command.add_argument("--largest-share", type=float, metavar="SHARE")
    options = command.parse_args()
    out: Path = options.out
    try:
        if out.exists():
            raise InputError(f"{out} is there already; choose another folder")
        only = [name for name in options.only.split(",") if name]
        cache = options.cache or out.parent / "archives"
        projects, made = build(options.manifest, only, cache, options.largest_share)
        write(out, projects, made)
    except TrainingError as error:
        print(f"corpus.py: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    show(projects, made)


if __name__ == "__main__":
    main()
