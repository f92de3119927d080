"""Files as a network reads them: their symbols, and all that it reads beside these.

A network that reads memories must learn what each is worth, and must still do well without
them. So of four files one is read with neither, one with its own text's memory alone, and
two with the memory of the other files of their project as well: it sees what a user has who
types into a new file, into a single one, and in a project.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from foretype_models.alphabet import Symbols
from foretype_models.architecture import Architecture
from foretype_models.inputs import Memory, Ngrams
from foretype_training import ngrams
from foretype_training.corpus import SourceFile, Split, symbols
from foretype_training.ngrams import CrossFitted


@dataclass(frozen=True)
class Text:
    """A file, and what it is read with."""

    symbols: Symbols
    table: Memory
    project: Memory | None = None  # of the project's other files
    own_memory: bool = False  # whether what stands in it before is read too


@dataclass(frozen=True)
class Texts:
    """All that a network is trained with, and the table that it keeps."""

    training: list[Text]
    validation: list[Text]
    table: Ngrams


def texts(
    architecture: Architecture,
    split: Split,
    base: Ngrams,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Texts:
    """Counts what there is to know beside the files; `base` is the table to go on from.

    `progress` is told how many characters were counted, of all: they are counted once for the
    table and, where memories are read, once more for their projects.
    """
    training, validation = symbols(split.training), symbols(split.validation)
    characters = sum(map(len, training))
    total = (2 if architecture.memory else 1) * characters
    projects = [file.project for file in split.training]
    fold_of_project = ngrams.by_project(training, projects)
    folds = [
        fold_of_project.get(project, fold)
        for project, fold in zip(projects, ngrams.by_file(training), strict=True)
    ]

    def of_table(done: int, orders: int) -> None:
        progress(characters * done // orders, total)

    counted = ngrams.count(architecture, training, base, folds, progress=of_table)

    def table_for(file: SourceFile) -> Memory:
        """Of many projects the network is judged as on a stranger's, as it was trained."""
        fold = fold_of_project.get(file.project)
        return counted.table if fold is None else counted.folds[fold]

    known = [Text(file, counted.of(number)) for number, file in enumerate(training)]
    unknown = [
        Text(read, table_for(file)) for file, read in zip(split.validation, validation, strict=True)
    ]
    if architecture.memory:
        others = _Others(
            architecture, split.training, lambda done: progress(characters + done, total)
        )
        known = [_mixed(n, t, others.of(n)) for n, t in enumerate(known)]
        memories = (others.all(file.project) for file in split.validation)
        unknown = [_mixed(n, t, p) for n, (t, p) in enumerate(zip(unknown, memories, strict=True))]
    return Texts(known, unknown, counted.table)


def _mixed(number: int, text: Text, project: Memory | None) -> Text:
    """The text with no memory, its own, or both, by its number."""
    if number % 4 == 0:
        return text
    return replace(text, project=None if number % 4 == 1 else project, own_memory=True)


def _count_project(architecture: Architecture, files: Sequence[Symbols]) -> CrossFitted:
    return ngrams.count(architecture, files, Ngrams.empty(), ngrams.by_file(files), min_count=1)


class _Others:
    """What the other files of a file's project know."""

    def __init__(
        self,
        architecture: Architecture,
        files: Sequence[SourceFile],
        progress: Callable[[int], None],
    ) -> None:
        members: dict[int, list[SourceFile]] = defaultdict(list)
        self._places: list[tuple[int, int]] = []  # of each file: project, number in it
        for file in files:
            self._places.append((file.project, len(members[file.project])))
            members[file.project].append(file)
        self._projects: dict[int, CrossFitted] = {}
        done = 0
        for project, own in members.items():
            progress(done)
            own_symbols = symbols(own)
            self._projects[project] = _count_project(architecture, own_symbols)
            done += sum(map(len, own_symbols))

    def of(self, number: int) -> Memory:
        """Of the training file of this number."""
        project, place = self._places[number]
        return self._projects[project].of(place)

    def all(self, project: int) -> Memory | None:
        """Of a file that is not among them."""
        return self._projects[project].table if project in self._projects else None
