"""A dataset from a folder of recordings: a folder for each speaker, a transcript beside each recording.

The built-in dataset ``folder`` reads more layouts; this one is kept as short as possible.

    DIR/anna/hello.wav      DIR/anna/hello.txt
    DIR/ben/morning.wav     DIR/ben/morning.txt

    python -m benchmark check examples/dataset_folder.py
    python -m benchmark prepare --plugin examples/dataset_folder.py --dataset dataset_folder --data-root DIR
    python -m benchmark run --plugin examples/dataset_folder.py --dataset dataset_folder --data-root DIR --algo reptile --preset smoke
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from annotated_types import Gt, Le

from benchmark.dataset import Dataset, DatasetCard, Utterance
from benchmark.settings.ranges import Checked, Seed


class DatasetFolder(Dataset):
    """Your own recordings. Validation and test speakers, at least two each, are drawn with a seed; no speaker is in two splits."""

    card = DatasetCard(
        title="folder of recordings",
        version="1",
        licence="the recordings' own",
        language="en-us",
        sample_rate=16_000,
        citation="none",
        how_to_get="Record at least six speakers, 15 sentences each.",
        layout="SPEAKER/NAME.wav and SPEAKER/NAME.txt, of at least six speakers",
    )

    @dataclass(frozen=True)
    class Config(Checked):
        """How speakers are split, and what they speak.

        Attributes:
            held_out: share of the speakers in the validation split, and in the test split, above 0 and at most 0.4.
            seed: of the draw.
            language: espeak-ng voice that turns the transcripts into phonemes.
        """

        held_out: Annotated[float, Gt(0), Le(0.4)] = 0.2
        seed: Seed = 0
        language: str = "en-us"

    def __init__(self, root: Path | None, config: Any = None) -> None:
        super().__init__(root, config)
        assert root is not None
        self._folder = root
        speakers = sorted({path.parent.name for path in root.glob("*/*.wav")})
        if len(speakers) < 6:
            raise self.wrong_root()
        drawn = [speakers[i] for i in np.random.default_rng(self.config.seed).permutation(len(speakers))]
        some = max(2, round(self.config.held_out * len(speakers)))
        self._splits = {"validation": drawn[:some], "test": drawn[some : 2 * some], "train": drawn[2 * some :]}

    def speakers(self, split: str) -> Sequence[str]:
        """See :meth:`Dataset.speakers`."""
        return sorted(self._splits[split])

    def utterances(self, speaker: str) -> Sequence[Utterance]:
        """See :meth:`Dataset.utterances`."""
        return [self._utterance(speaker, path) for path in sorted((self._folder / speaker).glob("*.wav"))]

    def _utterance(self, speaker: str, audio: Path) -> Utterance:
        transcript = audio.with_suffix(".txt")
        text = transcript.read_text(encoding="utf-8", errors="replace").strip() if transcript.is_file() else ""
        return Utterance(f"{speaker}_{audio.stem}", speaker, text, audio, self.config.language)


PLUGIN = DatasetFolder
