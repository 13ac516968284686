"""LJ Speech: one woman reads 13,100 English sentences at 22 kHz."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from benchmark.data.layouts.ljspeech import ljspeech
from benchmark.data.unpacking import Archive, fetch, require_whole
from benchmark.dataset import Dataset, DatasetCard, Utterance

SPEAKER = "linda_johnson"
ARCHIVE = Archive("LJSpeech-1.1.tar.bz2", "LJSpeech-1.1")


class LJSpeech(Dataset):
    """Ito & Johnson, "The LJ Speech Dataset" (2017): one speaker.

    Models of other corpora adapt to her, or she is training speech for another dataset (``--pretrain.dataset``).
    """

    undivided = True

    card: ClassVar = DatasetCard(
        title="LJ Speech",
        version="1",
        licence="public domain",
        language="en-us",
        sample_rate=22_050,
        citation="Ito & Johnson, https://keithito.com/LJ-Speech-Dataset/, 2017",
        how_to_get="Run prepare with --download (2.6 GB), or unpack it from https://keithito.com/LJ-Speech-Dataset/.",
        layout="metadata.csv of id|text|normalised text, and wavs/id.wav",
    )

    def __init__(self, root: Path | None, config: Any = None) -> None:
        super().__init__(root, config)
        assert root is not None
        require_whole(root, ARCHIVE)
        nested = root / "LJSpeech-1.1"
        found = ljspeech(nested if nested.is_dir() else root) if root.is_dir() else None
        if found is None:
            raise self.wrong_root()
        self._utterances = [replace(each, speaker=SPEAKER) for each in sorted(found.utterances, key=lambda each: each.id)]

    def speakers(self, split: str) -> Sequence[str]:
        """See :meth:`Dataset.speakers`."""
        return [SPEAKER] if split == "test" else []

    def utterances(self, speaker: str) -> Sequence[Utterance]:
        """See :meth:`Dataset.utterances`."""
        return self._utterances

    def download(self, root: Path) -> None:
        """Through torchaudio."""
        from torchaudio.datasets import LJSPEECH

        fetch(root, ARCHIVE, lambda place: LJSPEECH(str(place), download=True))


PLUGIN = LJSpeech
