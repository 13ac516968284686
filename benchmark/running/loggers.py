"""Live logs of a run, through Lightning's loggers: Weights & Biases, TensorBoard, CSV. They change no number.

Weights & Biases needs no account: it writes into the run's folder, from where ``wandb sync`` can upload, unless $WANDB_MODE is
"online". $WANDB_PROJECT names the project.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger

from benchmark.errors import BenchmarkError, ExtraMissing, UsageError
from benchmark.mel import MelSpec, log_mel
from benchmark.plumbing.words import listed
from benchmark.results.kept_speech import beside_in, safe, speech_in
from benchmark.results.result import RunIdentity, read_result, table_name
from benchmark.settings.config import flat
from benchmark.settings.trial import is_trial

KINDS = ("wandb", "tensorboard", "csv")
MODES = ("offline", "online", "disabled")
"""Values of $WANDB_MODE; the first is the default, and only "online" opens a connection."""
PROJECT = "few-shot-tts-benchmark"
STAGES = ("pretraining", "training", "vocoder", "adaptation")
"""Each stage has its own step axis."""
SPEAKERS = 3
"""Number of speakers whose speech is logged."""
PIXELS = 4
"""Width and height of a spectrogram's point."""


def check(kinds: Sequence[str]) -> None:
    """Refuse loggers that are not installed, before any work is done.

    Raises:
        ExtraMissing: one is not.
        UsageError: there is no such logger, or $WANDB_MODE is none of ``MODES``.
    """
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise UsageError(f"There is no live log {unknown[0]!r}; choose {listed(KINDS, 'or')}.")
    if "wandb" in kinds and _mode() not in MODES:
        raise UsageError(f"WANDB_MODE must be {listed(MODES, 'or')}, not {_mode()!r}.")
    for kind in kinds:
        if kind != "csv" and find_spec(kind) is None:
            raise ExtraMissing(f"--{kind}", kind, kind)


@contextmanager
def opened(kinds: Sequence[str], identity: RunIdentity, folder: Path, commit: str | None, uncommitted: bool) -> Iterator[list[Logger]]:
    """Loggers for a run, closed when the context ends.

    Args:
        kinds: names from ``KINDS``.
        identity: of the run.
        folder: of the run; must exist.
        commit: that the code is at; None if unknown.
        uncommitted: no commit holds all the code that runs.
    """
    loggers = [_logger(kind, identity, folder, commit, uncommitted) for kind in kinds]
    status = "failed"
    try:
        yield loggers
        status = "success"
    finally:
        for logger in loggers:
            logger.finalize(status)
            if isinstance(logger, WandbLogger):
                _finish(logger.experiment, status)


def _logger(kind: str, identity: RunIdentity, folder: Path, commit: str | None, uncommitted: bool) -> Logger:
    facts = {**asdict(identity), "git_commit": commit, "uncommitted": uncommitted}
    if kind == "wandb":
        return WandbLogger(experiment=_wandb_run(identity, folder, facts))
    logger = CSVLogger(folder, "csv") if kind == "csv" else TensorBoardLogger(folder, "tensorboard")
    logger.log_hyperparams(facts)
    return logger


def _wandb_run(identity: RunIdentity, folder: Path, facts: dict[str, Any]) -> Any:
    """A run grouped by table and algorithm; its tags say which runs it may be compared with."""
    if _mode() != "online":
        # Otherwise the library reports errors and usage to its makers, in every mode; it reads this when it is imported.
        os.environ["WANDB_ERROR_REPORTING"] = "false"
    import wandb

    marks = [mark for mark in ("synthetic", "limited") if getattr(identity, mark)]
    marks += ["trial"] * is_trial(identity.config) + ["uncommitted"] * facts["uncommitted"]
    kind = [identity.problem, f"task {identity.task}"]
    settings = flat(facts.pop("config"))  # as sweeps name them
    try:
        run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT), mode=_mode(),  # type: ignore[arg-type]
            dir=folder, id=folder.name, name=folder.name, resume="allow", group=f"{table_name(facts)} {identity.algorithm}",
            job_type=identity.preset, config={**facts, **settings}, settings=wandb.Settings(silent=True, console="off"),
            tags=[f"protocol {identity.protocol_version}", *kind, identity.preset, identity.backbone, identity.vocoder, *marks],
        )  # fmt: skip
    except wandb.errors.Error as error:
        raise BenchmarkError(f"wandb can't start: {str(error).rstrip('.')}; WANDB_MODE=offline needs no account and no network.") from error
    for stage in STAGES:
        run.define_metric(f"{stage}/step")
        run.define_metric(f"{stage}/*", step_metric=f"{stage}/step")
    return run


def _mode() -> str:
    return os.environ.get("WANDB_MODE", MODES[0])


def _finish(run: Any, status: str) -> None:
    place = Path(run.dir).parent
    run.finish(exit_code=0 if status == "success" else 1)
    if run.settings.mode == "offline":
        print(f"wandb wrote {place}; to upload it: wandb sync {place}")


