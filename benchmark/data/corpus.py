"""A prepared corpus on disk, read by memory map: the speech for training, adaptation and evaluation.

Layout of a corpus folder (written by :mod:`benchmark.data.prepare`):

``corpus.json``
    dataset card, mel definition, symbols, statistics, digests of the other files and of the training speech, the report of what was
    skipped, ``version``, and a digest of all that.
``utterances.jsonl``
    one utterance per line: id, speaker, split, text, words, shard, and where its frames, tokens and samples lie.
``shards/00000.{audio,mel,pitch,energy,tokens,durations}.npy``
    the utterances of a shard, one after the other.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmark.data.enough import first_few
from benchmark.errors import BenchmarkError, UsageError
from benchmark.mel import MelSpec
from benchmark.plumbing.files import SEAL, digest_of, digest_of_file, read_json, unsealed
from benchmark.task import TASK_KINDS
from benchmark.utterance import PreparedUtterance, Statistics, spelled

ARRAYS = {"audio": "sample", "mel": "frame", "pitch": "frame", "energy": "frame", "tokens": "token", "durations": "token"}
"""The arrays of a shard, and the unit in which ``utterances.jsonl`` says where an utterance's part lies."""
UNSEALED, CORPUS_FORMAT = 1, 3
"""The oldest and the newest format. Before the newest a corpus's version was a digest of the prepared bytes, and the oldest carries no
digest of ``corpus.json``; :func:`benchmark.data.prepare.prepare` checks what it can and brings corpora to the newest."""
INDEX = "utterances.jsonl"
UNLEARNABLE = "the transcript spells nothing that the model could write, or is too long for the recording"
"""Why a recogniser can't learn from an utterance."""


