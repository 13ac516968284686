"""Requirements for algorithms: repeatable, pure, unaffected by padding, failing openly."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import torch

from benchmark.algorithm import Adapted, Algorithm, Oracle
from benchmark.backbone import Backbone
from benchmark.batch import NEW_SPEAKER, Batch, sound_only
from benchmark.errors import AdaptationFailed, UsageError
from benchmark.mel import MelSpec
from benchmark.plugins import fit, registry
from benchmark.plugins.conformance.requirement import Requirement, require, require_fields
from benchmark.plugins.conformance.tiny import longer, tiny_backbone, tiny_batch, tiny_labels
from benchmark.problems import PROBLEMS
from benchmark.running.flops import refuse_uncounted
from benchmark.task import Task
from benchmark.utterance import PreparedUtterance
from benchmark.vocoder import Vocoder


def _spoilt(batch: Batch) -> Batch:
    """The same utterances with NaN for mels, pitch and energy."""
    return replace(batch, **{name: torch.full_like(getattr(batch, name), torch.nan) for name in ("mels", "pitch", "energy")})


def _state(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def _same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def _tasks() -> list[Task]:
    return [Task(tiny_batch(speaker, 2, speaker, 4), tiny_batch(speaker, 2, speaker + 10, 4)) for speaker in (0, 1)]


def _trained(plugin: type[Algorithm], config: Any, backbone: type[Backbone]) -> Algorithm:
    algorithm = plugin(tiny_backbone(backbone), config)
    optimizer = torch.optim.SGD(algorithm.parameters(), lr=1e-3)
    for step in range(2 if plugin.trains else 0):
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
    """All outer gradients in one vector, without dropout; the algorithm is left unchanged."""
    algorithm = copy.deepcopy(algorithm)
    for module in algorithm.modules():
        if isinstance(module, torch.nn.modules.dropout._DropoutNd):
            module.p = 0.0
    algorithm.meta_step(tasks)
    return torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in algorithm.parameters()])


def _close(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Equal but for rounding, by norm: optimisers that normalise gradients amplify differences in tiny components."""
    return bool((one - other).norm() <= 1e-3 * one.norm())


def _sensible(algorithm: Algorithm, steps: tuple[int, ...]) -> list[int]:
    """The steps, none above the algorithm's ``max_steps``."""
    most = algorithm.max_steps
    return sorted({step if most is None else min(step, most) for step in steps})


class _Loudness(Vocoder):
    """A stand-in for a vocoder: one sample per frame, so that speech differs if mels do."""

    def decode(self, mel: torch.Tensor) -> torch.Tensor:
        return mel.mean(1)


def _answers(algorithm: Algorithm) -> dict[int, tuple[torch.Tensor, int]]:
    """The model's answer and its count of stored numbers, at each step."""
    asked = _sensible(algorithm, (0, 2))
    torch.manual_seed(0)
    result = {}
    for step, model in algorithm.adapt(_support(algorithm), asked):
        result[step] = (_answer(model), sum(value.numel() for value in model.stored.values()))
    require(sorted(result) == asked, f"adapt was asked for steps {asked} and yielded {sorted(result)}")
    return result


def _answer(model: Adapted) -> torch.Tensor:
    """A tensor that differs if the predictions do."""
    recording = PreparedUtterance(
        "u", "s", "text", (("a",) * 4,), np.array([1, 3, 4, 5, 6, 1]), np.full(6, 4), np.full((24, MelSpec().n_mels), -5, np.float32),
        np.zeros(24, np.float32), np.zeros(24, np.float32), np.zeros(23 * 256, np.int16),
    )  # fmt: skip
    if isinstance(model, Oracle):
        return model.heard(recording, _Loudness())
    if not PROBLEMS[model.backbone.problem].speaks:
        return torch.as_tensor(model.run("loss", tiny_batch(NEW_SPEAKER, seed=5))["loss"])
    tokens = torch.tensor(recording.tokens)
    if "durations" in model.backbone.supports:
        return model.mel(tokens, torch.tensor(recording.durations))
    # As good as untrained, it need not know when to stop. What it learns from speech differs where models do.
    vector = model.speaker_vector(tokens)
    losses = model.run("loss", tiny_batch(NEW_SPEAKER, seed=5), **({} if vector is None else {"speaker": vector}))
    return torch.stack([*losses.values()])


