"""Backbones small enough for algebra: they read points from a batch's mels and targets from its energy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from benchmark.backbone import Backbone
from benchmark.batch import Batch


class Toy(Backbone):
    """A regression with parameters of any names; each is a group of its own, and "all" are all."""

    def __init__(self, **parameters: Tensor) -> None:
        nn.Module.__init__(self)
        for name, value in parameters.items():
            self.register_parameter(name, nn.Parameter(value))

    def adaptable_groups(self) -> Mapping[str, tuple[str, ...]]:
        """See :meth:`Backbone.adaptable_groups`."""
        names = tuple(name for name, _ in self.named_parameters())
        return {name: (name,) for name in names} | {"all": names}

    def synthesize(self, tokens: Tensor, durations: Tensor | None = None, speaker: Tensor | None = None) -> Tensor:
        """Toys don't speak."""
        raise NotImplementedError

    def speaker_vectors(self) -> Tensor:
        """Nor have they speakers."""
        raise NotImplementedError


class Linear(Toy):
    """Prediction x @ body @ head, or x @ head without a body; loss = |prediction - y|^2 / 2n."""

    def loss(self, batch: Batch, speaker: Tensor | None = None) -> dict[str, Tensor]:
        """See :meth:`Backbone.loss`."""
        parameters = dict(self.named_parameters())
        features = batch.mels[0] @ parameters["body"] if "body" in parameters else batch.mels[0]
        return {"loss": (features @ parameters["head"] - batch.energy[0]).square().mean() / 2}


class Quadratic(Toy):
    """loss = (w - target) @ curvature @ (w - target) / 2: the curvature is what the batch calls mels, the target its energy."""

    def loss(self, batch: Batch, speaker: Tensor | None = None) -> dict[str, Tensor]:
        """See :meth:`Backbone.loss`."""
        away = dict(self.named_parameters())["w"] - batch.energy[0]
        return {"loss": away @ batch.mels[0] @ away / 2}


class Copies(Toy):
    """Networks of one input and output, side by side; copy i sees row i of the batch. The loss is the sum of their mean squared errors.

    As copies share nothing, one task over all of them is a task for each, at the price of one. A meta-learner that starts
    every copy from the same weights, and moves all by the mean of their outer gradients, learns one initialisation.
    """

    def __init__(self, copies: int, widths: Sequence[int], activation: nn.Module) -> None:
        layers = [nn.Linear(a, b) for a, b in zip((1, *widths), (*widths, 1), strict=True)]
        weights = {f"weight{i}": layer.weight.detach().T for i, layer in enumerate(layers)}
        biases = {f"bias{i}": layer.bias.detach()[None] for i, layer in enumerate(layers)}
        super().__init__(**{name: value.repeat(copies, 1, 1) for name, value in (weights | biases).items()})
        self.layers, self.activation = len(layers), activation

    def predict(self, x: Tensor) -> Tensor:
        """(copies, N) from (copies, N)."""
        hidden = x.unsqueeze(-1)
        for i in range(self.layers):
            hidden = torch.baddbmm(getattr(self, f"bias{i}"), hidden, getattr(self, f"weight{i}"))
            hidden = self.activation(hidden) if i + 1 < self.layers else hidden
        return hidden.squeeze(-1)

    def loss(self, batch: Batch, speaker: Tensor | None = None) -> dict[str, Tensor]:
        """See :meth:`Backbone.loss`; "each" is each copy's."""
        each = (self.predict(batch.mels[..., 0]) - batch.energy).square().mean(1)
        return {"loss": each.sum(), "each": each.detach()}


def points(x: Tensor, y: Tensor) -> Batch:
    """A batch of points: x of shape (B, N, d), y (B, N)."""
    rows, count = y.shape
    nothing = torch.zeros(rows, count, dtype=torch.long)
    lengths = torch.full((rows,), count)
    return Batch(nothing, lengths, nothing, x, lengths, y, y, lengths)


class Layered(Backbone):
    """Any layer from (B, N, d) to (B, N, width), recurrent ones included, under a linear head; loss: the mean squared error."""

    def __init__(self, layer: nn.Module, width: int = 4) -> None:
        nn.Module.__init__(self)
        self.layer, self.head = layer, nn.Linear(width, 1)

    def adaptable_groups(self) -> Mapping[str, tuple[str, ...]]:
        """See :meth:`Backbone.adaptable_groups`."""
        return {"all": tuple(name for name, _ in self.named_parameters())}

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """See :meth:`Backbone.loss`."""
        hidden = self.layer(batch.mels)
        hidden = hidden[0] if isinstance(hidden, tuple) else hidden
        return {"loss": (self.head(hidden)[..., 0] - batch.energy).square().mean()}
