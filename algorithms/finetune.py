"""Fine-tuning: conventional multi-speaker training, then gradient descent on the new speaker's sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from benchmark.algorithm import Adapted, AdaptedModel, Algorithm, pinned
from benchmark.backbone import Backbone, call
from benchmark.batch import Batch
from benchmark.errors import AdaptationFailed, UsageError
from benchmark.learning import lora
from benchmark.learning.augmentation import Augmentation, augment
from benchmark.learning.inner_loop import Parameters, both_halves, half_seeds, joint_step, optimizer_named, rates, select, sizes
from benchmark.learning.lora import LoRAModel
from benchmark.learning.reuse import Reuse
from benchmark.parameters import ParameterGroup
from benchmark.settings.ranges import BelowOne, Checked, Names, NonNegativeFloat, NonNegativeInt, PositiveFloat
from benchmark.task import Task

UNFREEZING = (
    "vocoder", "postnet", "output", "decoder", "recurrent", "attention", "variance", "encoder", "convolutions", "embedding", "all",
)  # fmt: skip
"""The order in which groups of all backbones are unfrozen: from the output towards the input; "all" adds what no other group has."""
MEL_STATISTICS = ("mel_mean", "mel_std")
LEAST_STD = 0.1
"""Least standard deviation of a mel band, in nepers, so that a silent band does not get a scale of zero."""
LEAST_SHOTS = 3
"""With fewer support utterances than this, all are trained on and none is held out."""


class FineTune(Algorithm):
    """Fine-tuning of chosen parameter groups, or of low-rank adapters in them (LoRA).

    The training budget, which meta-learners spend on episodes, goes into more multi-speaker training.

    Gradual unfreezing follows Howard & Ruder, "Universal Language Model Fine-tuning" (ACL 2018), section 3.3, with
    groups for layers and steps for epochs. Early stopping evaluates the loss on one held-out support utterance. At step k
    it gives the parameters with the lowest loss up to k; descent goes on, because a later loss may be lower still.
    Dropout is off.
    """

    search_space: ClassVar = {
        "learning_rate": (3e-4, 1e-3, 3e-3, 1e-2), "speaker_lr": (0.0, 0.03, 0.1, 0.3), "groups": (("all",), ("norms",)),
        "momentum": (0.0, 0.9), "training_boost": (0.3, 1.0),
    }  # fmt: skip
    adaptation_only: ClassVar = (
        "groups", "optimizer", "learning_rate", "speaker_lr", "momentum", "weight_decay", "unfreeze_every", "lora_rank",
        "lora_alpha", "augmentation", "early_stopping", "normalisation",
    )  # fmt: skip

    @dataclass(frozen=True)
    class Config(Checked):
        """What is adapted, and how.

        Attributes:
            groups: parameter groups of the backbone to adapt.
            optimizer: "adam", "adamw" (with ``weight_decay``) or "sgd".
            training_boost: learning rate of the multi-speaker training, as a multiple of the run's, above 0.
            learning_rate: learning rate of the optimiser, above 0.
            speaker_lr: learning rate of the new speaker's vector instead, whose numbers are few and must move far; 0: as all.
            momentum: momentum of sgd, Adam's beta1: 0 to below 1.
            weight_decay: weight decay of adamw, at least 0.
            unfreeze_every: steps between unfreezing one group and the next, output side first; 0: all at once.
            lora_rank: rank of the adapters in the groups' linear layers, which alone are then adapted; 0: no adapters.
            lora_alpha: scale of the adapters: weight + lora_alpha / lora_rank * B A; above 0.
            augmentation: how to augment the support set, redrawn at each step: any of speed, pitch, gain, noise, mask
                (:mod:`benchmark.learning.augmentation`).
            early_stopping: steps between evaluations of a held-out support utterance; 0: none is held out. Needs 3 shots.
            normalisation: "frozen", or "adapted": scale the backbone's output by the support set's mean and deviation of
                each mel band (from step 0 on).
        """

        groups: Names = ("all",)
        training_boost: PositiveFloat = 1.0
        optimizer: Literal["adam", "adamw", "sgd"] = "adam"
        learning_rate: PositiveFloat = 1e-3
        speaker_lr: NonNegativeFloat = 0.1
        momentum: BelowOne = 0.9
        weight_decay: NonNegativeFloat = 0.01
        unfreeze_every: NonNegativeInt = 0
        lora_rank: NonNegativeInt = 0
        lora_alpha: PositiveFloat = 8.0
        augmentation: tuple[Augmentation, ...] = ()
        early_stopping: NonNegativeInt = 0
        normalisation: Literal["frozen", "adapted"] = "frozen"

    def __init__(self, backbone: Backbone, config: Config | None = None) -> None:
        super().__init__(backbone, config)
        c: FineTune.Config = self.config
        names = select(backbone, c.groups)
        self.ranks = lora.ranks(backbone, names, c.lora_rank) if c.lora_rank else {}
        self.names = tuple(self.ranks) or names
        self.stages = _stages(backbone, self.names)
        self.same_start = c.normalisation == "frozen"
        self.rates = rates(backbone, self.names, c.learning_rate, c)
        if c.normalisation == "adapted" and not set(MEL_STATISTICS) <= {name for name, _ in backbone.named_buffers()}:
            raise UsageError("The backbone has no buffers mel_mean and mel_std, so its normalisation can't be adapted.")

    def parameter_groups(self) -> list[ParameterGroup]:
        """See :meth:`Algorithm.parameter_groups`."""
        return [ParameterGroup(list(self.parameters()), self.config.training_boost)]

    def meta_step(self, tasks: Sequence[Task]) -> dict[str, float]:
        """See :func:`benchmark.learning.inner_loop.joint_step`."""
        return joint_step(self.backbone, both_halves(tasks), half_seeds(tasks))

    def adapt(self, support: Batch, steps: Sequence[int]) -> Iterator[tuple[int, Adapted]]:
        """See :meth:`Algorithm.adapt`."""
        c: FineTune.Config = self.config
        fixed = _mel_statistics(support) if c.normalisation == "adapted" else {}
        held = None
        if c.early_stopping and len(support) >= LEAST_SHOTS:
            support, held = support.rows(slice(None, -1)), support.rows(slice(-1, None))
        values = self._initial()
        optimizer = self._optimizer(values)
        reuse = None if c.augmentation else Reuse(self.backbone, [lora.weight_of(name) for name in values])
        best, least = _copied(values), math.inf
        last = max(steps, default=-1)
        for step in range(last + 1):
            if held is not None and step % c.early_stopping == 0:
                with torch.no_grad():
                    loss = float(self._loss(values, fixed, held))
                if loss < least:
                    best, least = _copied(values), loss
            if step in steps:
                stored = {**fixed, **(_copied(values) if held is None else best)}
                adapters = bool(self.ranks)
                yield step, LoRAModel(self.backbone, stored, alpha=c.lora_alpha) if adapters else AdaptedModel(self.backbone, stored)
            if step < last:
                with torch.enable_grad():
                    self._descend(step, values, fixed, support, optimizer, reuse)

    def adapted_parameters(self) -> dict[str, int]:
        """See :meth:`Algorithm.adapted_parameters`."""
        adapted = lora.sizes(self.backbone, self.ranks) if self.ranks else sizes(self.backbone, self.names)
        buffers = dict(self.backbone.named_buffers()) if self.config.normalisation == "adapted" else {}
        return {**{name: buffers[name].numel() for name in MEL_STATISTICS if name in buffers}, **adapted}

    def _initial(self) -> Parameters:
        """The values learned for a speaker, before the first step."""
        if self.ranks:
            start = lora.initial(self.backbone, self.ranks)
        else:
            start = {name: self.backbone.get_parameter(name).detach().clone() for name in self.names}
        return {name: value.requires_grad_() for name, value in start.items()}

    def _optimizer(self, values: Parameters) -> torch.optim.Optimizer:
        c: FineTune.Config = self.config
        rates = {name: self.rates[lora.weight_of(name)] for name in values}
        return optimizer_named(c.optimizer, list(values.values()), rates, c.momentum, c.weight_decay)

    def _loss(self, values: Parameters, fixed: Parameters, batch: Batch) -> Tensor:
        frozen = lora.frozen(self.backbone)
        replaced = lora.merged(frozen, values, self.config.lora_alpha)
        with pinned(self.backbone, training=False):
            return call(self.backbone, {**frozen, **fixed, **replaced}, "loss", batch)["loss"]

    def _descend(
        self, step: int, values: Parameters, fixed: Parameters, support: Batch, optimizer: torch.optim.Optimizer, reuse: Reuse | None
    ) -> None:
        """One step of the optimiser, which skips frozen parameters: they have no gradient.

        Raises:
            AdaptationFailed: the loss is not finite.
        """
        if self.config.augmentation:
            support = augment(support, self.config.augmentation, self.backbone.spec)
        active = [value for name, value in values.items() if self._thaws(name) <= step]
        with reuse(values.values()) if reuse else nullcontext():
            loss = self._loss(values, fixed, support)
        if not torch.isfinite(loss):
            raise AdaptationFailed("the loss in fine-tuning is not finite")
        for value, grad in zip(active, torch.autograd.grad(loss, active, materialize_grads=True), strict=True):
            value.grad = grad
        optimizer.step()

    def _thaws(self, name: str) -> int:
        """The step from which a parameter is trained."""
        return self.config.unfreeze_every * self.stages[lora.weight_of(name)]


def _stages(backbone: Backbone, names: Sequence[str]) -> dict[str, int]:
    """Each parameter's place in the order of unfreezing, from 0; groups without any of ``names`` are skipped."""
    groups = backbone.adaptable_groups()
    stages: dict[str, int] = {}
    for group in UNFREEZING:
        turn = len(set(stages.values()))
        stages.update({name: turn for name in names if name in groups.get(group, ()) and name not in stages})
    return stages


def _mel_statistics(batch: Batch) -> Parameters:
    """Mean and standard deviation of each mel band over all frames, shape (n_mels,) each."""
    frames = torch.cat([mel[:length] for mel, length in zip(batch.mels, batch.mel_lengths, strict=True)])
    return {"mel_mean": frames.mean(0), "mel_std": frames.std(0).clamp_min(LEAST_STD)}


def _copied(values: Parameters) -> Parameters:
    return {name: value.detach().clone() for name, value in values.items()}


PLUGIN = FineTune
