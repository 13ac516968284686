"""speechocean762: real read English by 250 people whose first language is Mandarin (OpenSLR 101)."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from benchmark.dataset import Dataset, DatasetCard, Utterance, read_lines
from benchmark.errors import BenchmarkError, UsageError

TEST_PER_GENDER, VALIDATION_PER_GENDER, ADULT = 6, 4, 18
OFFICIAL_TEST = (
    "0024", "0157", "0457", "0461", "0567", "0811", "0981", "1037", "1099", "1135", "1181", "1228", "1293", "1408",
    "2016", "2031", "2116", "2355", "2438", "2448", "2488", "2892", "2917", "9601", "9608", "9612", "9618", "9629",
)  # fmt: skip
"""Fourteen women and fourteen men among the 61 adults of the official test split; the other 97 people there are not used."""
T = TypeVar("T")


class SpeechOcean762(Dataset):
    """Accented read speech, 20 sentences per speaker. The labels of an utterance are its speaker's ``sex`` (f or m) and ``age``.

    Zhang et al., "speechocean762: An Open-Source Non-native English Speech Corpus For Pronunciation Assessment"
    (Interspeech 2021). The official train split is divided by speaker: 12 adults test, 8 adults validate, the others, including
    children, train. 28 adults of the official test split test too. Half of the test and of the validation speakers are women.
    Reads the corpus as published (``.WAV``) and copies in other formats: paths come from ``wav.scp``.
    """

    card = DatasetCard(
        title="speechocean762",
        version="2",
        licence="CC-BY-4.0",
        language="en-us",
        sample_rate=16_000,
        citation="Zhang et al., Interspeech 2021, arXiv:2104.01378",
        how_to_get="Download it from https://www.openslr.org/101/ and unpack it.",
        layout="train/{wav.scp,text,utt2spk,spk2age,spk2gender}, the same in test/, and the audio files that wav.scp names",
    )

    def __init__(self, root: Path | None, config: Any = None) -> None:
        super().__init__(root, config)
        assert root is not None
        if (root / "train").is_dir() and not (root / "test").is_dir():
            held = f"which holds {len(OFFICIAL_TEST)} of the test speakers"
            raise UsageError(f"{root} has train/ but not test/, {held}. {self.card.how_to_get}")
        self._speakers: dict[str, list[Utterance]] = {}
        self._splits = _split(*self._read("train"))
        further, *_ = self._read("test", OFFICIAL_TEST)
        self._splits["test"] = sorted([*self._splits["test"], *further])

    def speakers(self, split: str) -> Sequence[str]:
        """See :meth:`Dataset.speakers`."""
        return self._splits[split]

    def utterances(self, speaker: str) -> Sequence[Utterance]:
        """See :meth:`Dataset.utterances`."""
        return self._speakers[speaker]

    def _read(self, folder: str, only: Container[str] | None = None) -> tuple[list[str], dict[str, int], dict[str, str]]:
        """Take in the utterances of an official split; return their speakers, sorted, and everybody's age and sex there."""
        assert self.root is not None
        place = self.root / folder
        tables = {name: self._table(place / name, str) for name in ("wav.scp", "text", "utt2spk")}
        ages, sexes = self._table(place / "spk2age", int), self._table(place / "spk2gender", str.lower)
        found = {name: speaker for name, speaker in sorted(tables["utt2spk"].items()) if only is None or speaker in only}
        for name, speaker in found.items():
            audio = self.root / tables["wav.scp"].get(name, f"missing/{name}")
            known = {"sex": sexes.get(speaker), "age": ages.get(speaker)}
            labels = {label: str(value) for label, value in known.items() if value is not None}
            text = tables["text"].get(name, "")
            self._speakers.setdefault(speaker, []).append(Utterance(name, speaker, text, audio, labels=labels))
        return sorted({*found.values()}), ages, sexes

    def _table(self, path: Path, read: Callable[[str], T]) -> dict[str, T]:
        """A Kaldi table: key, white space, value."""
        try:
            lines = read_lines(path)
        except OSError as error:
            raise self.wrong_root() from error
        table = {}
        for number, line in enumerate(lines, 1):
            key, _, value = line.replace("\t", " ").partition(" ")
            try:
                if key:
                    table[key] = read(value.strip())
            except ValueError as error:
                found = f"{path}, line {number}: {value.strip()!r}"
                raise BenchmarkError(f"{found} is not a whole number; restore the file from the corpus.") from error
        return table


def _split(speakers: Sequence[str], age: dict[str, int], sex: dict[str, str]) -> dict[str, list[str]]:
    """Draw adults by a fixed seed, as many women as men, for test and validation; everybody else trains."""
    generator = np.random.default_rng(762)
    test: list[str] = []
    validation: list[str] = []
    for kind in ("f", "m"):
        adults = [s for s in speakers if sex.get(s) == kind and age.get(s, 0) >= ADULT]
        drawn = [adults[i] for i in generator.permutation(len(adults))]
        test += drawn[:TEST_PER_GENDER]
        validation += drawn[TEST_PER_GENDER : TEST_PER_GENDER + VALIDATION_PER_GENDER]
    held_out = {*test, *validation}
    return {"train": [s for s in speakers if s not in held_out], "validation": sorted(validation), "test": sorted(test)}


PLUGIN = SpeechOcean762