def log_step(loggers: Sequence[Logger], stage: str, step: int, values: Mapping[str, float]) -> None:
    """Log one point of a stage's curves.

    Args:
        loggers: open.
        stage: one of ``STAGES``.
        step: of the stage.
        values: by name.
    """
    named = {f"{stage}/{name}": float(value) for name, value in values.items()}
    for logger in loggers:
        logger.log_metrics({**named, f"{stage}/step": float(step)}, step)


def log_results(loggers: Sequence[Logger], folder: Path) -> None:
    """Log curves over adaptation steps; to Weights & Biases also a table of results, some speech with its spectrograms or its
    transcripts, and the model.

    Args:
        loggers: open.
        folder: of the complete run.
    """
    if not loggers:
        return
    result = read_result(folder)
    curve: list[dict[str, Any]] = result["curve"]
    for steps in sorted({point["steps"] for point in curve}):
        values: dict[str, float] = {}
        for point in curve:
            if point["steps"] == steps:
                known = {**{name: value["mean"] for name, value in point["metrics"].items()}, **point["cost"]}
                values |= {f"{name}_{point['shots']}shot": value for name, value in known.items() if value is not None}
        log_step(loggers, "adaptation", steps, values)
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            _log_tables(logger.experiment, result, folder)
            _log_model(logger.experiment, result, folder)


def _log_tables(run: Any, result: Mapping[str, Any], folder: Path) -> None:
    import wandb

    curve = result["curve"]
    results = wandb.Table(columns=["shots", "steps", "metric", "mean", "ci95_low", "ci95_high", "scored", "failed"])
    for point in curve:
        for name, value in point["metrics"].items():
            results.add_data(point["shots"], point["steps"], name, value["mean"], *value["ci95"], value["n"], value["n_failed"])
    # The project's list of runs shows the results at most shots and most steps.
    for name, value in max(curve, key=lambda point: (point["shots"], point["steps"]))["metrics"].items():
        run.summary[name] = value["mean"]
    media: dict[str, Any] = {}
    for speaker, files in _speech(folder, result).items():
        media[f"speech/{speaker}"] = [wandb.Audio(str(path), caption=caption) for path, caption in files]
        pictures = [_spectrogram(path) for path, _ in files]
        # Images that are shown together must have one size.
        width = max(picture.shape[1] for picture in pictures)
        padded = [np.pad(picture, ((0, 0), (0, width - picture.shape[1]))) for picture in pictures]
        media[f"spectrogram/{speaker}"] = [wandb.Image(picture, caption=each[1]) for picture, each in zip(padded, files, strict=True)]
    if heard := speech_in(folder, result, "txt"):
        media["transcripts"] = wandb.Table(columns=["target", "shots", "steps", "said", "heard"])
        for (target, shots, steps), path in heard.items():
            said = next((text for _, text in beside_in(folder, result, target).values()), "")
            media["transcripts"].add_data(target, shots, steps, said, path.read_text(encoding="utf-8").strip())
    run.log({"results": results, **media})


def _speech(folder: Path, result: Mapping[str, Any]) -> dict[str, list[tuple[Path, str]]]:
    """A run's audio files of the first ``SPEAKERS`` speakers, with captions: what the speaker said, then what was synthesised."""
    spoken: dict[str, list[tuple[Path, str]]] = {}
    for (target, shots, steps), path in speech_in(folder, result).items():
        spoken.setdefault(target, []).append((path, f"{shots}-shot, {steps} steps"))
    found = {}
    for target, files in list(spoken.items())[:SPEAKERS]:
        own = [(path, f"{kind}: {text}" if text else kind) for kind, (path, text) in beside_in(folder, result, target).items()]
        found[safe(target)] = [*own, *files]  # Weights & Biases names files after these
    return found


def _log_model(run: Any, result: Mapping[str, Any], folder: Path) -> None:
    """The trained weights, with the settings and the result, as an artifact; nothing for what learns nothing."""
    import wandb

    weights = sorted((folder / "checkpoints").glob("*.pt"))
    if not weights:
        return
    facts = {name: result[name] for name in ("dataset", "algorithm", "backbone", "vocoder", "preset", "seed", "git_commit")}
    artifact = wandb.Artifact(re.sub(r"[^\w.-]", "-", folder.name), type="model", metadata=facts)
    for path in (*weights, folder / "config.yaml", folder / "result.json"):
        artifact.add_file(str(path), policy="immutable")  # else a copy would lie in the user's home until it is uploaded
    run.log_artifact(artifact)


def _spectrogram(path: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Grey log-mel, high frequencies on top, ``PIXELS`` times as large as its shape, (n_mels, frames)."""
    wave, _ = soundfile.read(path, dtype="float32")
    spec = MelSpec()
    mel = log_mel(torch.from_numpy(np.pad(wave, (0, max(0, spec.n_fft - len(wave))))), spec).numpy()
    scaled = (mel - mel.min()) / max(float(np.ptp(mel)), 1e-6)
    return np.ascontiguousarray((255 * scaled.T[::-1]).astype(np.uint8).repeat(PIXELS, 0).repeat(PIXELS, 1))
