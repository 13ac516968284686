"""Training, the same for the shared pretraining, every algorithm and every vocoder: one LightningModule, one compute budget."""

from __future__ import annotations

import itertools
import logging
import math
import signal
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import Logger
from pytorch_lightning.plugins.io import CheckpointIO
from torch.utils.data import DataLoader, IterableDataset

from benchmark.errors import AdaptationFailed, BenchmarkError, TrainingDiverged
from benchmark.parameters import ParameterGroup
from benchmark.plumbing import checkpoint
from benchmark.running import ranks, relay
from benchmark.running.flops import counted
from benchmark.running.hardware import Hardware
from benchmark.running.loggers import log_step

COUNT_EVERY = 20
"""FLOPs are counted once in this many steps, because counting is slow; other steps cost the mean of the counted ones."""
CHECKPOINT_SECONDS = 60.0
WEIGHT_DECAY = 1e-3
WARM_UP = 0.03
"""Fraction of the budget over which the learning rate rises; afterwards it falls to a tenth along a half cosine."""


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
        """Fraction of the budget spent, from 0; above 1 if overspent."""
        return steps / self.steps if self.steps else flops / float(self.flops or 1)


class Step(NamedTuple):
    """The report of a training step.

    Attributes:
        number: from 1.
        progress: fraction of the budget spent, 0 to 1.
        logs: the learner's, averaged over processes.
        more: the training's own: gradient norm, learning rate, FLOPs and seconds spent.
    """

    number: int
    progress: float
    logs: dict[str, float]
    more: dict[str, float]


class _Share(NamedTuple):
    """One process's results for its share of a step."""

    logs: dict[str, float]
    flops: float
    failure: str


def _ignored(told: object) -> None:
    """Ignore a report that nobody waits for, or an error that is raised in the caller's process anyway."""