class Corpus:
    """A prepared corpus. Opening it reads its index; audio and features are memory-mapped on demand.

    ``version`` says what it was made from (:func:`version_of`), ``exact_version`` which bytes came out (:func:`bytes_version`).

    Args:
        folder: written by :mod:`benchmark.data.prepare`.
        task: how to group its utterances, a name in :data:`benchmark.task.TASK_KINDS`.

    Raises:
        BenchmarkError: the folder holds no corpus, a damaged one, or one of another format.
    """

    def __init__(self, folder: Path, task: str = "speaker") -> None:
        self.folder, self.task = folder, TASK_KINDS[task]
        self.meta = _meta(folder / "corpus.json")
        try:
            self._read()
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise BenchmarkError(f"The prepared corpus at {folder} is damaged ({error}); delete it and prepare again.") from error
        self._maps: dict[int, dict[str, npt.NDArray[Any]]] = {}
        self._group()

    def _read(self) -> None:
        self.name: str = self.meta["dataset"]
        self.version: str = self.meta["version"]
        self.exact_version = bytes_version(self.meta)
        # Corpora that don't say are of version 3 (or of 2, which only `say` opens).
        self.preparation = str(self.meta.get("preparation", 3))
        self.symbols: tuple[str, ...] = tuple(self.meta["symbols"])
        self.mel = MelSpec(**self.meta["mel"])
        statistics: dict[str, Any] = self.meta["statistics"]
        values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in statistics.items()}
        self.statistics = Statistics(**values)
        self.report: dict[str, Any] = self.meta["report"]
        content = (self.folder / INDEX).read_bytes()
        if hashlib.sha256(content).hexdigest() != self.meta["files"][INDEX]:
            raise ValueError(f"{INDEX} was changed")
        lines = content.decode("utf-8").split("\n")[:-1]  # splitlines() would also split at what a text may hold
        self._index: dict[str, dict[str, Any]] = {row["id"]: row for row in map(json.loads, lines)}

    def _group(self) -> None:
        self._by_speaker: dict[str, list[str]] = {}
        self._by_target: dict[str, list[str]] = {}
        voices: dict[str, set[str]] = {}
        languages: dict[str, set[str]] = {}
        for row in self._index.values():
            self._by_speaker.setdefault(row["speaker"], []).append(row["id"])
            if target := self._target(row):
                self._by_target.setdefault(target, []).append(row["id"])
                voices.setdefault(target, set()).add(row["speaker"])
                languages.setdefault(target, set()).add(self._language(row))
        least = (voices, self.task.speakers), (languages, self.task.languages)
        self._lonely = {target: min(some) for found, count in least for target, some in sorted(found.items()) if len(some) < count}
        for target in self._lonely:
            del self._by_target[target]
        self._unlearnable: set[str] = set()

    def learning_from(self, learnable: Callable[[int, str], bool]) -> Corpus:
        """The same corpus without the training utterances that can't be learned from, which :meth:`left_out` tells.

        Args:
            learnable: of a number of mel frames and a transcript, as :func:`spelled` writes it.

        Raises:
            UsageError: none can.
        """
        every = [row for row in self._index.values() if row["split"] == "train"]
        lost = {row["id"] for row in every if not learnable(row["frames"], spelled(row["text"]))}
        if every and len(lost) == len(every):
            raise UsageError(f"No training recording of {self.name} can be learned from: {UNLEARNABLE}; check the transcripts.")
        found = copy.copy(self)
        found._unlearnable = lost
        for name in ("_by_speaker", "_by_target"):
            kept = {key: [each for each in names if each not in lost] for key, names in getattr(self, name).items()}
            setattr(found, name, {key: names for key, names in kept.items() if names})
        return found

    @property
    def own(self) -> Corpus:
        """The corpus of ``--dataset`` alone: itself, unless others were joined to it to learn from (:class:`JoinedCorpus`)."""
        return self

    def __contains__(self, utterance_id: object) -> bool:
        return utterance_id in self._index

    def __len__(self) -> int:
        return len(self._index)

    def __iter__(self) -> Iterator[str]:
        return iter(self._index)

    def __getitem__(self, utterance_id: str) -> PreparedUtterance:
        row = self._index[utterance_id]
        arrays: dict[str, Any] = _parts(row, self._shard(row["shard"]))
        return PreparedUtterance(
            id=row["id"], speaker=row["speaker"], text=row["text"], words=tuple(map(tuple, row["words"])),
            language=self._language(row), style=row.get("style", ""), labels=row.get("labels", {}), **arrays,
        )  # fmt: skip

    def __getstate__(self) -> dict[str, Any]:
        # Memory maps would be pickled as copies; each worker opens its own.
        return {**self.__dict__, "_maps": {}}

    @cached_property
    def training_digest(self) -> str:
        """Digest of all that a training sees: symbols, mel definition, statistics and the training split's utterances.

        Trainings are kept by it, so that another test speaker throws none away. Symbols are those of all splits: a test speaker with a
        phone that nobody else has changes every model's table of symbols, and so the digest.
        """
        return digest_of([self.symbols, asdict(self.mel), asdict(self.statistics), self._training_speech])

    @property
    def _training_speech(self) -> Any:
        found = self.meta.get("training_speech")  # corpora that were prepared before don't have it
        return found or speech_digest(self._index.values(), self.meta.get("card", {}).get("language", ""), self._shard)

    def many(self, utterance_ids: Iterable[str]) -> list[PreparedUtterance]:
        """Several utterances, in the given order."""
        return [self[utterance_id] for utterance_id in utterance_ids]

    def speakers(self, split: str) -> list[str]:
        """Speakers of ``split`` ("train", "validation" or "test") that have at least one utterance, sorted."""
        return sorted({row["speaker"] for row in self._index.values() if row["split"] == split and row["speaker"] in self._by_speaker})

    def utterance_ids(self, speaker: str) -> list[str]:
        """The utterances of a speaker, sorted."""
        return sorted(self._by_speaker[speaker])

    def targets(self, split: str) -> list[str]:
        """The targets of the split's tasks, sorted: its speakers, or the groups of the task that the corpus was opened for."""
        found = {self._target(row) for row in self._index.values() if row["split"] == split}
        return sorted(found & self._by_target.keys())

    def utterances_of(self, target: str) -> list[str]:
        """The utterances of a target, sorted."""
        return sorted(self._by_target[target])

    def by_language(self, target: str) -> dict[str, list[str]]:
        """The utterances of a target by language, both sorted."""
        found: dict[str, list[str]] = {}
        for name in self.utterances_of(target):
            found.setdefault(self.language(name), []).append(name)
        return dict(sorted(found.items()))

    def labels(self, speaker: str) -> dict[str, str]:
        """The labels that all utterances of a speaker have alike, such as sex and age."""
        every = [self._index[name].get("labels", {}) for name in self._by_speaker[speaker]]
        return {name: value for name, value in every[0].items() if all(each.get(name) == value for each in every)}

    def left_out(self) -> str:
        """A sentence about the targets that have too few speakers or languages, and one about training utterances; "" if all are there."""
        return " ".join(filter(None, [self._left_out_targets(), self._left_out_utterances()]))

    def _left_out_utterances(self) -> str:
        if not (lost := sorted(self._unlearnable)):
            return ""
        are = "recording is" if len(lost) == 1 else "recordings are"
        return f"{len(lost)} training {are} left out, because {UNLEARNABLE}: {first_few(lost)}."

    def _left_out_targets(self) -> str:
        if not self._lonely:
            return ""
        count, kind, what = len(self._lonely), self.task.noun, "language" if self.task.crosses else "speaker"
        are = f"{kind} of {self.name} has one {what} and is" if count == 1 else f"{kind}s of {self.name} have one {what} each and are"
        why = "queries are in another than the support set" if self.task.crosses else f"no model could tell the {kind} from the speaker"
        named = first_few([f"{target} ({only})" for target, only in self._lonely.items()])
        return f"{count} {are} left out, because {why}: {named}."

    def _language(self, row: dict[str, Any]) -> str:
        return str(row.get("language") or self.meta.get("card", {}).get("language", ""))

    def _target(self, row: dict[str, Any]) -> str:
        return self.task.target(row["speaker"], self._language(row), row.get("style", ""))

    def rows(self) -> Iterable[dict[str, Any]]:
        """The rows of ``utterances.jsonl``."""
        return self._index.values()

    def frames(self, utterance_id: str) -> int:
        """An utterance's length in mel frames, without reading its arrays."""
        return int(self._index[utterance_id]["frames"])

    def text(self, utterance_id: str) -> str:
        """An utterance's text, without reading its arrays."""
        return str(self._index[utterance_id]["text"])

    def language(self, utterance_id: str) -> str:
        """An utterance's language, without reading its arrays."""
        return self._language(self._index[utterance_id])

    @cached_property
    def symbol_ids(self) -> dict[str, int]:
        """Index of each symbol."""
        return {symbol: index for index, symbol in enumerate(self.symbols)}

    @cached_property
    def characters(self) -> tuple[str, ...]:
        """The characters of the training transcripts as recognition spells them, sorted."""
        return tuple(sorted({each for row in self._index.values() if row["split"] == "train" for each in spelled(row["text"])}))

    def unheard(self, targets: Iterable[str]) -> tuple[list[str], float]:
        """Phones of targets that no training utterance has, the most frequent first, and their share of all those targets say (0 to 1)."""
        return self._unknown(targets, lambda row: [phone for word in row["words"] for phone in word])

    def unseen(self, targets: Iterable[str]) -> tuple[list[str], float]:
        """As :meth:`unheard`, of the transcripts' characters as recognition spells them."""
        return self._unknown(targets, lambda row: spelled(row["text"]))

    def _unknown(self, targets: Iterable[str], units: Callable[[dict[str, Any]], Iterable[str]]) -> tuple[list[str], float]:
        known = {unit for row in self._index.values() if row["split"] == "train" for unit in units(row)}
        said = Counter(unit for target in targets for name in self._by_target[target] for unit in units(self._index[name]))
        strange = [unit for unit, _ in said.most_common() if unit not in known]
        return strange, sum(said[unit] for unit in strange) / max(1, said.total())

    def check(self) -> None:
        """Compare every shard with its recorded digest; the rest was checked when the corpus was opened.

        Raises:
            BenchmarkError: a shard is missing or differs.
        """
        for name, digest in self.meta["files"].items():
            path = self.folder / name
            if name != INDEX and (not path.is_file() or digest_of_file(path) != digest):
                raise BenchmarkError(f"{path} is missing or damaged; delete {self.folder} and prepare again.")

    def _shard(self, number: int) -> dict[str, npt.NDArray[Any]]:
        if number not in self._maps:
            try:
                self._maps[number] = open_shard(self.folder, number)
            except (OSError, ValueError) as error:
                what = f"Shard {number:05d} of {self.folder} is damaged ({error})"
                raise BenchmarkError(f"{what}; delete the folder and prepare again.") from error
        return self._maps[number]


