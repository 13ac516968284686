"""Small corpora in the layouts that people have on disk, spoken by espeak-ng when a test asks for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from benchmark.data.espeak import VoiceSettings, speak

SENTENCES = (
    "A tall boy painted the garden gate", "She sees a red kite over the sea", "Tell me where the dog is hiding",
    "They bought seven eggs and a pie", "The train leaves early on Monday", "My brother reads a book at night",
)  # fmt: skip


@lru_cache(maxsize=256)
def speech(text: str, variant: str, rate: int = 16_000) -> npt.NDArray[np.float32]:
    """A sentence spoken by a variant ("f2"), 0.3 s of faint noise at both ends."""
    samples, own, _ = speak(text, VoiceSettings(f"en-us+{variant}"))
    edge = np.random.default_rng(0).normal(0, 1e-4, (2, own * 3 // 10)).astype(np.float32)
    return np.asarray(soxr.resample(np.concatenate([edge[0], samples, edge[1]]), own, rate), np.float32)


def speechocean(
    root: Path, speakers: Mapping[str, tuple[int, str]], sentences: Sequence[str] = SENTENCES, ending: str = ".WAV",
    further: Mapping[str, tuple[int, str]] | None = None,
) -> Path:  # fmt: skip
    """speechocean762 as published: Kaldi folders ``train`` and ``test``, and audio in ``WAVE``.

    Args:
        root: made if need be.
        speakers: age and gender ("m" or "f") by name, of the official train split.
        sentences: that each of them reads.
        ending: of the audio files.
        further: speakers of the official test split.
    """
    for folder, some in (("train", speakers), ("test", further or {})):
        tables: dict[str, list[str]] = {name: [] for name in ("wav.scp", "text", "utt2spk", "spk2age", "spk2gender")}
        for number, (speaker, (age, gender)) in enumerate(sorted(some.items())):
            tables["spk2age"].append(f"{speaker} {age}")
            tables["spk2gender"].append(f"{speaker} {gender}")
            for index, text in enumerate(sentences):
                name = f"{speaker}{index:04d}"
                path = root / "WAVE" / f"SPEAKER{speaker}" / f"{name}{ending}"
                path.parent.mkdir(parents=True, exist_ok=True)
                voice = f"{gender}{1 + number % 4}"
                soundfile.write(path, speech(text, voice), 16_000, subtype="PCM_16", format="WAV" if ending == ".WAV" else None)
                tables["wav.scp"].append(f"{name}\t{path.relative_to(root)}")
                tables["text"].append(f"{name} {text.upper()}")
                tables["utt2spk"].append(f"{name} {speaker}")
        (root / folder).mkdir(parents=True, exist_ok=True)
        for name, lines in tables.items():
            (root / folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return root


def numbered(sentences: Sequence[str]) -> dict[str, str]:
    """Sentences by number, from "001"."""
    return {f"{number:03d}": text for number, text in enumerate(sentences, 1)}


def vctk(
    root: Path, speakers: Mapping[str, tuple[str, str]], sentences: Sequence[str] | Mapping[str, Mapping[str, str]] = SENTENCES
) -> Path:
    """VCTK 0.92 as published: 48 kHz FLAC of two microphones, a text file each, ``speaker-info.txt``.

    Args:
        root: made if need be.
        speakers: gender ("M" or "F") and accent by name.
        sentences: that each of them reads; or, by speaker, by number ("001").
    """
    if not isinstance(sentences, Mapping):
        sentences = {speaker: numbered(sentences) for speaker in speakers}
    info = ["ID  AGE  GENDER  ACCENTS  REGION COMMENTS \n"]
    for number, (speaker, (gender, accent)) in enumerate(speakers.items()):
        info.append(f"{speaker}  23  {gender}    {accent}    Southern  England\n")
        for index, text in sentences[speaker].items():
            stem = f"{speaker}/{speaker}_{index}"
            for microphone in ("mic1", "mic2"):
                audio = root / "wav48_silence_trimmed" / f"{stem}_{microphone}.flac"
                audio.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(audio, speech(text, f"{gender.lower()}{1 + number % 4}", 48_000), 48_000, subtype="PCM_16")
            words = root / "txt" / f"{stem}.txt"
            words.parent.mkdir(parents=True, exist_ok=True)
            words.write_text(f"{text}.\n", encoding="utf-8")
    (root / "wav48_silence_trimmed" / "log.txt").write_text("made by the trimming tool\n", encoding="utf-8")
    (root / "speaker-info.txt").write_text("".join(info), encoding="utf-8")
    return root


def recorded(root: Path, counts: Mapping[str, Mapping[str, int]], language: str = "en-us") -> Path:
    """Recordings of one's own with a table: each speaker reads as many sentences of their own.

    Args:
        root: made if need be.
        counts: of the sentences of each speaker of each split.
        language: espeak-ng voice that reads.
    """
    root.mkdir(parents=True, exist_ok=True)
    rows = ["audio,text,speaker,split"]
    everybody = [(split, name, count) for split, some in counts.items() for name, count in some.items()]
    for number, (split, name, count) in enumerate(everybody):
        for index in range(count):
            text = f"{SENTENCES[(number + index) % len(SENTENCES)]} and {number + 2} {index + 20}"
            samples, rate, _ = speak(text, VoiceSettings(f"{language}+{'fm'[number % 2]}{1 + number % 4}"))
            soundfile.write(root / f"{name}-{index}.wav", samples, rate)
            rows.append(f"{name}-{index}.wav,{text},{name},{split}")
    (root / "metadata.csv").write_text("\n".join(rows), encoding="utf-8")
    return root


def in_languages(root: Path, said: Iterable[tuple[str, str, str, str, str]]) -> Path:
    """Recordings of one's own with a table that names languages and splits.

    Args:
        root: exists.
        said: speaker, language, split, variant of the espeak voice, and text of each utterance.
    """
    lines = ["audio,text,speaker,language,split"]
    for number, (speaker, language, split, variant, text) in enumerate(said):
        name = f"{speaker}-{language}-{number}.wav"
        samples, rate, _ = speak(text, VoiceSettings(f"{language}+{variant}"))
        soundfile.write(root / name, samples, rate)
        lines.append(f'{name},"{text}",{speaker},{language},{split}')
    (root / "metadata.csv").write_text("\n".join(lines), encoding="utf-8")
    return root
