"""What an algorithm must do to fit: repeatable, pure, indifferent to padding, honest about failure."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch
from torch.nn.functional import pad

from benchmark.algorithm import Algorithm, Sentence, Task
from benchmark.batch import NEW_SPEAKER, Batch
from benchmark.errors import AdaptationFailed
from benchmark.mel import MelSpec
from benchmark.plugins import registry
from benchmark.plugins.conformance.tiny import tiny_backbone, tiny_batch
from benchmark.utterance import PreparedUtterance


def require(condition: object, problem: str) -> None:
    """Raise AssertionError with ``problem`` unless ``condition`` holds."""
    if not condition:
        raise AssertionError(problem)


def _padded(batch: Batch, tokens: int = 3, frames: int = 7) -> Batch:
    """The same utterances, padded further."""
    longer = {name: pad(getattr(batch, name), (0, tokens)) for name in ("tokens", "durations", "pitch", "energy")}
    return replace(batch, **longer, mels=pad(batch.mels, (0, 0, 0, frames)))


def _spoilt(batch: Batch) -> Batch:
    """The same utterances with NaN for all that was measured."""
    return replace(batch, **{name: torch.full_like(getattr(batch, name), torch.nan) for name in ("mels", "pitch", "energy")})


def _state(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def _same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def _tasks() -> list[Task]:
    return [Task(tiny_batch(speaker, 2, speaker), tiny_batch(speaker, 2, speaker + 10)) for speaker in (0, 1)]


def _trained(plugin: type[Algorithm], config: Any, steps: int = 2) -> Algorithm:
    algorithm = plugin(tiny_backbone(), config)
    optimizer = torch.optim.SGD(algorithm.parameters(), lr=1e-3)
    for step in range(steps if plugin.trains else 0):
        torch.manual_seed(step)
        optimizer.zero_grad()
        logs = algorithm.meta_step(_tasks())
        require(isinstance(logs, dict) and "loss" in logs, f"meta_step must return a dict with 'loss', not {logs!r}")
        require(np.isfinite(logs["loss"]), f"meta_step's loss is {logs['loss']}")
        grads = [p.grad for p in algorithm.parameters() if p.grad is not None]
        require(grads and all(bool(torch.isfinite(g).all()) for g in grads), "meta_step left no gradients, or some that are not finite")
        require(any(bool(g.any()) for g in grads), "all gradients are zero")
        optimizer.step()
    return algorithm


def _gradient(algorithm: Algorithm, tasks: list[Task]) -> torch.Tensor:
    """All outer gradients in one vector; the algorithm is left as it was, and nothing is dropped at random."""
    algorithm = copy.deepcopy(algorithm)
    for module in algorithm.modules():
        if isinstance(module, torch.nn.modules.dropout._DropoutNd):
            module.p = 0.0
    algorithm.meta_step(tasks)
    return torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in algorithm.parameters()])


def _close(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Equal but for rounding, as a whole: an optimiser that normalises gradients makes much of those that are next to nothing."""
    return bool((one - other).norm() <= 1e-3 * one.norm())


def _sensible(algorithm: Algorithm, steps: tuple[int, ...]) -> list[int]:
    """The steps, or as many as make sense for the algorithm."""
    most = algorithm.max_steps
    return sorted({step if most is None else min(step, most) for step in steps})


def _voices(algorithm: Algorithm, steps: tuple[int, ...] = (0, 2)) -> dict[int, tuple[torch.Tensor, int]]:
    """The waveform and the count of stored numbers at each step."""
    asked = _sensible(algorithm, steps)
    recording = PreparedUtterance(
        "u", "s", "text", (("a",) * 4,), np.array([1, 3, 4, 5, 6, 1]), np.full(6, 4), np.full((24, MelSpec().n_mels), -5, np.float32),
        np.zeros(24, np.float32), np.zeros(24, np.float32), np.zeros(23 * 256, np.int16),
    )  # fmt: skip
    sentence = Sentence(torch.tensor(recording.tokens), torch.tensor(recording.durations), recording if algorithm.oracle else None)
    vocoder = registry.load("vocoder", "griffin_lim")(MelSpec())
    torch.manual_seed(0)
    result = {}
    for step, voice in algorithm.adapt(tiny_batch(NEW_SPEAKER), asked):
        result[step] = (voice.speak(sentence, vocoder), sum(value.numel() for value in voice.stored.values()))
    require(sorted(result) == asked, f"adapt was asked for steps {asked} and yielded {sorted(result)}")
    return result