def _support(algorithm: Algorithm, batch: Batch | None = None) -> Batch:
    """The support set as a run passes it: none or labels if it is not used, without transcripts if they are not needed."""
    if algorithm.labels:
        return tiny_labels(algorithm.labels)  # type: ignore[return-value]
    if not algorithm.uses_support:
        return None  # type: ignore[return-value]
    batch = tiny_batch(NEW_SPEAKER) if batch is None else batch
    return batch if "transcripts" in algorithm.needs else sound_only(batch.mels, batch.mel_lengths)


def requirements(plugin: type[Algorithm], config: Any, plugins: registry.Plugins) -> Iterator[Requirement]:
    """Each requirement in turn, on every backbone that the algorithm fits."""
    yield Requirement("names only known needs", lambda: _known_needs(plugin))
    yield Requirement("says what its rows are for", lambda: _known_role(plugin))
    every = {name: registry.load("backbone", name, plugins) for name in registry.find("backbone", plugins)}
    reasons = {name: _misfit(plugin, config, name, backbone, plugins) for name, backbone in every.items()}
    fitting = [(name, backbone) for name, backbone in every.items() if not reasons[name]]
    told = "; ".join(f"on {name}: {reason}" for name, reason in reasons.items())
    yield Requirement("fits a backbone", lambda: require(fitting, f"no backbone has what it needs ({told})"), vital=True)
    for name, backbone in fitting:
        for each in _on(plugin, config, backbone):
            yield Requirement(f"{each.name} (on {name})" if len(fitting) > 1 else each.name, each.attempt, each.vital)


def _known_needs(plugin: type[Algorithm]) -> None:
    unknown = set(plugin.needs) - set(fit.NEEDS)
    require(not unknown, f"needs names {', '.join(sorted(unknown))}, which no backbone or support set has")


def _known_role(plugin: type[Algorithm]) -> None:
    require(plugin.role in ("", *fit.ROLES), f"role is {plugin.role!r}, not one of {', '.join(fit.ROLES)}, or empty for a method")
    require(not (plugin.labels and plugin.uses_support), "labels are for floors without a support set: uses_support must be False")
    require(plugin.uses_support or not plugin.uses_all_speech, "uses_all_speech is True and uses_support False")
    require(plugin.role or not plugin.uses_all_speech, "what uses all speech is no few-shot method: its role must be topline or floor")


def _misfit(plugin: type[Algorithm], config: Any, name: str, backbone: type[Backbone], plugins: registry.Plugins) -> str:
    """Why it does not work on a backbone, for example because that lacks a group of parameters it adapts; "" if it does."""
    needs = plugin.needs
    try:
        if not fit.lacking(needs, name, plugins):
            needs = plugin(tiny_backbone(backbone), config).needs
    except UsageError as error:
        return str(error)
    except Exception:  # the first requirement says what is wrong
        return ""
    lacking = fit.lacking(needs, name, plugins)
    return f"it lacks {fit.in_words(lacking)}" if lacking else ""