class Training(pl.LightningModule):
    """One optimiser around any learner. Each step depends only on (seed, step), so a resumed run repeats and skips none.

    Each of several processes learns from its share of a step's tasks. Gradients and logs are averaged over them, FLOPs summed.

    ``Training.load_from_checkpoint(path, learner=module)`` reads what a run left in ``checkpoints/training.ckpt``.

    Args:
        learner: module with ``meta_step`` and ``parameter_groups``.
        learning_rate: peak.
        seed: of each step's randomness.
        steps, flops: the budget; give one.
        path: where the checkpoint is kept, for messages.
        report: called after each step.
    """

    fail: Callable[[BenchmarkError], object]
    """Called with the error that stops the training."""

    def __init__(
        self, learner: Any, learning_rate: float, seed: int, steps: int | None = None, flops: float | None = None,
        path: Path | None = None, report: Callable[[Step], object] = _ignored,
    ) -> None:  # fmt: skip
        super().__init__()
        self.save_hyperparameters("learning_rate", "seed", "steps", "flops")
        self.automatic_optimization = False
        self.learner, self.learning_rate, self.budget, self.seed = learner, learning_rate, Budget(steps, flops), seed
        self.path, self.threads = path, torch.get_num_threads()
        self.report, self.fail = report, _ignored
        self.step, self.flops, self.seconds, self.counted, self.phase = 0, 0.0, 0.0, [0.0, 0.0], 0
        self.since = [0, 0.0]

    def setup(self, stage: str) -> None:
        """Use as many threads as the process that made this; Lightning sets another number in the processes it starts."""
        torch.set_num_threads(self.threads)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW, as is usual for text-to-speech, with the betas of FastSpeech 2, (0.9, 0.98). Each group has its own rate."""
        groups = self.learner.parameter_groups()
        self.rates = [self.learning_rate * group.rate for group in groups]
        decays = [WEIGHT_DECAY if group.weight_decay is None else group.weight_decay for group in groups]
        settings = [
            {"params": group.parameters, "lr": rate, "weight_decay": decay}
            for group, rate, decay in zip(groups, self.rates, decays, strict=True)
        ]
        return torch.optim.AdamW(settings, betas=(0.9, 0.98))

    def training_step(self, item: Any, _: int = 0) -> None:
        """Gradients by the learner, clipped to norm 1, one optimiser step; or the learner's own step.

        Raises:
            TrainingDiverged: loss, gradients or the weights after the step are not finite.
        """
        try:
            self._learn_from(item)
        except BenchmarkError as error:
            # From a process that it spawned, Lightning passes on only a traceback.
            self.fail(error)
            raise

    def _learn_from(self, item: Any) -> None:
        started = time.perf_counter()
        # Draws in sequence differ between processes; for draws that must not, each task has its own seed.
        torch.manual_seed((self.seed << 32) + (self.global_rank << 24) + self.step)
        optimizer = self.optimizers()
        assert not isinstance(optimizer, list)
        optimizer.zero_grad()
        logs = self._learn(item)
        ranks.average_gradients(self.learner.parameters())
        own = getattr(self.learner, "outer_step", None)
        norm = torch.nn.utils.clip_grad_norm_(self.learner.parameters(), math.inf if own else 1.0)
        if not math.isfinite(logs["loss"]) or not torch.isfinite(norm):
            raise self._diverged("loss or gradients are not finite")
        for group, peak in zip(optimizer.param_groups, self.rates, strict=True):
            group["lr"] = peak * self._schedule()
        if own:
            own(self.budget.progress(self.step, self.flops))
            optimizer.zero_grad()  # no gradients, no change; Lightning counts the optimiser's steps
        optimizer.step()
        if not torch.isfinite(torch.nn.utils.get_total_norm(self.learner.parameters())):
            raise self._diverged("the weights are not finite after the step")
        self.step += 1
        self.seconds += time.perf_counter() - started
        progress = self.budget.progress(self.step, self.flops)
        if self.global_rank == 0:
            rate = optimizer.param_groups[0]["lr"]
            more = {"gradient_norm": float(norm), "learning_rate": rate, "tflops": self.flops / 1e12, "seconds": self.seconds}
            self.report(Step(self.step, min(1.0, progress), logs, more))
        if progress >= 1:
            self.trainer.should_stop = True

    def _diverged(self, why: str) -> TrainingDiverged:
        kept = f"the last good checkpoint is kept in {self.path}" if self.step else "nothing was trained yet"
        return TrainingDiverged(f"Training diverged at step {self.step}: {why}; lower the learning rate, or the inner loop's; {kept}.")

    @property
    def cost(self) -> float:
        """FLOPs of all steps, if each of the current phase costs the mean of those counted.

        ``flops`` adds up what was known at each step, to end a training within its budget. It lags behind if steps become dearer
        within a phase (when discriminators join, say).
        """
        start, before = self.since
        return before + (self.step - start) * self.counted[0] / self.counted[1] if self.counted[1] else before

    def _learn(self, item: Any) -> dict[str, float]:
        """Leave this process's gradients, count the FLOPs of all processes, and return the mean logs.

        Raises:
            TrainingDiverged: on all processes, if adaptation failed on one.
        """
        phase = getattr(self.learner, "phase", 0)
        if phase != self.phase:
            # The cost of earlier steps says nothing about the new phase.
            self.since = [self.step, self.cost]
            self.phase, self.counted = phase, [0.0, 0.0]
        counts = not (self.step % COUNT_EVERY and self.counted[1])
        shares = ranks.gathered(self._own_share(item, counts))
        if failure := next((share.failure for share in shares if share.failure), ""):
            raise self._diverged(failure)
        if counts:
            self.counted = [self.counted[0] + sum(share.flops for share in shares), self.counted[1] + 1]
        self.flops += self.counted[0] / self.counted[1]
        return {name: sum(share.logs[name] for share in shares) / len(shares) for name in shares[0].logs}

    def _own_share(self, item: Any, counts: bool) -> _Share:
        try:
            with counted() if counts else nullcontext() as count:
                logs = self.learner.meta_step(item)
        except AdaptationFailed as error:
            return _Share({}, 0.0, str(error))
        return _Share(logs, count.total if count else 0.0, "")

    def _schedule(self) -> float:
        progress = min(1.0, self.budget.progress(self.step, self.flops))
        if progress < WARM_UP:
            return max(progress / WARM_UP, 0.02)
        return 0.1 + 0.45 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))

    def on_save_checkpoint(self, state: dict[str, Any]) -> None:
        """Save the progress beside the weights."""
        state["progress"] = {"step": self.step, "flops": self.flops, "seconds": self.seconds}
        state["progress"] |= {"counted": self.counted, "phase": self.phase, "since": self.since}

    def on_load_checkpoint(self, state: dict[str, Any]) -> None:
        """Restore the progress."""
        for name, value in state["progress"].items():
            setattr(self, name, value)


class _Items(IterableDataset[Any]):
    """This process's share of the items, from the step at which training begins or resumes."""

    def __init__(self, make: Callable[[int], Any], module: Training) -> None:
        self.make, self.module = make, module

    def __iter__(self) -> Iterator[Any]:
        # Steps are counted here because Lightning fetches each item before the step that uses it.
        for step in itertools.count(self.module.step):
            yield ranks.share(self.make(step), self.module.global_rank, self.module.trainer.world_size)