def open_shard(folder: Path, number: int) -> dict[str, npt.NDArray[Any]]:
    """A shard's arrays by name, mapped into memory.

    Raises:
        OSError, ValueError: one is missing or damaged.
    """
    return {name: np.load(folder / "shards" / f"{number:05d}.{name}.npy", mmap_mode="r") for name in ARRAYS}


def speech_digest(rows: Iterable[dict[str, Any]], language: str, shard: Callable[[int], dict[str, npt.NDArray[Any]]]) -> str:
    """Digest of the training split: what is said of each utterance, and all of its arrays; where they lie does not count.

    Args:
        rows: of ``utterances.jsonl``; those of other splits are left out.
        language: of rows that name none.
        shard: gives a shard's arrays by its number.
    """
    found = []
    for row in sorted((row for row in rows if row["split"] == "train"), key=lambda row: str(row["id"])):
        said = [row["id"], row["speaker"], row["text"], row["words"], row.get("language") or language]
        said += [row.get("style", ""), row.get("labels", {})]
        hashed = hashlib.sha256()
        for part in _parts(row, shard(row["shard"])).values():
            hashed.update(np.ascontiguousarray(part).data)
        found.append([*said, hashed.hexdigest()])
    return digest_of(found)


def _parts(row: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """An utterance's own part of its shard's arrays."""
    return {name: arrays[name][row[unit] : row[unit] + row[f"{unit}s"]] for name, unit in ARRAYS.items()}


def _meta(path: Path) -> dict[str, Any]:
    """The content of a ``corpus.json``, its digest checked."""
    content = read_json(path, "prepared corpus")
    if not isinstance(content, dict) or content.get("format") not in range(UNSEALED, CORPUS_FORMAT + 1):
        raise BenchmarkError(f"The prepared corpus at {path.parent} is of another format; delete it and prepare again.")
    if content["format"] != UNSEALED or SEAL in content:
        return unsealed(content, path, "prepared corpus")
    if content.get("version") != bytes_version(content):
        raise BenchmarkError(f"The prepared corpus at {path.parent} was changed: it is not of its version; delete it and prepare again.")
    return content


def version_of(preparation: object, symbols: Any, mel: Any, sources: Sequence[str], rows: Iterable[dict[str, Any]]) -> str:
    """The version of a corpus, the same on all machines: a digest of what it was made from, and of what is said in it.

    Args:
        preparation: version of the code.
        symbols: that tokens stand for.
        mel: definition, as a dictionary.
        sources: digests of each speaker's recordings, transcripts and TextGrids.
        rows: of ``utterances.jsonl``; where their arrays lie does not count.
    """
    places = {"shard", *ARRAYS.values(), *(f"{unit}s" for unit in ARRAYS.values())}
    said = [{name: value for name, value in row.items() if name not in places} for row in rows]
    return digest_of([str(preparation), symbols, mel, sorted(sources), sorted(said, key=lambda row: str(row["id"]))], 16)


def bytes_version(meta: dict[str, Any]) -> str:
    """Digest of the symbols, mel definition and files in a ``corpus.json``; processors round features differently, so each has its own."""
    return digest_of([meta.get(name) for name in ("symbols", "mel", "files")], 16)


def is_of_version(meta: dict[str, Any], version: str) -> bool:
    """Whether a result's data version is that of a ``corpus.json``; results of before format 3 name the version of the bytes."""
    return version in (meta.get("version"), bytes_version(meta))
