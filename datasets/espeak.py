"""The embedded default: synthetic voices, rendered on the fly, so that everything works offline and in minutes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from annotated_types import Ge, Le

from benchmark.data.espeak import VoiceSettings, named, speak
from benchmark.data.phonemes import phonemise
from benchmark.dataset import Dataset, DatasetCard, Segment, Utterance
from benchmark.settings.ranges import Checked

from ._espeak_languages import MORE_VOICES, POLYGLOTS, SPOKEN, sentences_in, voice_in

# fmt: off
VOICES = {
    "train": {
        "alicia": VoiceSettings("en-us+Alicia", 158, 50), "andrea": VoiceSettings("en-us+Andrea", 150, 50),
        "anika": VoiceSettings("en-us+anika", 145, 50), "annie": VoiceSettings("en-us+Annie", 168, 75, 60),
        "boris": VoiceSettings("en-us+boris", 162, 50), "ed": VoiceSettings("en-us+ed", 172, 75, 40),
        "hugo": VoiceSettings("en-us+Hugo", 155, 25), "iven4": VoiceSettings("en-us+iven4", 170, 75),
        "lee": VoiceSettings("en-us+Lee", 165, 75), "marcelo": VoiceSettings("en-us+marcelo", 160, 25, 60),
        "nguyen": VoiceSettings("en-us+Nguyen", 152, 75), "pedro": VoiceSettings("en-us+pedro", 150, 50),
        "ricishay": VoiceSettings("en-us+RicishayMax", 175, 50, 60), "belinda": VoiceSettings("en-us+belinda", 160, 25, 40),
        "steph3": VoiceSettings("en-us+steph3", 178, 75), "storm": VoiceSettings("en-us+Storm", 148, 75),
    },
    "validation": {
        "f5": VoiceSettings("en-us+f5", 156, 50), "ian": VoiceSettings("en-us+ian", 164, 75),
        "iven": VoiceSettings("en-us+iven", 150, 25), "shelby": VoiceSettings("en-us+shelby", 170, 50),
    },
    "test": {
        "grandma": VoiceSettings("en-us+grandma", 150, 75), "linda": VoiceSettings("en-us+linda", 162, 25),
        "m6": VoiceSettings("en-us+m6", 158, 25), "sandro": VoiceSettings("en-us+sandro", 168, 25),
        "steph2": VoiceSettings("en-us+steph2", 154, 50), "travis": VoiceSettings("en-us+travis", 172, 25),
    },
}
# fmt: on
"""Half of each split are women. Chosen from 200 variants and pitches, farthest point first, by the similarity of their
GE2E embeddings, so that a speaker encoder tells them apart (equal error rate 1.8 %, about that of real people)."""

TRAIN_SENTENCES = """
The old bridge shook when the train went by.
My sister paints her kitchen chairs bright yellow.
Please bring a warm jacket and some gloves.
We counted seven ducks on the frozen pond.
A cheerful nurse gave the boy an orange balloon.
He hid the treasure under a pile of leaves.
Do they usually walk home through the park?
Fresh bread smells better than any perfume.
The judge asked her to speak more clearly.
Thunder rolled across the valley all night.
Could you measure the width of this window?
Our neighbor grows huge pumpkins every autumn.
She whispered the answer into his ear.
Two small foxes crossed the muddy road.
I would rather have soup than salad today.
The pilot checked each switch before takeoff.
Nobody noticed that the clock had stopped.
Several birds were singing near the river.
Jack taught himself to juggle five apples.
They stayed inside because of heavy rain.
Put the blue vase on the highest shelf.
His voice sounded rough after the long game.
The baker's daughter knows how to fix engines.
What kind of music does your father enjoy?
A thick fog covered the whole harbor.
We are going to visit the museum tomorrow.
The puppy chewed both of my leather shoes.
She owns a garage full of broken toys.
Every child in the village learned to swim.
Good coffee should never be served cold.
The farmer pushed his cart up the hill.
An ugly noise came out of the old piano.
You ought to thank the people who helped.
The king wore a crown made of paper.
Strong winds tore the roof off the barn.
Why did the chicken refuse to lay eggs?
I keep my favorite photographs in a wooden box.
He poured hot water over the dried mint.
The youngest player scored in the final minute.
Those boxes are much heavier than they look.
Mother knitted a soft scarf for the goat.
The doctor showed us an unusual picture.
Six gray horses galloped toward the beach.
It takes about an hour to boil these beets.
They voted to build a library near the school.
The moon looked like a thin slice of lemon.
Ask the cook whether lunch is ready.
Our boat drifted past a quiet island.
Her uncle repairs watches and tiny radios.
The thief jumped over a fence and vanished.
Wash the grapes before you eat them.
A spider built its web between two tulips.
The teacher drew a large circle on the board.
We could hear children laughing in the hall.
This elevator only goes to the fourth floor.
She tied a red ribbon around the gift.
The judge's cousin makes excellent cheese.
Few travelers choose the path through the swamp.
He always carries a book about planets.
The engine coughed twice and then died.
Both brothers work at the new shoe factory.
Salt and vinegar go well with fried fish.
""".strip().splitlines()

HELD_OUT_SENTENCES = """
The violin player tuned her strings with care.
A bowl of cherries stood beside the lamp.
How many bridges cross this wide river?
The gardener found a silver coin in the soil.
I thought the movie was rather boring.
Three tired soldiers slept under an oak.
She usually drinks tea with honey and ginger.
The wolf followed their tracks through deep snow.
Push the door gently or the glass may crack.
His grandfather sold vegetables at the market.
An early flight leaves before sunrise.
Would you share your umbrella with a stranger?
The choir sang a joyful song at noon.
Dust had settled on all the furniture.
They argued about the price of a used bicycle.
My left shoe has a hole in it.
The captain ordered everyone to stay calm.
A gentle voice woke me from my dream.
We planted beans and onions behind the house.
The magician pulled a pigeon from his sleeve.
Nine yellow buses waited outside the stadium.
Can you teach me how to whistle?
The ceiling was painted with golden stars.
He peeled the orange with a dull knife.
Young athletes need plenty of sleep.
The stream runs faster after a storm.
She chose a purple coat with big buttons.
A lazy cat watched the fish swim around.
The mayor thanked all of the firefighters.
Leave the keys with the woman upstairs.
Our cousins arrived on the evening ferry.
The photograph shows a beach at low tide.
It was too dark to read the map.
The shepherd lost a sheep near the cliff.
You should never touch a hot stove.
Rain leaked through the attic window again.
The jury could not agree on a verdict.
He wrote a cheerful letter to his aunt.
The zebra's stripes are as unique as fingerprints.
Snow makes the whole town look peaceful.
""".strip().splitlines()


STYLES: Mapping[str, Mapping[str, Any]] = {
    "": {}, "emphatic": {"emphatic": True}, "fast": {"faster": 1.5}, "flat": {"range": 0}, "lively": {"range": 99},
    "slow": {"faster": 0.65}, "whisper": {"whispered": True},
}  # fmt: skip
"""Changes to a voice's settings; "faster" multiplies its rate. A voice without a style speaks plainly."""
STYLED = {
    "train": ("alicia", "andrea", "boris", "pedro", "ricishay", "steph3"),
    "validation": ("f5", "ian"),
    "test": ("f4", "m8", "marco", "steph2"),
}
"""The voices that speak in styles. Pitch trackers follow them in every style; they lose lower and more jittery voices."""


