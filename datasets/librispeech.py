"""LibriSpeech: read English books at 16 kHz, 2,484 speakers; transcripts in capitals, without punctuation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from benchmark.data.layouts.kaldi import kaldi_table
from benchmark.data.places import recordings
from benchmark.data.tables import text_of
from benchmark.dataset import DatasetCard, Utterance

from ._libri import Libri


class LibriSpeech(Libri):
    """Panayotov et al., "Librispeech" (ICASSP 2015).

    Reads ``subset/speaker/chapter/*.flac`` with ``speaker-chapter.trans.txt`` in each chapter.
    """

    folders = ("LibriSpeech",)
    card: ClassVar = DatasetCard(
        title="LibriSpeech",
        version="1",
        licence="CC-BY-4.0",
        language="en-us",
        sample_rate=16_000,
        citation="Panayotov et al., ICASSP 2015, doi:10.1109/ICASSP.2015.7178964",
        how_to_get="Run prepare with --download (7 GB: train-clean-100, dev-clean, test-clean), or unpack it from https://www.openslr.org/12/.",
        layout="folders train-*, dev-* and test-*, in them speaker/chapter/*.flac and speaker-chapter.trans.txt",
    )

    def chapter(self, speaker: str, folder: Path) -> Sequence[Utterance]:
        """See :meth:`Libri.chapter`."""
        texts: dict[str, str] = {}
        for table in sorted(folder.glob("*.trans.txt")):
            texts |= kaldi_table(table)
        found = []
        for audio in recordings(folder):
            text, unusable = text_of(texts.get(audio.stem, ""))
            found.append(Utterance(audio.stem, speaker, text, audio, unusable=unusable))
        return found

    def download(self, root: Path) -> None:
        """Through torchaudio."""
        from torchaudio.datasets import LIBRISPEECH

        self.fetch_subsets(LIBRISPEECH, root)


PLUGIN = LibriSpeech
