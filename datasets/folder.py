"""Your own recordings: a folder in any of the usual corpus layouts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from benchmark.data.layouts import LAYOUTS
from benchmark.data.phonemes import voice
from benchmark.dataset import SPLITS, Dataset, DatasetCard, Utterance
from benchmark.errors import BenchmarkError
from benchmark.plumbing.files import printable
from benchmark.settings.ranges import Between0And1, Checked, Seed


class Folder(Dataset):
    """Any corpus of transcribed recordings, split by speaker.

    Layouts, in the order in which they are tried: ``metadata.csv`` with a header (``audio,text,speaker`` and optionally
    ``language,style,split``; Hugging Face's names work too), LJSpeech's ``metadata.csv`` (``id|text|text``, perhaps with a column of
    speakers) with ``wavs/``, Kaldi's ``wav.scp``, ``text`` and ``utt2spk``, and ``speaker/utterance.wav`` with ``.txt`` beside it. Splits
    come from the column ``split`` or from folders named after splits; without either, a seeded draw splits the speakers. One or two
    speakers can't be split: all are held out, and models of other corpora adapt to them (``run --pretrain.dataset``); or they
    train models that adapt to another dataset's speakers.
    """

    tasks = ("speaker", "language", "style", "cross_lingual")
    card: ClassVar = DatasetCard(
        title="a folder of recordings",
        version="1",
        licence="its owner's",
        language="en-us",
        sample_rate=16_000,
        citation="",
        how_to_get="Point --data-root at the folder.",
        layout=(
            "metadata.csv with the header audio,text,speaker (or LJSpeech's, or Hugging Face's), Kaldi's wav.scp, text and utt2spk, "
            "or folders of speakers with .wav and .txt files"
        ),
    )

    @dataclass(frozen=True)
    class Config(Checked):
        """How the folder is read.

        Attributes:
            language: espeak-ng voice for texts whose language the folder does not name ("en-us", "de").
            split_by: draw disjoint splits by "speaker" or by "language", where the folder names no splits; ``--task language``
                always splits by language.
            validation: share of the speakers (languages) in the validation split, at least one of them.
            test: share of the speakers (languages) in the test split, at least one of them.
            seed: seed of the draw into splits.
        """

        language: str = "en-us"
        split_by: Literal["speaker", "language"] = "speaker"
        validation: Between0And1 = 0.1
        test: Between0And1 = 0.2
        seed: Seed = 0

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.validation + self.test >= 1:
                raise ValueError(f"validation and test must leave something to train on; together they are {self.validation + self.test:g}")

    config: Config

    def __init__(self, root: Path | None, config: Any = None) -> None:
        super().__init__(root, config)
        assert root is not None
        if not root.is_dir():
            raise self.wrong_root()
        layout, found = next(((name, found) for name, read in LAYOUTS.items() if (found := read(root)) is not None), ("", None))
        if found is None:
            raise self.wrong_root()
        every, splits, said = found
        self.layout = f"{layout}; {said}" if said else layout
        self.config = replace(self.config, language=self._voice(self.config.language, "the option language of dataset folder"))
        own = printable(root.resolve().name)
        label = re.sub(r"[^a-z0-9]+", "_", own.casefold()).strip("_")
        self.card = replace(self.card, language=self.config.language, title=f"{own} ({self.layout})", label=label)  # type: ignore[misc]
        self._speakers: dict[str, list[Utterance]] = {}
        for utterance in sorted(every, key=lambda each: each.id):
            if utterance.language:
                utterance = replace(utterance, language=self._voice(utterance.language, f"{utterance.id} in {root}"))
            self._speakers.setdefault(utterance.speaker, []).append(utterance)
        self._named = splits
        self.pose(self.task)

    def pose(self, task: str) -> None:
        """See :meth:`Dataset.pose`; tasks by language need splits by language."""
        super().pose(task)
        self.undivided = False
        self._splits = self._given(self._named) if self._named else self._drawn()

    @staticmethod
    def _voice(language: str, of: str) -> str:
        try:
            return voice(language)
        except ValueError as error:
            raise BenchmarkError(f"The language of {of} can't be read: {error}") from error

    def speakers(self, split: str) -> Sequence[str]:
        """See :meth:`Dataset.speakers`."""
        return self._splits[split]

    def utterances(self, speaker: str) -> Sequence[Utterance]:
        """See :meth:`Dataset.utterances`."""
        return self._speakers[speaker]

    def _given(self, splits: dict[str, str]) -> dict[str, list[str]]:
        """The folder's own splits; a speaker without one goes to train."""
        return {split: sorted(s for s in self._speakers if splits.get(s, "train") == split) for split in SPLITS}

    def _drawn(self) -> dict[str, list[str]]:
        """Speakers, or languages with all of their speakers, drawn by the seed."""
        groups: dict[str, set[str]] = {}
        split_by = "language" if self.task == "language" else self.config.split_by
        for speaker, utterances in self._speakers.items():
            languages = {utterance.language or self.config.language for utterance in utterances}
            if split_by == "language" and len(languages) > 1:
                spoken = ", ".join(sorted(languages))
                raise BenchmarkError(f"{speaker} of {self.root} speaks {spoken}, so no split by language keeps speakers apart.")
            groups.setdefault(speaker if split_by == "speaker" else languages.pop(), set()).add(speaker)
        names = sorted(groups)
        drawn = [names[i] for i in np.random.default_rng(self.config.seed).permutation(len(names))]
        if len(names) < len(SPLITS):  # too few to learn from: models of other corpora adapt to them, or learn from them
            self.undivided = True
            return {"train": [], "validation": [], "test": sorted(self._speakers)}
        test = max(1, round(self.config.test * len(names)))
        validation = max(1, round(self.config.validation * len(names)))
        parts = {"test": drawn[:test], "validation": drawn[test : test + validation], "train": drawn[test + validation :]}
        return {split: sorted(speaker for name in parts[split] for speaker in groups[name]) for split in SPLITS}


PLUGIN = Folder
