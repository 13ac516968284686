"""Training, the same for the shared pretraining and for every algorithm: one LightningModule, one compute budget."""

from __future__ import annotations

import itertools
import logging
import math
import signal
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import Logger
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch.utils.data import DataLoader, IterableDataset

from benchmark.errors import AdaptationFailed, TrainingDiverged
from benchmark.parameters import ParameterGroup
from benchmark.plumbing import checkpoint
from benchmark.running.flops import counted
from benchmark.running.hardware import Hardware
from benchmark.running.loggers import log_step

COUNT_EVERY = 10
"""FLOPs are counted on every so many steps and taken as the mean of those in between: counting slows a step down."""
CHECKPOINT_SECONDS = 60.0
WEIGHT_DECAY = 1e-3
WARM_UP = 0.03
"""Fraction of the budget over which the learning rate rises; it falls to a tenth along a half cosine after."""


class Learner(Protocol):
    """A module whose ``meta_step(item)`` leaves gradients and returns logs: an algorithm, a pretraining, a vocoder's training."""

    def meta_step(self, item: Any) -> dict[str, float]: ...

    def parameter_groups(self) -> list[ParameterGroup]: ...


@dataclass(frozen=True)
class Budget:
    """When training ends: after ``steps`` steps, or with the step that spends the last of ``flops``."""

    steps: int | None = None
    flops: float | None = None

    def progress(self, steps: int, flops: float) -> float:
        """Fraction spent, 0 to 1 and over."""
        return steps / self.steps if self.steps else flops / float(self.flops or 1)