def _on(plugin: type[Algorithm], config: Any, backbone: type[Backbone]) -> Iterator[Requirement]:
    once = cache(lambda: _trained(plugin, config, backbone))

    def trained() -> Algorithm:
        """A copy, so that no requirement sees what another did to it."""
        return copy.deepcopy(once())

    expected = cache(lambda: _answers(trained().train()))

    def answers_alike(algorithm: Algorithm, problem: str) -> None:
        found = _answers(algorithm)
        require(all(torch.equal(answer, found[step][0]) for step, (answer, _) in expected().items()), problem)

    def pure() -> None:
        algorithm = trained()
        before, modes = _state(algorithm), [m.training for m in algorithm.modules()]
        _answers(algorithm)
        require(_same(before, _state(algorithm)), "adapt changed the algorithm's own parameters or buffers")
        require(modes == [m.training for m in algorithm.modules()], "adapt left a module in another train/eval mode")
        answers_alike(algorithm, "a second adapt with the same seed gives another model")

    def modes() -> None:
        answers_alike(trained().eval(), "answers depend on the train/eval mode that it was in")

    def checkpointed() -> None:
        fresh = plugin(tiny_backbone(backbone, seed=1), config)
        fresh.load_state_dict(trained().state_dict())
        answers_alike(fresh, "state_dict does not hold everything that its answers depend on")

    def counted() -> None:
        said, found = sum(trained().adapted_parameters().values()), max(count for _, count in expected().values())
        require(said == found, f"adapted_parameters counts {said} numbers per speaker, but the model stores {found}")

    def tunable() -> None:
        require_fields(plugin, [*plugin.search_space, *plugin.adaptation_only], "search_space or adaptation_only")
        default = config if config is not None else plugin.Config()
        for name, values in plugin.search_space.items():
            require(config is not None or getattr(default, name) in values, f"search_space leaves out the default {name}")
            for value in values:
                replace(default, **{name: value})

    def inference() -> None:
        expected()
        with torch.no_grad():
            answers_alike(trained(), "adapt gives another model under no_grad")

    uneven = [Task(tiny_batch(s, 2, s, tokens), tiny_batch(s, 2, s + 10, 9 - tokens)) for s, tokens in ((0, 3), (1, 6))]

    def gradient(tasks: list[Task]) -> torch.Tensor:
        algorithm = plugin(tiny_backbone(backbone), config)
        torch.manual_seed(0)
        return _gradient(algorithm, tasks)

    together = cache(lambda: gradient(uneven))

    def padding() -> None:
        algorithm = plugin(tiny_backbone(backbone), config)
        if plugin.trains:
            other = gradient([Task(longer(task.support), longer(task.query, 1, 2)) for task in uneven])
            require(_close(together(), other), "padding a task's batches to a greater length changes the training gradient")
        for task in uneven:
            stored = []
            for support in (task.support.as_new_speaker(), longer(task.support.as_new_speaker())):
                torch.manual_seed(0)
                *_, (_, model) = algorithm.adapt(_support(algorithm, support), _sensible(algorithm, (2,)))
                stored.append(torch.cat([value.flatten() for value in model.stored.values()] or [torch.zeros(1)]))
            require(_close(*stored), "padding the support set to a greater length changes what is adapted")

    def one_by_one() -> None:
        if not plugin.trains or plugin.pools_tasks:
            return
        # The second task draws what it drew in the step of both.
        algorithm = plugin(tiny_backbone(backbone), config)
        torch.manual_seed(0)
        alone = [_gradient(algorithm, [task]) for task in uneven]
        require(_close(together(), sum(alone[1:], alone[0]) / 2), "a step's gradient is not the mean of its tasks' gradients")

    def started() -> None:
        algorithm = trained()
        if algorithm.same_start:
            supports = [_support(algorithm, tiny_batch(NEW_SPEAKER, count, count)) for count in (1, 4)]
            answers = [_answer(model) for support in supports for _, model in algorithm.adapt(support, [0])]
            require(torch.equal(*answers), "same_start is True, but after 0 steps the answer depends on the support set")

    def failed() -> None:
        if not plugin.uses_support:
            return
        algorithm = plugin(tiny_backbone(backbone), config)
        try:
            for _ in algorithm.adapt(_support(algorithm, _spoilt(tiny_batch(NEW_SPEAKER))), _sensible(algorithm, (1,))):
                pass
        except AdaptationFailed:
            return
        raise AssertionError("adapting to a support set with NaN yielded a model instead of raising AdaptationFailed")

    def repeatable() -> None:
        answers_alike(_trained(plugin, config, backbone), "two trainings with one seed differ")

    def grouped() -> None:
        algorithm = plugin(tiny_backbone(backbone), config)
        found = [parameter for group in algorithm.parameter_groups() for parameter in group.parameters]
        require(len({id(each) for each in found}) == len(found), "parameter_groups holds a parameter twice")
        left = [name for name, each in algorithm.named_parameters() if each.requires_grad and not any(each is other for other in found)]
        require(not left, f"parameter_groups leaves out {', '.join(left[:3])}{', …' * (len(left) > 3)}, which would never learn")

    def charged() -> None:
        algorithm = plugin(tiny_backbone(backbone), config)
        tasks = _tasks() if plugin.pools_tasks else _tasks()[:1]  # counting is slow
        refuse_uncounted(algorithm, lambda: algorithm.meta_step(tasks))

    yield Requirement("two training steps with finite gradients", once, vital=True)
    if plugin.trains:
        yield Requirement("every layer's operations are counted", charged)
        yield Requirement("parameter_groups holds each parameter once", grouped)
    yield Requirement("same seed, same numbers", repeatable)
    yield Requirement("adapt is pure and repeatable", pure)
    yield Requirement("adapt pins train/eval mode", modes)
    yield Requirement("adapt works under no_grad", inference)
    yield Requirement("checkpoint round trip", checkpointed)
    yield Requirement(
        "pickle round trip",
        lambda: answers_alike(pickle.loads(pickle.dumps(trained())), "the pickled copy answers differently"),
    )
    yield Requirement("stored parameters are counted correctly", counted)
    yield Requirement("search_space fits Config", tunable)
    yield Requirement("padding changes nothing", padding)
    yield Requirement("tasks of unequal length give the mean of their gradients", one_by_one)
    yield Requirement("a start that does not depend on the support set", started)
    yield Requirement("a loss that is not finite is a failed adaptation", failed)
