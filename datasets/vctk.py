"""VCTK 0.92: 110 English speakers with various accents, about 400 sentences each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmark.data.unpacking import Archive, fetch, require_whole
from benchmark.dataset import Dataset, DatasetCard, Utterance, read_lines, read_transcript

ARCHIVE = Archive("VCTK-Corpus-0.92.zip", "VCTK-Corpus-0.92")
TEST = ("p225", "p234", "p238", "p245", "p248", "p261", "p294", "p302", "p326", "p335", "p347")
"""The held-out speakers of YourTTS (Casanova et al., ICML 2022), so that rows can stand beside its numbers."""
LEFT_OUT = ("p280", "p315")
"""p315 has no transcripts, p280 no second microphone; other work leaves both out."""
VALIDATION = ("p229", "p252", "p254", "p264", "p298", "p306", "p311", "p314")
"""Four women, four men; of England (2), Scotland (2), the United States (2), Ireland and South Africa."""


class VCTK(Dataset):
    """Yamagishi, Veaux & MacDonald, "CSTR VCTK Corpus" (version 0.92, 2019), first microphone.

    Test speakers are YourTTS's eleven; eight of the others validate. Everybody reads the same first 24 sentences; those
    never become queries.

    :func:`benchmark.running.episodes.make_manifest` drew the committed episodes from 45 or 46 utterances per held-out
    speaker, each of at least six words and in two public lists of the corpus: version 0.92's speech onsets and ends
    (nii-yamagishilab/vctk-silence-labels) and VITS's transcripts. Their names are in ``tests/golden/vctk_0.92.txt``.
    """

    card = DatasetCard(
        title="VCTK",
        version="0.92",
        licence="CC-BY-4.0",
        language="en-gb",
        sample_rate=48_000,
        citation="Yamagishi, Veaux & MacDonald (2019), doi:10.7488/ds/2645",
        how_to_get="Run prepare with --download (11 GB), or unpack VCTK-Corpus-0.92.zip from https://doi.org/10.7488/ds/2645.",
        layout="wav48_silence_trimmed/pXXX/pXXX_NNN_mic1.flac, txt/pXXX/pXXX_NNN.txt and speaker-info.txt",
    )

    def __init__(self, root: Path | None, config: Any = None) -> None:
        super().__init__(root, config)
        assert root is not None
        require_whole(root, ARCHIVE)
        nested = root / "VCTK-Corpus-0.92"
        self._root = nested if nested.is_dir() else root
        audio, info = self._root / "wav48_silence_trimmed", self._root / "speaker-info.txt"
        if not (audio.is_dir() and (self._root / "txt").is_dir() and info.is_file()):
            raise self.wrong_root()
        listed = {line.split()[0] for line in read_lines(info) if line.strip()}  # the header's first word, ID, names no speaker
        # Earlier copies of speaker-info.txt write the speakers without the leading p.
        listed |= {f"p{name}" for name in listed}
        present = sorted(path.name for path in audio.iterdir() if path.is_dir())
        speakers = [name for name in present if name in listed and name not in LEFT_OUT]
        rest = [name for name in speakers if name not in TEST]
        self._splits = {
            "train": [name for name in rest if name not in VALIDATION],
            "validation": [name for name in rest if name in VALIDATION],
            "test": [name for name in speakers if name in TEST],
        }

    def speakers(self, split: str) -> Sequence[str]:
        """See :meth:`Dataset.speakers`."""
        return self._splits[split]

    def utterances(self, speaker: str) -> Sequence[Utterance]:
        """See :meth:`Dataset.utterances`."""
        result = []
        for audio in sorted((self._root / "wav48_silence_trimmed" / speaker).glob("*_mic1.flac")):
            name = audio.name.removesuffix("_mic1.flac")
            text = self._root / "txt" / speaker / f"{name}.txt"
            content, unusable = read_transcript(text)
            result.append(Utterance(name, speaker, content, audio, unusable=unusable))
        return result

    def download(self, root: Path) -> None:
        """Through torchaudio, 11 GB; a whole corpus is left alone."""
        from torchaudio.datasets import VCTK_092

        fetch(root, ARCHIVE, lambda place: VCTK_092(str(place), download=True))


PLUGIN = VCTK