class Training(pl.LightningModule):
    """One optimiser around any learner. Steps are functions of (seed, step), so a resumed run repeats nothing and skips nothing."""

    def __init__(
        self, learner: Any, learning_rate: float, budget: Budget, seed: int, path: Path,
        show: Callable[[float, dict[str, float]], object], stage: str = "training",
    ) -> None:  # fmt: skip
        super().__init__()
        self.automatic_optimization = False
        self.learner, self.learning_rate, self.budget, self.seed = learner, learning_rate, budget, seed
        self.path, self.show, self.stage = path, show, stage
        self.step, self.flops, self.seconds, self.counted, self.phase = 0, 0.0, 0.0, [0.0, 0.0], 0

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW, as is usual for text-to-speech; betas (0.9, 0.98) after FastSpeech 2. Groups have rates of their own."""
        groups = self.learner.parameter_groups()
        self.rates = [self.learning_rate * group.rate for group in groups]
        decays = [WEIGHT_DECAY if group.weight_decay is None else group.weight_decay for group in groups]
        settings = [
            {"params": group.parameters, "lr": rate, "weight_decay": decay}
            for group, rate, decay in zip(groups, self.rates, decays, strict=True)
        ]
        return torch.optim.AdamW(settings, betas=(0.9, 0.98))

    def training_step(self, item: Any, _: int = 0) -> None:
        """Gradients by the learner, clipped to norm 1, one optimiser step.

        Raises:
            TrainingDiverged: loss, gradients or the weights after the step are not finite.
        """
        started = time.perf_counter()
        torch.manual_seed((self.seed << 32) + self.step)
        optimizer = self.optimizers()
        assert not isinstance(optimizer, list)
        optimizer.zero_grad()
        try:
            logs = self._counted(item)
        except AdaptationFailed as error:
            raise self._diverged(str(error)) from error
        norm = torch.nn.utils.clip_grad_norm_(self.learner.parameters(), 1.0)
        if not math.isfinite(logs["loss"]) or not torch.isfinite(norm):
            raise self._diverged("loss or gradients are not finite")
        for group, peak in zip(optimizer.param_groups, self.rates, strict=True):
            group["lr"] = peak * self._schedule()
        optimizer.step()
        if not torch.isfinite(torch.nn.utils.get_total_norm(self.learner.parameters())):
            raise self._diverged("the weights are not finite after it")
        self.step += 1
        self.seconds += time.perf_counter() - started
        progress = self.budget.progress(self.step, self.flops)
        self.show(min(1.0, progress), logs)
        if self.trainer.loggers:
            rate = optimizer.param_groups[0]["lr"]
            more = {"gradient_norm": float(norm), "learning_rate": rate, "tflops": self.flops / 1e12, "seconds": self.seconds}
            log_step(self.trainer.loggers, self.stage, self.step, {**logs, **more})
        if progress >= 1:
            self.trainer.should_stop = True

    def _diverged(self, why: str) -> TrainingDiverged:
        kept = f"the last good checkpoint is kept in {self.path}" if self.step else "nothing was trained yet"
        return TrainingDiverged(f"Training diverged at step {self.step}: {why}; lower the learning rate, or the inner loop's; {kept}.")

    def _counted(self, item: Any) -> dict[str, float]:
        phase = getattr(self.learner, "phase", 0)
        if phase != self.phase:
            # What steps cost before says nothing about those to come.
            self.phase, self.counted = phase, [0.0, 0.0]
        if self.step % COUNT_EVERY and self.counted[1]:
            logs = self.learner.meta_step(item)
        else:
            with counted() as count:
                logs = self.learner.meta_step(item)
            self.counted = [self.counted[0] + count.total, self.counted[1] + 1]
        self.flops += self.counted[0] / self.counted[1]
        return logs

    def _schedule(self) -> float:
        progress = min(1.0, self.budget.progress(self.step, self.flops))
        if progress < WARM_UP:
            return max(progress / WARM_UP, 0.02)
        return 0.1 + 0.45 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))

    def on_save_checkpoint(self, state: dict[str, Any]) -> None:
        """Keep what the weights don't say."""
        state["progress"] = {"step": self.step, "flops": self.flops, "seconds": self.seconds}
        state["progress"] |= {"counted": self.counted, "phase": self.phase}

    def on_load_checkpoint(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        for name, value in state["progress"].items():
            setattr(self, name, value)


class _Items(IterableDataset[Any]):
    """Items from wherever the module had got to when training began or resumed."""

    def __init__(self, make: Callable[[int], Any], module: Training) -> None:
        self.make, self.module = make, module

    def __iter__(self) -> Iterator[Any]:
        # Counted here, for Lightning fetches an item ahead of the step that uses it.
        for step in itertools.count(self.module.step):
            yield self.make(step)


class _Saver(pl.Callback):
    def __init__(self, path: Path, every: float) -> None:
        # The first step is saved at once, so that whatever comes there is a checkpoint.
        self.path, self.every, self.last = path, every, -math.inf

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if time.monotonic() - self.last >= self.every:
            self.save(trainer)

    def save(self, trainer: pl.Trainer) -> None:
        self.last = time.monotonic()
        checkpoint.save(self.path, trainer._checkpoint_connector.dump_checkpoint())


class _Loaded(TorchCheckpointIO):
    """Hands Lightning a checkpoint that was read and checked already."""

    def __init__(self, state: dict[str, Any] | None) -> None:
        self.state = state

    def load_checkpoint(self, *_: Any, **__: Any) -> Any:
        return self.state


def fit(
    learner: torch.nn.Module,
    make_item: Callable[[int], Any],
    learning_rate: float,
    budget: Budget,
    seed: int,
    path: Path,
    show: Callable[[float, dict[str, float]], object] = lambda fraction, logs: None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    loggers: Sequence[Logger] = (),
    stage: str = "training",
    hardware: Hardware = Hardware(),
) -> dict[str, float]:
    """Train ``learner`` in place until the budget is spent, resuming from ``path`` if a training was cut off there.

    Args:
        learner: module with ``meta_step``.
        make_item: step number to what ``meta_step`` gets; must depend on nothing else.
        learning_rate: peak.
        budget: when to stop.
        seed: of each step's randomness.
        path: checkpoint of the unfinished training; deleted by nobody, so a finished one resumes to its end at once.
        show: called after each step with the fraction of the budget spent and the step's logs.
        checkpoint_seconds: how often to save.
        loggers: get each step's logs.
        stage: what they call this training.
        hardware: to train on.

    Returns:
        "steps", "flops" and "seconds" spent, interrupted parts included.
    """
    module = Training(learner, learning_rate, budget, seed, path, show, stage)
    saver = _Saver(path, checkpoint_seconds)
    state = checkpoint.load(path)
    # Lightning's own messages tell of devices and data loaders; ours say what matters to a user.
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = pl.Trainer(
            accelerator=hardware.accelerator, devices=hardware.devices, strategy=hardware.strategy, precision=hardware.precision,  # type: ignore[arg-type]
            max_steps=-1, max_epochs=-1, inference_mode=False, logger=list(loggers) or False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
            callbacks=[saver], plugins=[_Loaded(state)],
        )  # fmt: skip
        if state is None or budget.progress(state["progress"]["step"], state["progress"]["flops"]) < 1:
            on_interrupt = signal.getsignal(signal.SIGINT)
            try:
                resume = None if state is None else path
                trainer.fit(module, DataLoader(_Items(make_item, module), batch_size=None), ckpt_path=resume, weights_only=True)
            except SystemExit as leaving:
                # What Lightning makes of Ctrl-C, after which it ignores any other.
                signal.signal(signal.SIGINT, on_interrupt)
                raise KeyboardInterrupt from leaving
            saver.save(trainer)
        else:
            module.load_state_dict(state["state_dict"])
            module.on_load_checkpoint(state)
    learner.to("cpu")
    return {"steps": module.step, "flops": module.flops, "seconds": module.seconds}
