"""The embedded default: synthetic voices rendered on the fly by espeak-ng. For trying things out, never for claims about speech."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from benchmark.dataset import Dataset, DatasetCard, Segment, Utterance
from benchmark.espeak import VoiceSettings, speak

# Chosen for differing in formants, not in pitch alone, so that a speaker encoder tells them apart.
_TRAIN = {
    "f1": ("f1", 165, 55, 50), "f3": ("f3", 150, 60, 40), "f5": ("f5", 175, 45, 60), "annie": ("Annie", 160, 65, 50),
    "linda": ("linda", 170, 50, 40), "steph": ("steph", 160, 55, 60), "belinda": ("belinda", 150, 40, 50),
    "aunty": ("aunty", 165, 45, 45), "m1": ("m1", 165, 40, 50), "m3": ("m3", 150, 30, 40), "m5": ("m5", 175, 45, 60),
    "m7": ("m7", 160, 35, 50), "adam": ("adam", 165, 50, 50), "boris": ("boris", 150, 30, 30), "gene": ("Gene", 170, 40, 50),
    "max": ("max", 160, 35, 60), "norbert": ("norbert", 155, 45, 40), "quincy": ("quincy", 170, 50, 50),
}  # fmt: skip
_VALIDATION = {
    "f4": ("f4", 160, 50, 50), "alicia": ("Alicia", 165, 60, 50), "m2": ("m2", 160, 40, 50), "ian": ("ian", 165, 45, 50),
}  # fmt: skip
_TEST = {
    "f2": ("f2", 160, 55, 50), "andrea": ("Andrea", 165, 50, 50), "grandma": ("grandma", 150, 60, 45),
    "m4": ("m4", 165, 35, 50), "david": ("david", 155, 45, 50), "robert": ("robert", 160, 40, 50),
}  # fmt: skip

_SUBJECTS = (
    "the old farmer", "my youngest cousin", "a quiet engineer", "our neighbour", "the tall dancer", "every good cook",
    "a curious child", "the village doctor", "that brave sailor", "the new teacher", "her clever brother", "a busy judge",
)  # fmt: skip
_VERBS = (
    "gathered", "painted", "wanted", "carried", "borrowed", "noticed", "watched over", "gave away", "fixed", "sketched",
    "counted", "polished", "hid", "showed us",
)  # fmt: skip
_OBJECTS = (
    "seven purple jars", "the broken bicycle", "a warm woollen coat", "four smooth stones", "the huge iron gate",
    "fresh orange juice", "a book of strange maps", "the yellow kitchen chair", "two pairs of shoes", "a jug of cold water",
    "the garden hose", "some very thin paper", "both silver watches", "an unusual vase", "the cheap leather purse",
)  # fmt: skip
_ENDINGS = (
    "before the storm", "near the harbour", "without a word", "on Thursday morning", "behind the church", "for their friends",
    "in the deep valley", "while we were away", "under the bridge", "at the edge of town", "with great pleasure", "once again",
)  # fmt: skip


class Espeak(Dataset):
    """28 synthetic voices (18 train, 4 validation, 6 test), 20 sentences each, with exact phone boundaries.

    The sentences are put together from phrases by a fixed seed, no two alike. Rendering is deterministic.
    """

    card = DatasetCard(
        title="espeak-ng synthetic voices",
        version="1",
        licence="Apache-2.0 (sentences); rendered by espeak-ng, GPL-3.0-or-later",
        language="en-us",
        sample_rate=22_050,
        citation="espeak-ng; not to be cited as speech",
        how_to_get="It is rendered on the fly; nothing to get.",
        layout="nothing",
        synthetic=True,
    )
    needs_root = False

    @dataclass(frozen=True)
    class Config:
        """Size.

        Attributes:
            sentences: a voice, at least 1.
        """

        sentences: int = 20

        def __post_init__(self) -> None:
            if self.sentences < 1:
                raise ValueError("sentences must be at least 1")

    def speakers(self, split: str) -> Sequence[str]:
        """See :meth:`Dataset.speakers`."""
        return sorted({"train": _TRAIN, "validation": _VALIDATION, "test": _TEST}[split])

    def utterances(self, speaker: str) -> Sequence[Utterance]:
        """See :meth:`Dataset.utterances`."""
        texts = _sentences(self.config.sentences)[speaker]
        return [Utterance(f"{speaker}-{number:03d}", speaker, text) for number, text in enumerate(texts)]

    def load(self, utterance: Utterance) -> tuple[npt.NDArray[np.float32], int]:
        """See :meth:`Dataset.load`."""
        wave, rate, _ = speak(utterance.text, _voice(utterance.speaker))
        return wave, rate

    def alignment(self, utterance: Utterance) -> list[list[Segment]] | None:
        """See :meth:`Dataset.alignment`."""
        return speak(utterance.text, _voice(utterance.speaker))[2]


def _voice(speaker: str) -> VoiceSettings:
    variant, rate, pitch, spread = (_TRAIN | _VALIDATION | _TEST)[speaker]
    return VoiceSettings(f"en-us+{variant}", rate, pitch, spread)


@cache
def _sentences(count: int) -> dict[str, list[str]]:
    """``count`` sentences for each voice, all different."""
    generator = np.random.default_rng(0)
    seen: set[str] = set()
    result: dict[str, list[str]] = {}
    for speaker in sorted(_TRAIN | _VALIDATION | _TEST):
        texts: list[str] = []
        while len(texts) < count:
            parts = [part[int(generator.integers(len(part)))] for part in (_SUBJECTS, _VERBS, _OBJECTS, _ENDINGS)]
            text = " ".join(parts).capitalize() + "."
            if text not in seen:
                seen.add(text)
                texts.append(text)
        result[speaker] = texts
    return result


PLUGIN = Espeak
