"""Learners that write how a speaker sounds into a memory, phone by phone, and read it to speak."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from benchmark.algorithm import Adapted, AdaptedModel, Algorithm, pinned
from benchmark.backbone import BackboneSpec, SynthesisBackbone
from benchmark.batch import Batch
from benchmark.errors import AdaptationFailed
from benchmark.parameters import ParameterGroup
from benchmark.task import Task

STATISTICS_DECAY = 0.99
"""Share of the old phone statistics that a training step keeps."""
SPEED = 10.0
"""New linear layers learn this many times faster than the pretrained backbone, which must not move far."""


class PhoneAcoustics(nn.Module):
    """How each token sounds, relative to its phone's average over all training speakers.

    Features of a token: mean log-mel of its frames, normalised by the corpus's statistics; pitch; energy;
    ln(1 + duration). Each is normalised to mean 0 and deviation 1 over the phone's occurrences in training.
    """

    moments: Tensor
    mel_mean: Tensor
    mel_std: Tensor

    def __init__(self, spec: BackboneSpec) -> None:
        super().__init__()
        self.width = spec.mel.n_mels + 3
        self.register_buffer("mel_mean", torch.tensor(spec.statistics.mel_mean))
        self.register_buffer("mel_std", torch.tensor(spec.statistics.mel_std))
        # Per phone: occurrences, sums and sums of squares, in which old ones fade. They start from one occurrence of mean 0, variance 1.
        self.register_buffer("moments", torch.stack([torch.ones(spec.symbols, self.width)] * 3))
        self.moments[1] = 0

    def measure(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Raw features (B, T, width), and a mask (B, T) of the tokens that have any: those that last at least a frame."""
        mels = (batch.mels - self.mel_mean) / self.mel_std
        sums = F.pad(mels.cumsum(1), (0, 0, 1, 0))
        ends = batch.durations.cumsum(1)
        ends, starts = (edge.unsqueeze(-1).expand(-1, -1, mels.shape[-1]) for edge in (ends, ends - batch.durations))
        mean = (sums.gather(1, ends) - sums.gather(1, starts)) / batch.durations.clamp_min(1).unsqueeze(-1)
        others = torch.stack([batch.pitch, batch.energy, batch.durations.to(mels.dtype).log1p()], dim=-1)
        return torch.cat([mean, others], dim=-1), batch.durations > 0

    @torch.no_grad()
    def learn(self, batches: Sequence[Batch]) -> None:
        """Update the phones' statistics."""
        self.moments *= STATISTICS_DECAY
        for batch in batches:
            features, mask = self.measure(batch)
            some = features[mask]
            self.moments.index_add_(1, batch.tokens[mask], torch.stack([torch.ones_like(some), some, some.square()]))

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Normalised features (B, T, width), 0 where the mask (B, T) is False."""
        features, mask = self.measure(batch)
        count, total, squares = self.moments[:, batch.tokens]
        mean = total / count
        deviation = (squares / count - mean.square()).clamp_min(1e-2).sqrt()
        return (features - mean) / deviation * mask.unsqueeze(-1), mask


class Cell(nn.Module, ABC):
    """A memory: stores pairs of a key and a value, written in order, and returns values by key.

    Attributes:
        key_dim: K.
        value_dim: V.
        shape: shape of one speaker's memory.
    """

    key_dim: int
    value_dim: int
    shape: tuple[int, int]

    @abstractmethod
    def store(self, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """Write pairs into an empty memory.

        Args:
            keys: (B, L, K).
            values: (B, L, V).
            mask: (B, L), 1 for pairs to write, 0 for padding.

        Returns:
            (B, *shape).
        """

    @abstractmethod
    def read(self, memory: Tensor, keys: Tensor) -> Tensor:
        """The values (B, Q, V) that ``memory`` (B, *shape) holds at ``keys`` (B, Q, K)."""


@dataclass(frozen=True)
class RecalledModel(AdaptedModel):
    """A learner's memory of a speaker; each sentence reads its own speaker vector from it.

    Attributes:
        learner: shared by all speakers.
        stored: the memory, under "memory".
    """

    learner: RecallLearner | None = None

    def replaced(self) -> dict[str, Tensor]:
        """Nothing: the backbone stays unchanged."""
        return {}

    def speaker_vector(self, tokens: Tensor) -> Tensor:
        """See :meth:`AdaptedModel.speaker_vector`: what the memory holds for this sentence's phones."""
        assert self.learner is not None
        with pinned(self.learner, training=False), torch.no_grad():
            return self.learner.recall(self.stored["memory"], tokens.unsqueeze(0))[0]