def _sentences(language: str) -> Sequence[str]:
    """The 24 sentences of a language."""
    return TRAIN_SENTENCES[:24] if language == "en-us" else sentences_in(language)


class Espeak(Dataset):
    """Synthetic voices of the espeak-ng formant synthesiser, reading the benchmark's own sentences; needs no data.

    By speaker: 26 English voices (16 train, 4 validation, 6 test), half of them women, 24 short sentences each.
    By language (``--task language``): 18 languages (10 train, 2 validation, 6 test) of 3 or 4 voices, 24 sentences each.
    By style (``--task style``): 12 English voices (6 train, 2 validation, 4 test), each in six styles (emphatic, fast, flat, lively,
    slow, whisper) and plainly, 24 sentences each.
    Across languages (``--task cross_lingual``): 26 voices (16 train, 4 validation, 6 test), each in 2 to 4 of 10 languages, 12 sentences
    in each.

    Validation and test voices read no sentence of a training voice. Phone boundaries are exact: they are the synthesiser's events.
    Use it to try things out and to test. Formant synthesis is far easier to learn than speech, so no number made with it
    says anything about speech, and no paper should cite one.
    """

    card = DatasetCard(
        title="espeak (synthetic)",
        version="1",
        licence="CC0-1.0",
        language="en-us",
        sample_rate=22_050,
        citation="none: synthetic, not to be cited as speech; the synthesiser is espeak-ng (github.com/espeak-ng/espeak-ng)",
        how_to_get="It is rendered on the fly.",
        layout="nothing",
        synthetic=True,
    )
    needs_root = False
    tasks = ("speaker", "language", "style", "cross_lingual")

    @dataclass(frozen=True)
    class Config(Checked):
        """Size.

        Attributes:
            sentences: sentences that each voice reads (in each style or language), 1 to 40; a language has 24, of which training and
                held-out voices that speak several read 12 each.
        """

        sentences: Annotated[int, Ge(1), Le(len(HELD_OUT_SENTENCES))] = 24

    def __init__(self, root: Path | None = None, config: Any = None) -> None:
        super().__init__(root, config)
        self._last: tuple[str, tuple[npt.NDArray[np.float32], int, list[list[Segment]]]] | None = None

    def speakers(self, split: str) -> Sequence[str]:
        """See :meth:`Dataset.speakers`."""
        if self.task == "language":
            return sorted(f"{language}-{name}" for language, names in SPOKEN[split].items() for name in names)
        return sorted(self._voices()[split])

    def utterances(self, speaker: str) -> Sequence[Utterance]:
        """See :meth:`Dataset.utterances`."""
        if self.task == "language":
            return self._in_language(*speaker.rsplit("-", 1))
        if self.task == "cross_lingual":
            return self._in_languages(speaker)
        # Each voice draws its own sentences, seeded by its place among all voices, which does not depend on the split.
        by_split = self._voices()
        place = sorted(name for names in by_split.values() for name in names).index(speaker)
        sentences = TRAIN_SENTENCES if speaker in by_split["train"] else HELD_OUT_SENTENCES
        if self.task == "style":
            return [u for number, style in enumerate(STYLES) for u in self._reading(speaker, sentences, [2, place, number], style)]
        return self._reading(speaker, sentences, [1, place])

    def _voices(self) -> Mapping[str, Collection[str]]:
        """The voices of each split, in tasks where they are speakers."""
        voices: Mapping[str, Mapping[str, Collection[str]]] = {"style": STYLED, "cross_lingual": POLYGLOTS}
        return voices.get(self.task, VOICES)

    def _reading(self, speaker: str, sentences: Sequence[str], seed: Sequence[int], style: str = "") -> list[Utterance]:
        chosen = np.random.default_rng(seed).permutation(len(sentences))[: self.config.sentences]
        stem = f"{speaker}_{style}" if style else speaker
        return [Utterance(f"{stem}_{number:03d}", speaker, sentences[i], style=style) for number, i in enumerate(chosen, 1)]

    def _in_language(self, language: str, name: str) -> list[Utterance]:
        """The voices of a language take turns, so that a few sentences each are many together."""
        sentences = _sentences(language)
        (names,) = (spoken[language] for spoken in SPOKEN.values() if language in spoken)
        count = min(self.config.sentences, len(sentences))
        first = names.index(name) * count
        speaker = f"{language}-{name}"
        return [
            Utterance(f"{speaker}_{number + 1:03d}", speaker, sentences[(first + number) % len(sentences)], language=language)
            for number in range(count)
        ]

    def _in_languages(self, speaker: str) -> list[Utterance]:
        """Training voices read the first half of a language's sentences, the others the second half."""
        (languages,) = (voices[speaker] for voices in POLYGLOTS.values() if speaker in voices)
        found = []
        for language in languages:
            every = _sentences(language)
            half = len(every) // 2
            chosen = every[:half] if speaker in POLYGLOTS["train"] else every[half:]
            found += [
                Utterance(f"{speaker}_{language}_{number:03d}", speaker, text, language=language)
                for number, text in enumerate(chosen[: self.config.sentences], 1)
            ]
        return found

    def load(self, utterance: Utterance) -> tuple[npt.NDArray[np.float32], int]:
        """See :meth:`Dataset.load`; renders on demand."""
        samples, rate, _ = self._rendered(utterance)
        return samples, rate

    def alignment(self, utterance: Utterance) -> list[list[Segment]]:
        """See :meth:`Dataset.alignment`; from the synthesiser's events."""
        segments = self._rendered(utterance)[2]
        return named(segments, phonemise([utterance.text], utterance.language)[0]) if utterance.language else segments

    def _rendered(self, utterance: Utterance) -> tuple[npt.NDArray[np.float32], int, list[list[Segment]]]:
        # The harness asks for audio and alignment of an utterance one after the other.
        if self._last is None or self._last[0] != utterance.id:
            self._last = utterance.id, speak(utterance.text, self._voice(utterance))
        return self._last[1]

    def _voice(self, utterance: Utterance) -> VoiceSettings:
        language = utterance.language or self.card.language
        name = utterance.speaker.removeprefix(f"{language}-")
        voice = voice_in(language, next(voices[name] for voices in (*VOICES.values(), MORE_VOICES) if name in voices))
        changes = dict(STYLES[utterance.style])
        return replace(voice, rate=round(voice.rate * changes.pop("faster", 1)), **changes)


PLUGIN = Espeak
