"""speechocean762: real read English by 250 people whose first language is Mandarin (OpenSLR 101)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from benchmark.dataset import Dataset, DatasetCard, Utterance, read_lines
from benchmark.errors import BenchmarkError

TEST_PER_GENDER, VALIDATION_PER_GENDER, ADULT = 6, 4, 18
T = TypeVar("T")


class SpeechOcean762(Dataset):
    """Accented read speech, 20 sentences per speaker; only the official train split, divided by speaker.

    Zhang et al., "speechocean762: An Open-Source Non-native English Speech Corpus For Pronunciation Assessment"
    (Interspeech 2021). Test and validation speakers are adults, half of them women; the others, including children, train.
    Reads the corpus as published (``.WAV``) and copies in other formats: paths come from ``train/wav.scp``.
    """

    card = DatasetCard(
        title="speechocean762",
        version="1",
        licence="CC-BY-4.0",
        language="en-us",
        sample_rate=16_000,
        citation="Zhang et al., Interspeech 2021, arXiv:2104.01378",
        how_to_get="Download it from https://www.openslr.org/101/ and unpack it.",
        layout="train/{wav.scp,text,utt2spk,spk2age,spk2gender} and the audio files that wav.scp names",
    )

    def __init__(self, root: Path | None, config: Any = None) -> None:
        super().__init__(root, config)
        assert root is not None
        tables = {name: self._table(root / "train" / name, str) for name in ("wav.scp", "text", "utt2spk", "spk2gender")}
        ages = self._table(root / "train" / "spk2age", int)
        self._speakers: dict[str, list[Utterance]] = {}
        for name, speaker in sorted(tables["utt2spk"].items()):
            audio = root / tables["wav.scp"].get(name, f"missing/{name}")
            self._speakers.setdefault(speaker, []).append(Utterance(name, speaker, tables["text"].get(name, ""), audio))
        self._splits = _split(sorted(self._speakers), ages, tables["spk2gender"])

    def speakers(self, split: str) -> Sequence[str]:
        """See :meth:`Dataset.speakers`."""
        return self._splits[split]

    def utterances(self, speaker: str) -> Sequence[Utterance]:
        """See :meth:`Dataset.utterances`."""
        return self._speakers[speaker]

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


def _split(speakers: Sequence[str], age: dict[str, int], gender: dict[str, str]) -> dict[str, list[str]]:
    """Draw adults by a fixed seed, as many women as men, for test and validation; everybody else trains."""
    generator = np.random.default_rng(762)
    test: list[str] = []
    validation: list[str] = []
    for kind in ("f", "m"):
        adults = [s for s in speakers if gender.get(s, "").lower() == kind and age.get(s, 0) >= ADULT]
        drawn = [adults[i] for i in generator.permutation(len(adults))]
        test += drawn[:TEST_PER_GENDER]
        validation += drawn[TEST_PER_GENDER : TEST_PER_GENDER + VALIDATION_PER_GENDER]
    held_out = {*test, *validation}
    return {"train": [s for s in speakers if s not in held_out], "validation": sorted(validation), "test": sorted(test)}


PLUGIN = SpeechOcean762