class RecallLearner(Algorithm, ABC):
    """Writes support tokens into a memory, in order: the key from the phone, the value from how it sounds. A query sentence
    reads with its phones' keys; the mean of what it reads is projected and added to the speaker vector that all new speakers share.

    Training needs no inner loop: write the support, read for the queries, minimise their loss over all parameters.

    Args:
        backbone: pretrained.
        config: the plugin's options, ``outer_boost`` among them.
        cell: the memory.
    """

    backbone: SynthesisBackbone
    needs = ("mels", "transcripts", "speaker_vector")
    max_steps = 0
    pools_tasks = True  # PhoneAcoustics

    def __init__(self, backbone: SynthesisBackbone, config: Any, cell: Cell) -> None:
        super().__init__(backbone, config)
        self.cell = cell
        self.acoustics = PhoneAcoustics(backbone.spec)
        self.keys = nn.Embedding(backbone.spec.symbols, cell.key_dim)
        # All keys share a direction, so that a phone never heard reads something written rather than something empty.
        nn.init.normal_(self.keys.weight, mean=0.3)
        width = self.acoustics.width
        inner = 2 * cell.value_dim
        self.values = nn.Sequential(_linear(width + cell.key_dim, inner), nn.GELU(), _linear(inner, cell.value_dim))
        self.project = _linear(cell.value_dim, backbone.speaker_dim, std=0.0)

    def parameter_groups(self) -> list[ParameterGroup]:
        """See :meth:`Algorithm.parameter_groups`: the new linear layers at ``SPEED`` times the rate."""
        quick = [*self.values.parameters(), *self.project.parameters()]
        ours = {id(parameter) for parameter in quick}
        boost = self.config.outer_boost
        return [ParameterGroup([p for p in self.parameters() if id(p) not in ours], boost), ParameterGroup(quick, boost * SPEED)]

    def remember(self, supports: Sequence[Batch]) -> Tensor:
        """The memories of several speakers, shape (len(supports), *cell.shape)."""
        keys, values = [], []
        for support in supports:
            features, mask = self.acoustics(support)
            key = self.keys(support.tokens)[mask]
            keys.append(key)
            values.append(self.values(torch.cat([features[mask], key], dim=-1)))
        mask = pad_sequence([key.new_ones(len(key)) for key in keys], batch_first=True)
        return self.cell.store(pad_sequence(keys, batch_first=True), pad_sequence(values, batch_first=True), mask)

    def recall(self, memory: Tensor, tokens: Tensor) -> Tensor:
        """Speaker vectors of sentences.

        Args:
            memory: one speaker's, shape cell.shape.
            tokens: (B, T), 0 where padded.

        Returns:
            (B, speaker_dim).
        """
        inside = (tokens > 0).unsqueeze(-1)
        read = self.cell.read(memory.expand(len(tokens), -1, -1), self.keys(tokens)) * inside
        shared = self.backbone.speaker_vectors().detach().mean(0) + self.backbone.new_speaker
        return shared + self.project(read.sum(1) / inside.sum(1))

    def meta_step(self, tasks: Sequence[Task]) -> dict[str, float]:
        """See :meth:`Algorithm.meta_step`; dropout is on."""
        supports = [task.support for task in tasks]
        self.acoustics.learn(supports)
        with pinned(self, training=True):
            vectors = [self.recall(memory, task.query.tokens) for memory, task in zip(self.remember(supports), tasks, strict=True)]
            losses = [self.backbone.loss(task.query, vector)["loss"] for task, vector in zip(tasks, vectors, strict=True)]
            loss = torch.stack(losses).mean()
            loss.backward()  # type: ignore[no-untyped-call]
        return {"loss": float(loss.detach())}

    def adapt(self, support: Batch, steps: Sequence[int]) -> Iterator[tuple[int, Adapted]]:
        """See :meth:`Algorithm.adapt`."""
        with pinned(self, training=False), torch.no_grad():
            memory = self.remember([support])[0]
        if not torch.isfinite(memory).all():
            raise AdaptationFailed("what was written into the memory is not finite")
        for step in sorted(set(steps)):
            yield step, RecalledModel(self.backbone, {"memory": memory}, learner=self)

    def adapted_parameters(self) -> dict[str, int]:
        """See :meth:`Algorithm.adapted_parameters`."""
        return {"memory": self.cell.shape[0] * self.cell.shape[1]}


def _linear(inputs: int, outputs: int, std: float | None = None) -> nn.Linear:
    """A linear layer with weights of deviation ``std``, by default one that keeps its input's scale."""
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, std=inputs**-0.5 if std is None else std)
    nn.init.zeros_(layer.bias)
    return layer
