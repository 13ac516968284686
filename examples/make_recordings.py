"""Write a folder of synthetic recordings, as somebody with speakers of their own would have it, to try the benchmark on.

    python examples/make_recordings.py studio       # studio/SPEAKER/SENTENCE.wav, and a transcript beside each
"""

from __future__ import annotations

import sys
from pathlib import Path

import soundfile

from benchmark.plugins import registry

SPEAKERS, SENTENCES = 8, 18


def main(folder: Path) -> None:
    """Write eighteen sentences of each of eight voices; those that are there are written again."""
    voices = registry.load("dataset", "espeak")(None)
    for speaker in [*voices.speakers("train"), *voices.speakers("test")][-SPEAKERS:]:
        (folder / speaker).mkdir(parents=True, exist_ok=True)
        for utterance in voices.utterances(speaker)[:SENTENCES]:
            audio, rate = voices.load(utterance)
            soundfile.write(folder / speaker / f"{utterance.id}.wav", audio, rate)
            (folder / speaker / f"{utterance.id}.txt").write_text(utterance.text + "\n", encoding="utf-8")
    print(f"{folder}: {SPEAKERS} voices, {SENTENCES} sentences each. They are synthetic: results on them say nothing about speech.")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "studio"))
