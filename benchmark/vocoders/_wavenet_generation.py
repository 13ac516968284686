"""Making a WaveNet's samples one by one, compiled: an operation a layer and sample through torch would take minutes a second.

Le Paine et al., "Fast WaveNet generation algorithm" (2016): a layer's inputs wait in a queue as long as its dilation is, so that each
sample costs one step of each layer.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

Array = np.ndarray[Any, np.dtype[np.float32]]


class Weights(NamedTuple):
    """A network of L layers of C channels, S skip channels and O outputs; float32, each matrix (inputs, outputs).

    Attributes:
        first: (2, C), the weight and the bias of what a sample becomes at the first layer.
        inner: (L, 2 C, 2 C), of the input a dilation ago and of the input now; to the values, then to the gates.
        outer: (L, C, C + S), to the residual, then to the skip connection.
        outer_bias: (L, C + S).
        head: (S, S).
        head_bias: (S,).
        last: (S, O).
        last_bias: (O,).
    """

    first: Array
    inner: Array
    outer: Array
    outer_bias: Array
    head: Array
    head_bias: Array
    last: Array
    last_bias: Array


class Generation:
    """Samples of one utterance, made in order.

    Args:
        weights: of the network.
        dilations: of each layer.
        mixture: whether outputs are a mixture of logistics, rather than the log-odds of mu-law levels.
        temperature: of the draws.
        least_log_scale: of a logistic.
        limit: of samples that a mixture of logistics gives.
    """

    def __init__(
        self, weights: Weights, dilations: list[int], mixture: bool, temperature: float, least_log_scale: float, limit: float
    ) -> None:
        self.weights, self.dilations = weights, np.array(dilations)
        self.rule = mixture, np.float32(temperature), np.float32(least_log_scale), np.float32(limit)
        self.queues = np.zeros((sum(dilations), weights.first.shape[1]), np.float32)
        self.position, self.last = 0, np.float32(0)

    def __call__(self, conditions: Array, draws: Array) -> Array:
        """The next T samples.

        Args:
            conditions: (T, L, 2 C), what the mel adds to values and gates, their biases with it; written over.
            draws: (T, 2), uniform between 0 and 1.

        Returns:
            (T,), within ``limit``; companded and in [-1, 1], where outputs are of mu-law.
        """
        made = np.empty(len(draws), np.float32)
        self.last = _generate(self.weights, self.dilations, self.queues, self.position, self.last, conditions, draws, self.rule, made)
        self.position += len(draws)
        return made


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def draw_logistic(predicted: Array, draw: Array, temperature: Any, least_log_scale: Any, limit: Any) -> Any:
    """A sample of a mixture of logistics (Salimans et al., "PixelCNN++", 2017): a component by the first draw, a value by the second."""
    count = len(predicted) // 3
    component = draw_index(predicted[:count], draw[0], temperature)
    scale = np.exp(max(predicted[2 * count + component], least_log_scale)) * temperature
    value = predicted[count + component] + scale * (np.log(draw[1]) - np.log(np.float32(1) - draw[1]))
    return min(max(value, -limit), limit)


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def draw_index(log_odds: Array, draw: Any, temperature: Any) -> int:
    """An index, each as probable as the softmax of ``log_odds`` says."""
    odds = np.exp((log_odds - log_odds.max()) / temperature)
    rest = draw * odds.sum()
    for index in range(len(odds)):
        rest -= odds[index]
        if rest < 0:
            return index
    return len(odds) - 1


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def draw_sample(predicted: Array, draw: Array, rule: Any) -> Any:
    """A sample of what the network predicts; NaN where that is not finite, which a draw could not tell from the last level."""
    mixture, temperature, least_log_scale, limit = rule
    if not np.isfinite(predicted.sum()):
        return np.float32(np.nan)
    if mixture:
        return draw_logistic(predicted, draw, temperature, least_log_scale, limit)
    return np.float32(2 * draw_index(predicted, draw[0], temperature) / (len(predicted) - 1) - 1)


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _add_product(vector: Array, matrix: Array, out: Array) -> None:
    """``out += vector @ matrix``: its inner loop runs along memory, which compilers vectorise as it stands."""
    for i in range(len(vector)):
        for j in range(len(out)):
            out[j] += vector[i] * matrix[i, j]


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _generate(
    weights: Any, dilations: Any, queues: Array, position: int, sample: Any, conditions: Array, draws: Array, rule: Any, made: Array
) -> Any:
    """Fill ``made`` and return its last sample; ``queues`` hold each layer's last inputs, one layer's after another's."""
    channels, skips = weights.first.shape[1], len(weights.head)
    gated, head, predicted = np.empty(channels, np.float32), np.empty(skips, np.float32), np.empty_like(weights.last_bias)
    one = np.float32(1)
    for t in range(len(made)):
        hidden, skip = sample * weights.first[0] + weights.first[1], np.zeros(skips, np.float32)
        start = 0
        for layer in range(len(dilations)):
            queue = queues[start + (position + t) % dilations[layer]]
            start += dilations[layer]
            inner = conditions[t, layer]
            _add_product(queue, weights.inner[layer, :channels], inner)
            _add_product(hidden, weights.inner[layer, channels:], inner)
            queue[:] = hidden
            for i in range(channels):
                gated[i] = np.tanh(inner[i]) * (one / (one + np.exp(-inner[channels + i])))
            outer = weights.outer_bias[layer].copy()
            _add_product(gated, weights.outer[layer], outer)
            hidden += outer[:channels]
            skip += outer[channels:]
        head[:] = weights.head_bias
        _add_product(np.maximum(skip, 0), weights.head, head)
        predicted[:] = weights.last_bias
        _add_product(np.maximum(head, 0), weights.last, predicted)
        sample = draw_sample(predicted, draws[t], rule)
        made[t] = sample
    return sample
