"""LibriTTS and LibriTTS-R: read English books at 24 kHz, 2,456 speakers, sentence by sentence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from benchmark.data.listings import recordings
from benchmark.dataset import DatasetCard, Utterance, read_transcript

from ._libri import Libri


class LibriTTS(Libri):
    """Zen et al., "LibriTTS" (Interspeech 2019), or its restored copy, Koizumi et al., "LibriTTS-R" (Interspeech 2023).

    Reads ``subset/speaker/chapter/*.wav`` with ``.normalized.txt`` beside each; a copy in another audio format works too.
    """

    folders = ("LibriTTS", "LibriTTS_R")
    card: ClassVar = DatasetCard(
        title="LibriTTS",
        version="1",
        licence="CC-BY-4.0",
        language="en-us",
        sample_rate=24_000,
        citation="Zen et al., Interspeech 2019, arXiv:1904.02882; LibriTTS-R: Koizumi et al., Interspeech 2023, arXiv:2305.18802",
        how_to_get="Run prepare with --download (8 GB: train-clean-100, dev-clean, test-clean), or unpack it from https://www.openslr.org/60/.",
        layout="folders train-*, dev-* and test-*, in them speaker/chapter/*.wav and *.normalized.txt",
    )

    def chapter(self, speaker: str, folder: Path) -> Sequence[Utterance]:
        """See :meth:`Libri.chapter`."""
        found = []
        for audio in recordings(folder):
            text, unusable = read_transcript(audio.with_name(f"{audio.stem}.normalized.txt"))
            found.append(Utterance(audio.stem, speaker, text, audio, unusable=unusable))
        return found

    def download(self, root: Path) -> None:
        """Through torchaudio."""
        from torchaudio.datasets import LIBRITTS

        self.fetch(LIBRITTS, root)


PLUGIN = LibriTTS