def requirements(plugin: type[Algorithm], config: Any) -> Iterator[tuple[str, Callable[[], object]]]:
    """Each requirement, and what to call to try it: it raises if the requirement is not met."""

    def equal(one: Algorithm, other: Algorithm, problem: str) -> None:
        a, b = _voices(one), _voices(other)
        require(all(torch.equal(a[step][0], b[step][0]) for step in a), problem)

    def pure() -> None:
        algorithm = _trained(plugin, config)
        before, modes = _state(algorithm), [m.training for m in algorithm.modules()]
        _voices(algorithm)
        require(_same(before, _state(algorithm)), "adapt changed the algorithm's own parameters or buffers")
        require(modes == [m.training for m in algorithm.modules()], "adapt left a module in another train/eval mode")
        equal(algorithm, algorithm, "a second adapt with the same seed gives other speech")

    def modes() -> None:
        algorithm = _trained(plugin, config)
        equal(copy.deepcopy(algorithm).train(), copy.deepcopy(algorithm).eval(), "speech depends on the train/eval mode it was left in")

    def checkpointed() -> None:
        algorithm, fresh = _trained(plugin, config), plugin(tiny_backbone(seed=1), config)
        fresh.load_state_dict(algorithm.state_dict())
        equal(algorithm, fresh, "state_dict does not hold all that speech depends on")

    def counted() -> None:
        algorithm = _trained(plugin, config)
        said, found = sum(algorithm.adapted_parameters().values()), max(count for _, count in _voices(algorithm).values())
        require(said == found, f"adapted_parameters counts {said} numbers per speaker, the voice stores {found}")

    def tunable() -> None:
        names = {each.name for each in fields(plugin.Config)}
        unknown = {*plugin.search_space, *plugin.adaptation_only} - names
        require(not unknown, f"search_space or adaptation_only names {', '.join(sorted(unknown))}, which Config does not have")
        default = config if config is not None else plugin.Config()
        for name, values in plugin.search_space.items():
            require(config is not None or getattr(default, name) in values, f"search_space leaves out the default {name}")
            for value in values:
                replace(default, **{name: value})

    def inference() -> None:
        algorithm = _trained(plugin, config)
        with torch.no_grad():
            _voices(algorithm)

    uneven = [Task(tiny_batch(s, 2, s, tokens), tiny_batch(s, 2, s + 10, 13 - tokens)) for s, tokens in ((0, 5), (1, 9))]

    def padding() -> None:
        algorithm = plugin(tiny_backbone(), config)
        if plugin.trains:
            torch.manual_seed(0)
            gradient = _gradient(algorithm, uneven)
            torch.manual_seed(0)
            other = _gradient(algorithm, [Task(_padded(task.support), _padded(task.query, 1, 2)) for task in uneven])
            require(_close(gradient, other), "padding a task's batches to a greater length changes the training gradient")
        for task in uneven:
            stored = []
            for support in (task.support.as_new_speaker(), _padded(task.support.as_new_speaker())):
                torch.manual_seed(0)
                *_, (_, voice) = algorithm.adapt(support, _sensible(algorithm, (2,)))
                stored.append(torch.cat([value.flatten() for value in voice.stored.values()] or [torch.zeros(1)]))
            require(_close(*stored), "padding the support set to a greater length changes the voice")

    def one_by_one() -> None:
        if not plugin.trains or plugin.pools_tasks:
            return
        algorithm = plugin(tiny_backbone(), config)
        torch.manual_seed(0)
        together = _gradient(algorithm, uneven)
        torch.manual_seed(0)
        alone = [_gradient(algorithm, [task]) for task in uneven]
        require(_close(together, sum(alone[1:], alone[0]) / 2), "a step's gradient is not the mean of those of its tasks one by one")

    def failed() -> None:
        if not plugin.uses_support:
            return
        algorithm = plugin(tiny_backbone(), config)
        try:
            for _ in algorithm.adapt(_spoilt(tiny_batch(NEW_SPEAKER)), _sensible(algorithm, (1,))):
                pass
        except AdaptationFailed:
            return
        raise AssertionError("adapting to a support set with NaN gave a voice instead of raising AdaptationFailed")

    yield "two training steps with finite gradients", lambda: _trained(plugin, config)
    yield "same seed, same numbers", lambda: equal(_trained(plugin, config), _trained(plugin, config), "two trainings with one seed differ")
    yield "adapt is pure and repeatable", pure
    yield "adapt pins train/eval mode", modes
    yield "adapt works under no_grad", inference
    yield "checkpoint round trip", checkpointed
    yield (
        "pickle round trip",
        lambda: equal(a := _trained(plugin, config), pickle.loads(pickle.dumps(a)), "the pickled copy speaks differently"),
    )
    yield "stored parameters are counted right", counted
    yield "search_space fits Config", tunable
    yield "padding changes nothing", padding
    yield "tasks of unequal length together are as one by one", one_by_one
    yield "a loss that is not finite is a failed adaptation", failed