class _Saver(pl.Callback):
    """Saves after the first step, so that there always is a checkpoint, then every ``every`` seconds, and at the end."""

    def __init__(self, path: Path, every: float) -> None:
        self.path, self.every, self.last = path, every, -math.inf

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        # Clocks differ, but all processes have to save at the same step.
        if trainer.strategy.reduce_boolean_decision(time.monotonic() - self.last >= self.every, all=False):
            self.last = time.monotonic()
            trainer.save_checkpoint(self.path)

    def on_train_end(self, trainer: pl.Trainer, *_: Any) -> None:
        trainer.save_checkpoint(self.path)


class _Digested(CheckpointIO):
    """Writes Lightning's checkpoints as files that are either whole or absent."""

    def save_checkpoint(self, state: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        checkpoint.save(Path(path), state)

    def load_checkpoint(self, path: str | Path, *_: Any, **__: Any) -> Any:
        return checkpoint.load(Path(path))

    def remove_checkpoint(self, path: str | Path) -> None:
        Path(path).unlink(missing_ok=True)


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
    callbacks: Sequence[pl.Callback] = (),
) -> dict[str, float]:
    """Train ``learner`` in place until the budget is spent, resuming from ``path`` if an interrupted training left it.

    Args:
        learner: module with ``meta_step``.
        make_item: gives the argument of ``meta_step`` from the step number; must depend on nothing else.
        learning_rate: peak.
        budget: when to stop.
        seed: of each step's randomness.
        path: checkpoint of the training. It is never deleted here, so a finished training resumes at its end.
        show: called after each step with the fraction of the budget spent and the step's logs.
        checkpoint_seconds: how often to save.
        loggers: get each step's logs.
        stage: name of this training in the logs.
        hardware: to train on. Several processes share each item (:func:`benchmark.running.ranks.share`). Spawned ones are sent
            ``learner`` and ``make_item``, which must then be picklable.
        callbacks: of Lightning, further ones.

    Returns:
        "steps", "flops" and "seconds" spent, interrupted parts included.
    """

    def tell(step: Step) -> None:
        show(step.progress, step.logs)
        if loggers:
            log_step(loggers, stage, step.number, {**step.logs, **step.more})

    module = Training(learner, learning_rate, seed, budget.steps, budget.flops, path, tell)
    whole = partial(_whole, module)
    state = checkpoint.load(path, whole)
    finished = state is not None and budget.progress(state["progress"]["step"], state["progress"]["flops"]) >= 1
    if not ranks.agreed(finished):
        resume = path if ranks.agreed(state is not None) else None
        spawns = hardware.processes > 1 and not hardware.repeats_program
        items = DataLoader(_Items(make_item, module), batch_size=None)
        with relay.relayed(tell) if spawns else nullcontext() as send:
            if send:
                module.report = module.fail = send
            _train(module, items, resume, [*callbacks, _Saver(path, checkpoint_seconds)], hardware)
    if finished or hardware.processes > 1:
        # Spawned processes leave only the checkpoint, and processes measure different times.
        state = checkpoint.load(path, whole)
        assert state is not None
        module.load_state_dict(state["state_dict"])
        module.on_load_checkpoint(state)
    learner.to("cpu")
    return {"steps": module.step, "flops": module.flops if budget.flops else module.cost, "seconds": module.seconds}


def _whole(module: Training, state: Any) -> dict[str, Any]:
    """A state of this module's training; any error means that it is none."""
    if not {"optimizer_states", "loops"} <= state.keys() or not all(state["progress"][name] >= 0 for name in ("step", "flops")):
        raise ValueError("no state of a training")
    checkpoint.require_fit(state["state_dict"], module)
    return dict(state)


def _train(module: Training, items: DataLoader[Any], resume: Path | None, callbacks: list[pl.Callback], hardware: Hardware) -> None:
    # Lightning's messages about devices and data loaders don't matter to users.
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    on_interrupt = signal.getsignal(signal.SIGINT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = pl.Trainer(
            accelerator=hardware.accelerator, devices=hardware.devices, num_nodes=hardware.processes // hardware.devices,
            strategy=ranks.strategy(hardware), precision=hardware.precision,  # type: ignore[arg-type]
            max_steps=-1, max_epochs=-1, inference_mode=False, logger=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
            callbacks=callbacks, plugins=[_Digested()],
        )  # fmt: skip
        try:
            trainer.fit(module, items, ckpt_path=resume, weights_only=True)
        except SystemExit as leaving:
            # Lightning turns Ctrl-C into SystemExit, and then ignores further ones.
            signal.signal(signal.SIGINT, on_interrupt)
            raise KeyboardInterrupt from leaving
