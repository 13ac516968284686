"""Runs made up for reports: all that a real one writes, without training anything."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from benchmark.cli import main
from benchmark.data.corpus import CORPUS_FORMAT
from benchmark.plumbing.files import digest_of_file, read_sealed, write_sealed
from benchmark.results import kept_speech
from benchmark.results.episode_log import CostRow, EpisodeLog, EpisodeRow
from benchmark.results.kept_speech import speech_file
from benchmark.results.result import RunIdentity, run_id, write_result

COLUMNS = ("mcd", "speaker_similarity", "gap_closed")
RATE = 16_000


def make_run(
    root: Path, algorithm: str, seed: int = 0, gain: float = 0.3, shots: Sequence[int] = (1, 5), steps: Sequence[int] = (0, 5, 20),
    speakers: Sequence[str] = ("anna", "bert", "carl"), utterance: str = "u", failure: str | None = None, seconds: float = 0.6,
    queries: int = 1, audio: bool = True, embedding: bool = False, lost: str = "", beside: bool = False,
    columns: Sequence[str] = COLUMNS, dvector: float | None = None, **changes: Any,
) -> Path:  # fmt: skip
    """A run folder; with ``shots`` (0,) that of a topline or floor; adaptation to the speaker ``lost`` fails at the first step.

    ``dvector`` is the gain that a second speaker encoder hears; None: it was not asked.
    """
    versions = {"mcd": "1", "speaker_similarity": "1"}
    if dvector is not None:
        columns, versions = (*columns, "dvector_gap_closed"), versions | {"dvector_similarity": "1"}
    identity = RunIdentity(**{
        "dataset": "made_up", "algorithm": algorithm, "backbone": "b", "vocoder": "v", "preset": "small", "seed": seed,
        "config": {"seed": seed, "algo": {"name": algorithm, "inner_lr": 0.01}}, "sources": {"algorithm": "abc"},
        "metric_versions": versions, "data_version": "dv", "manifest_hash": "mh",
        "protocol_version": "1", "synthetic": False, "limited": False, **changes,
    })  # fmt: skip
    folder = root / run_id(identity)
    (folder / "audio").mkdir(parents=True)
    (folder / "config.yaml").write_text("algo: {}\n")
    log = EpisodeLog(folder, columns)
    noise = np.random.default_rng([seed, *algorithm.encode()])
    for number, speaker in enumerate(speakers):
        for shot in shots:
            rows, costs = [], []
            for step in [0] if shot == 0 else steps:
                if speaker == lost and step > 0:
                    nothing = dict.fromkeys(columns, float("nan"))
                    names = [f"{utterance}{number}{query}" for query in range(queries)]
                    rows += [EpisodeRow(speaker, 0, shot, step, name, nothing, {"all": "adaptation failed: NaN"}) for name in names]
                    continue
                reach = 0.8 if shot == 0 else np.log1p(step) / 3 + shot / 20
                level = 0.1 * number + gain * reach
                for query in range(queries):
                    value = level + float(noise.normal(scale=0.05))
                    failed = failure is not None and step > 0 and query == 0
                    metrics = {"mcd": float("nan") if failed else 9 - 4 * value, "speaker_similarity": 0.5 + value / 4, "gap_closed": value}
                    if dvector is not None:
                        metrics["dvector_gap_closed"] = value + (dvector - gain) * reach
                    metrics = {column: metrics.get(column, value) for column in columns}
                    failures = {"mcd": failure} if failed and failure else {}
                    trials = {"eer": [0.5 + value / 4, *noise.uniform(0.4, 0.7, max(1, len(speakers) - 1))]}
                    rows.append(EpisodeRow(
                        speaker, 0, shot, step, f"{utterance}{number}{query}", metrics, failures, trials,
                        flops=step * 10**11, stored_parameters=0 if shot == 0 else 30000,
                    ))  # fmt: skip
                costs.append(CostRow(speaker, 0, shot, step, 0.01 + step * 0.3, 1e8, 0.05))
                if audio:
                    tone = 0.3 * np.sin(2 * np.pi * (150 + 400 * value) * np.arange(int(seconds * RATE)) / RATE)
                    soundfile.write(folder / "audio" / speech_file(speaker, shot, step), tone, RATE)
            log.append(rows, costs)
        if beside:
            for place, kind in enumerate(kept_speech.BESIDE):
                tone = 0.3 * np.sin(2 * np.pi * (440 + 200 * place) * np.arange(int(seconds * RATE)) / RATE)
                soundfile.write(folder / "audio" / kept_speech.beside_file(speaker, kind), tone, RATE)
            for kind, text in (("recording", f"What {speaker} said."), ("support", "Heard before.")):
                (folder / "audio" / kept_speech.beside_file(speaker, kind, "txt")).write_text(f"{text}\n")
    training = {"flops": 1e12, "steps": 1, "seconds": 1.0, "budget_flops": 1e12}
    kept_speech.note(folder, {path.name for path in (folder / "audio").iterdir()})
    write_result(folder, identity, {"same": 0.9, "embedding_eer": 0.04}, training, 1.0)
    if embedding:
        points = [(speaker, i, *noise.normal(n, 0.3, 2)) for n, speaker in enumerate(speakers) for i in range(20)]
        with (folder / "embedding.csv").open("w", newline="") as stream:
            csv.writer(stream).writerows([("speaker", "utterance", "x", "y"), *points])
    return folder


def make_corpus(cache: Path, texts: dict[str, str], version: str = "dv") -> None:
    """As much of a prepared corpus as its transcripts take."""
    folder = cache / "corpora" / "made_up"
    statistics = {"mel_mean": [0.0], "mel_std": [1.0], "pitch_mean": 0.0, "pitch_std": 1.0, "energy_mean": 0.0, "energy_std": 1.0}
    lines = [json.dumps({"id": name, "speaker": "anna", "text": text, "split": "test"}) for name, text in texts.items()]
    folder.mkdir(parents=True)
    (folder / "utterances.jsonl").write_text("".join(f"{line}\n" for line in lines))
    files = {"utterances.jsonl": digest_of_file(folder / "utterances.jsonl")}
    meta = {"format": CORPUS_FORMAT, "files": files, "dataset": "made_up", "version": version, "symbols": [], "mel": {},
            "statistics": statistics, "report": {}, "card": {"language": "en-us"}}  # fmt: skip
    write_sealed(folder / "corpus.json", meta)


def change_result(folder: Path, **fields: Any) -> None:
    """Write a run's result as if it had been made with these fields."""
    result = read_sealed(folder / "result.json", "run result")
    write_sealed(folder / "result.json", {**result, **fields})


