"""How to do from Python what the command line does. Each part below is independent, like a cell of a notebook.

    python examples/python_api.py               # preset smoke, on the embedded voices: minutes
    python examples/python_api.py --fast        # a few steps of everything, as a quick trial

Settings are called as on the command line, so anything that works there works here; docs/python.md says more.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import soundfile
import torch

import benchmark
from benchmark.audio import SAMPLE_RATE
from benchmark.data.corpus import Corpus
from benchmark.running.preparation import open_corpus
from benchmark.running.training import Training

# %% A corpus: prepared once, then read from the cache.


def corpus(cache: Path) -> Corpus:
    """The embedded voices; an utterance has audio, mel, phones and their durations."""
    found = open_corpus("espeak", None, None, cache, workers=1, plugins=())
    speaker = found.speakers("test")[0]
    utterance = found[found.utterance_ids(speaker)[0]]
    print(f"{speaker} says {utterance.text!r} in {len(utterance.audio) / SAMPLE_RATE:.1f} s: {' '.join(utterance.phones)}")
    return found


# %% Runs: train, adapt to held-out speakers, score. A finished run is not repeated. A callback of Lightning watches.


class Steps(pl.Callback):
    """Tells how long the training was."""

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        assert isinstance(module, Training)
        print(f"trained {module.step} steps, {module.flops:.2g} operations")


def runs(folder: Path, *algorithms: str, fast: bool = False) -> list[Path]:
    """A run folder for each algorithm, and their rows in ``runs/espeak.csv``."""
    settings = {"preset": "smoke", "metrics": ["mcd", "f0"], "shots": [5, 10]}
    places: dict[str, Any] = {"output": folder / "runs", "cache": folder / "cache", "workers": 1}
    return [
        one
        for name in algorithms
        for one in benchmark.run(name, "espeak", settings, callbacks=[Steps()], fast_dev_run=fast, **places)
    ]  # fmt: skip


# %% A voice: recordings, and a finished run that speaks like them. Some algorithms need transcripts; "style" uses only the sound.


def record(found: Corpus, folder: Path) -> None:
    """Three sentences of a held-out speaker, in files like those of your own recordings: hello.wav, hello.txt."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in found.utterance_ids(found.speakers("test")[0])[:3]:
        soundfile.write(folder / f"{name}.wav", found[name].waveform, SAMPLE_RATE)
        (folder / f"{name}.txt").write_text(found[name].text, encoding="utf-8")


def main(folder: Path, fast: bool) -> None:
    """Run all parts in a folder."""
    torch.set_num_threads(1)
    found = corpus(folder / "cache")
    folders = runs(folder, "style", "finetune", fast=fast)

    print(benchmark.compare(*folders, metrics=["mcd"]))

    board = benchmark.leaderboard(folder / "runs" / "espeak.csv")
    print(board[["algorithm", "shots", "steps", "mcd"]].sort_values("mcd").to_string(index=False))

    record(found, folder / "voice")
    mine = benchmark.voice(folder / "voice", run=folders[0], cache=folder / "cache")
    wave = mine("Good morning to all of you.")
    print(f"{len(wave) / mine.rate:.1f} s of speech, after {mine.adapted.steps} steps on {mine.recordings} recordings")
    mine.write("Good morning to all of you.", folder / "said.wav")


if __name__ == "__main__":
    main(Path("python-api"), fast="--fast" in sys.argv)
