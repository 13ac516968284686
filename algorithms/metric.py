"""Metric learning: a speaker encoder, trained to tell voices apart, conditions the backbone."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge
from torch import Tensor, nn

from benchmark.algorithm import Adapted, AdaptedModel, pinned
from benchmark.backbone import SynthesisBackbone
from benchmark.batch import Batch
from benchmark.learning.inner_loop import descend, select, sizes
from benchmark.learning.metric_losses import contrastive, ge2e, prototypical, triplet
from benchmark.learning.speaker_conditioning import SpeakerConditioned
from benchmark.learning.speaker_encoders import ENCODERS, SpeakerEncoder
from benchmark.parameters import OUTER_BOOSTS
from benchmark.settings.ranges import Checked, NonNegativeFloat, PositiveFloat
from benchmark.task import Task

LOSSES = ("siamese", "triplet", "prototypical", "ge2e")


class MetricLearning(SpeakerConditioned):
    """Speaker embeddings by metric learning, mapped linearly into the backbone's speaker space; no gradient steps on a new speaker.

    A step takes the utterances of all its tasks and minimises the backbone's loss on each task's queries, spoken with
    the mean code of the task's support, plus ``metric_weight`` times the metric loss over all embeddings, plus
    ``table_weight`` times the mean squared difference between codes and those of the speakers' pretrained vectors.
    Everything is trained: encoder and map from scratch (and faster, see ``encoder_boost``), the backbone from its pretraining.

    With ``fine_tune_groups``, gradient descent on the support set follows, starting from the computed vector.
    """

    pools_tasks = True
    embeds = True
    search_space: ClassVar = {
        "loss": LOSSES,
        "encoder": ENCODERS,
        "table_weight": (0.0, 0.1, 1.0),
        "encoder_boost": (3.0, 10.0),
        "outer_boost": OUTER_BOOSTS,
    }
    adaptation_only: ClassVar = ("fine_tune_groups", "fine_tune_rate")

    @dataclass(frozen=True)
    class Config(Checked):
        """Encoder, losses, and adaptation.

        Attributes:
            loss: "siamese" (contrastive), "triplet" (semi-hard), "prototypical" or "ge2e"; see :mod:`benchmark.learning.metric_losses`.
            encoder: "xvector" or "ecapa", trained from scratch; see :mod:`benchmark.learning.speaker_encoders`.
            embedding_dim: length of an embedding, at least 2.
            metric_weight: weight of the metric loss, at least 0.
            table_weight: weight of the regression onto the training speakers' pretrained vectors, at least 0.
            encoder_boost: the encoder's learning rate as a multiple of the backbone's, above 0.
            outer_boost: the backbone's learning rate as a multiple of the run's, above 0.
            fine_tune_groups: parameter groups of the backbone to fine-tune with Adam; none: 0 steps. The speaker vector is
                the group "embedding".
            fine_tune_rate: Adam's learning rate, above 0.
        """

        loss: Literal["siamese", "triplet", "prototypical", "ge2e"] = "ge2e"
        encoder: Literal["xvector", "ecapa"] = "ecapa"
        embedding_dim: Annotated[int, Ge(2)] = 96
        metric_weight: NonNegativeFloat = 0.1
        table_weight: NonNegativeFloat = 0.1
        encoder_boost: PositiveFloat = 10.0
        outer_boost: PositiveFloat = 1.0
        fine_tune_groups: tuple[str, ...] = ()
        fine_tune_rate: PositiveFloat = 1e-3

    def __init__(self, backbone: SynthesisBackbone, config: Config | None = None) -> None:
        super().__init__(backbone, config)
        c: MetricLearning.Config = self.config
        self.names = select(backbone, c.fine_tune_groups) if c.fine_tune_groups else ()
        self.max_steps = None if self.names else 0
        self.needs = ("mels", "speaker_vector", *(("transcripts",) if self.names else ()))
        self.encoder = SpeakerEncoder(c.encoder, backbone.spec.mel.n_mels, c.embedding_dim)
        self.project = nn.Linear(c.embedding_dim, backbone.speaker_dim)
        # GE2E's w, 10 at first as in the paper; kept as a logarithm so that it stays above 0.
        self.log_w = nn.Parameter(torch.tensor(10.0).log())

    def new_modules(self) -> Sequence[nn.Module]:
        """See :meth:`SpeakerConditioned.new_modules`."""
        return [self.encoder, self.project]

    def code(self, batch: Batch) -> Tensor:
        """See :meth:`SpeakerConditioned.code`."""
        return self.project(self._embeddings([batch])[0])  # type: ignore[no-any-return]

    def embed(self, batch: Batch) -> Tensor:
        """The embedding of each utterance, shape (B, embedding_dim)."""
        with torch.no_grad(), pinned(self, training=False):
            return self._embeddings([batch])[0]

    def meta_step(self, tasks: Sequence[Task]) -> dict[str, float]:
        """See :meth:`Algorithm.meta_step`."""
        batches = [task.support for task in tasks] + [task.query for task in tasks]
        with pinned(self, training=True):
            embeddings = self._embeddings(batches)
            codes = [self.project(each).mean(0) for each in embeddings]
            losses = {
                "query": self.query_loss(tasks, codes[: len(tasks)]),
                "metric": self._metric_loss(tasks, embeddings[: len(tasks)], embeddings[len(tasks) :]),
                "table": self.table_loss(batches, codes),
            }
            loss = losses["query"] + self.config.metric_weight * losses["metric"] + self.config.table_weight * losses["table"]
            loss.backward()  # type: ignore[no-untyped-call]
        return {"loss": float(loss.detach()), **{name: float(value.detach()) for name, value in losses.items()}}

    def adapt(self, support: Batch, steps: Sequence[int]) -> Iterator[tuple[int, Adapted]]:
        """See :meth:`Algorithm.adapt`."""
        if not self.names:
            yield from super().adapt(support, steps)
            return
        # A new speaker's vector is the table's mean plus an offset, so descent starts from a copy that holds this offset.
        start = copy.deepcopy(self.backbone)
        with torch.no_grad():
            start.new_speaker.copy_(self.speaker(support) - start.speaker_vectors().mean(0))
        fixed = {"new_speaker": start.new_speaker.detach().clone()}
        optimizer = partial(torch.optim.Adam, lr=self.config.fine_tune_rate)
        for step, parameters in descend(start, self.names, support, optimizer, steps):
            yield step, AdaptedModel(self.backbone, fixed | parameters)

    def adapted_parameters(self) -> dict[str, int]:
        """See :meth:`Algorithm.adapted_parameters`."""
        return {"new_speaker": self.backbone.speaker_dim} | sizes(self.backbone, self.names) if self.names else super().adapted_parameters()

    def _embeddings(self, batches: Sequence[Batch]) -> list[Tensor]:
        """(B, embedding_dim) of each batch, from one pass of the encoder, so that its batch normalisation sees all of them."""
        longest = max(batch.mels.shape[1] for batch in batches)
        mels = torch.cat([nn.functional.pad(self.normalised(batch), (0, 0, 0, longest - batch.mels.shape[1])) for batch in batches])
        embeddings: Tensor = self.encoder(mels, torch.cat([batch.mel_lengths for batch in batches]))
        return list(embeddings.split([len(batch) for batch in batches]))

    def _metric_loss(self, tasks: Sequence[Task], support: Sequence[Tensor], query: Sequence[Tensor]) -> Tensor:
        halves = torch.cat(list(support)), torch.cat(list(query))
        labels = torch.cat([task.support.speakers for task in tasks]), torch.cat([task.query.speakers for task in tasks])
        if self.config.loss == "prototypical":
            return prototypical(halves[0], labels[0], halves[1], labels[1])
        every, whose = torch.cat(halves), torch.cat(labels)
        if self.config.loss == "siamese":
            return contrastive(every, whose)
        if self.config.loss == "triplet":
            return triplet(every, whose)
        return ge2e(every, whose, self.log_w.exp())


PLUGIN = MetricLearning