def old_form(folder: Path) -> dict[str, Any]:
    """Give a run's files the form that they had before they carried digests; returns the result."""
    for name, less in (("episodes.csv", 1), ("costs.csv", 2)):
        lines = (folder / name).read_text().splitlines()
        (folder / name).write_text("".join(f"{line.rsplit(',', less)[0]}\n" for line in lines))
    result = read_sealed(folder / "result.json", "run result")
    del result["files"], result["benchmark_version"]
    (folder / "result.json").write_text(json.dumps(result | {"schema": 1}))
    return result | {"schema": 1}


HOSTILE = "\"'><img src=x onerror=window.hacked=1>"
HOSTILE_TEXT = "</script><script>window.hacked=2</script> & {{ 7 * 7 }}"


def make_report(root: Path) -> Path:
    """A page about two algorithms, one with a hostile name, a topline and a floor; a hostile speaker, transcript and failure."""
    speakers = ("anna", HOSTILE)
    make_corpus(root / "cache", {"u00": HOSTILE_TEXT, "u10": "A plain sentence."})
    runs = root / "runs"
    for seed in (0, 1):
        make_run(runs, "reptile", seed, speakers=speakers, failure=HOSTILE_TEXT, embedding=True, beside=True)
    make_run(runs, "<svg onload=window.hacked=3>", gain=0.5, speakers=speakers)
    for name, gain in (("ground_truth", 0.9), ("wrong_speaker", 0.0)):
        make_run(runs, name, gain=gain, shots=(0,), speakers=speakers)
    assert main(["report", "--output", str(runs), "--cache", str(root / "cache"), "--workers", "1"]) == 0
    return runs / "report.html"
