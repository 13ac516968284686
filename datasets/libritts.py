"""LibriTTS and LibriTTS-R: read English books at 24 kHz, 2,456 speakers, sentence by sentence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from benchmark.data.places import recordings
from benchmark.data.tables import lines_of
from benchmark.dataset import DatasetCard, Utterance, read_transcript
from benchmark.plumbing.files import printable

from ._libri import Libri


class LibriTTS(Libri):
    """Zen et al., "LibriTTS" (Interspeech 2019), or its restored copy, Koizumi et al., "LibriTTS-R" (Interspeech 2023).

    Reads ``subset/speaker/chapter/*.wav`` with ``.normalized.txt`` beside each; other audio formats work too. The readers' sex
    (f or m) and name, in ``speakers.tsv``, become labels; without that table there are none.
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

    def __init__(self, root: Path | None, config: Any = None) -> None:
        super().__init__(root, config)
        self._labels = _labels(self.base / "speakers.tsv")

    def chapter(self, speaker: str, folder: Path) -> Sequence[Utterance]:
        """See :meth:`Libri.chapter`."""
        found = []
        for audio in recordings(folder):
            text, unusable = read_transcript(audio.with_name(f"{audio.stem}.normalized.txt"))
            found.append(Utterance(audio.stem, speaker, text, audio, labels=self._labels.get(speaker, {}), unusable=unusable))
        return found

    def download(self, root: Path) -> None:
        """Through torchaudio."""
        from torchaudio.datasets import LIBRITTS

        self.fetch_subsets(LIBRITTS, root)


def _labels(table: Path) -> dict[str, dict[str, str]]:
    """What a table with the columns READER, GENDER, SUBSET and NAME, separated by tabs, says of each reader."""
    if not table.is_file():
        return {}
    header, *rows = [[cell.strip() for cell in line.split("\t")] for line in lines_of(table) if line.strip()] or [[]]
    named = [dict(zip((name.casefold() for name in header), row, strict=False)) for row in rows]
    told = {row["reader"]: {"sex": row.get("gender", "").casefold(), "name": row.get("name", "")} for row in named if "reader" in row}
    return {reader: {name: printable(value) for name, value in labels.items() if value} for reader, labels in told.items()}


PLUGIN = LibriTTS
