"""How to do from Python what the command line does. Each part below is independent, like a cell of a notebook.

    python examples/python_api.py               # preset smoke, on the embedded voices: minutes
    python examples/python_api.py --fast        # a few steps of everything, as a quick trial

Settings are written as on the command line, so anything that works there works here.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import soundfile
import torch

from benchmark import problems
from benchmark.audio import SAMPLE_RATE
from benchmark.data import recordings
from benchmark.data.corpus import Corpus
from benchmark.results import comparison, leaderboard
from benchmark.running import say
from benchmark.running.checks import with_metrics
from benchmark.running.finished import bundle_of, open_run
from benchmark.running.preparation import open_corpus
from benchmark.running.run import Places, run
from benchmark.running.trained_model import open_model
from benchmark.settings import tuned_values
from benchmark.settings.trial import fast_dev_run

# %% A corpus: prepared once, then read from the cache.


def corpus(cache: Path) -> Corpus:
    """The embedded voices; an utterance has audio, mel, phones and their durations."""
    found = open_corpus("espeak", None, None, cache, workers=1, plugins=())
    speaker = found.speakers("test")[0]
    utterance = found[found.utterance_ids(speaker)[0]]
    print(f"{speaker} says {utterance.text!r} in {len(utterance.audio) / SAMPLE_RATE:.1f} s: {' '.join(utterance.phones)}")
    return found


# %% Runs: train, adapt to held-out speakers, score. A finished run is not repeated.


def runs(places: Places, *algorithms: str, fast: bool = False) -> list[Path]:
    """A run folder for each algorithm."""
    folders = []
    for name in algorithms:
        words = ["--algo", name, "--dataset", "espeak", "--preset", "smoke", "--metrics", "mcd,f0"]
        settings, _ = with_metrics(tuned_values.parse(words), ())
        folders.append(run(fast_dev_run(settings) if fast else replace(settings, shots=(5, 10)), places))
    return folders


# %% Comparisons: the same sentences, tested between speakers.


def compared(folders: list[Path]) -> list[comparison.Line]:
    """Differences in mel-cepstral distortion (lower is better)."""
    lines = comparison.compare_all(comparison.contenders(folders), {"mcd": False})
    for line in lines:
        print(f"{line.first} - {line.second}, {line.shots} shots, {line.steps} steps: {line.found.difference.mean:+.2f} dB")
    return lines


# %% A leaderboard as a table of pandas: your own, or a committed one ("leaderboards/espeak.csv").


def table(folders: list[Path], path: Path) -> pd.DataFrame:
    """The rows of these runs, with numeric columns converted."""
    for folder in folders:
        leaderboard.add([folder], path, preliminary=True, local=True)
    frame = pd.DataFrame(leaderboard.read(path))
    for column in ("shots", "steps", "mcd"):
        frame[column] = pd.to_numeric(frame[column])
    print(frame[["algorithm", "shots", "steps", "mcd"]].sort_values("mcd").to_string(index=False))
    return frame


# %% A voice: recordings, and a finished run that speaks like them. Some algorithms need transcripts; "style" uses only the sound.


def record(found: Corpus, folder: Path) -> None:
    """Three sentences of a held-out speaker, in files like those of your own recordings: hello.wav, hello.txt."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in found.utterance_ids(found.speakers("test")[0])[:3]:
        soundfile.write(folder / f"{name}.wav", found[name].waveform, SAMPLE_RATE)
        (folder / f"{name}.txt").write_text(found[name].text, encoding="utf-8")


def speak(text: str, folder: Path, voice: Path, cache: Path, path: Path) -> None:
    """The text, spoken in that voice by a finished run; ``model_file.read(FILE)`` takes the place of the bundle if a run was exported."""
    bundle = bundle_of(open_run(folder, cache, ()), cache, ())
    trained = open_model(bundle, folder.name, problems.get("synthesis"), ())
    heard, _ = recordings.read(voice)
    adapted = say.adapt(trained, heard)
    spoken = say.speak(adapted, say.sentences(text, trained.frontend), path)
    print(f"{path}: {spoken.samples / SAMPLE_RATE:.1f} s, after {adapted.adapted.steps} steps on {adapted.recordings} recordings")


def main(folder: Path, fast: bool) -> None:
    """Run all parts in a folder."""
    torch.set_num_threads(1)
    places = Places(folder / "runs", folder / "cache", None, workers=1)
    found = corpus(places.cache)
    folders = runs(places, "style", "finetune", fast=fast)
    compared(folders)
    table(folders, folder / "runs" / "espeak.csv")
    record(found, folder / "voice")
    speak("Good morning to all of you.", folders[0], folder / "voice", places.cache, folder / "said.wav")


if __name__ == "__main__":
    main(Path("python-api"), fast="--fast" in sys.argv)
