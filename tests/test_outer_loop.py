"""Meta-gradients against algebra, finite differences and another library, not against themselves."""

from __future__ import annotations

import copy
import inspect
import pickle
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import higher
import pytest
import torch
from torch import Tensor

from benchmark.algorithm import AdaptedModel, Algorithm, Task
from benchmark.backbone import Backbone
from benchmark.batch import NEW_SPEAKER, Batch
from benchmark.errors import AdaptationFailed, UsageError
from benchmark.learning.inner_loop import select
from benchmark.plugins import registry
from benchmark.plugins.conformance.tiny import tiny_backbone, tiny_batch
from benchmark.running.training import Budget, fit
from tests.toy_backbones import Linear, Quadratic, points

ALPHA, LAMBDA = 0.1, 0.7
DEEP = 5
"""A task's seed with which maml_adam takes all of 2 and of 3 inner steps."""


@pytest.fixture(autouse=True)
def double() -> Any:
    """Algebra in float64."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def make(name: str, backbone: Backbone, **options: Any) -> Algorithm:
    plugin = registry.load("algorithm", name)
    algorithm: Algorithm = plugin(backbone, plugin.Config(**options))
    return algorithm


def gradients(algorithm: Algorithm, task: Task) -> dict[str, Tensor]:
    algorithm.zero_grad()
    algorithm.meta_step([task])
    return {name: p.grad.clone() for name, p in algorithm.named_parameters() if p.grad is not None}


def close(found: Tensor, expected: Tensor, rtol: float = 1e-10) -> None:
    torch.testing.assert_close(found, expected, rtol=rtol, atol=1e-12)


# Linear regression: gradient G w - b with G = X'X / n, b = X'y / n, for support (s) and query (q).
SUPPORT, QUERY = [(normal(6, 3, seed=seed), normal(6, seed=seed + 1)) for seed in (0, 2)]
(G_S, B_S), (G_Q, B_Q) = [(x.T.double() @ x.double() / 6, x.T.double() @ y.double() / 6) for x, y in (SUPPORT, QUERY)]
W = normal(3, seed=4).double()
EYE = torch.eye(3, dtype=torch.float64)


def regression() -> tuple[Linear, Task]:
    support, query = (points(x.double()[None], y.double()[None]) for x, y in (SUPPORT, QUERY))
    return Linear(head=W.clone()), Task(support, query)


def linear(name: str, **options: Any) -> dict[str, Tensor]:
    model, task = regression()
    return gradients(make(name, model, **options), task)


def query_gradient(w: Tensor) -> Tensor:
    return G_Q @ w - B_Q


STEPPED = W - ALPHA * (G_S @ W - B_S)


def test_maml_on_linear_regression() -> None:
    close(linear("maml", inner_steps=1, inner_lr=ALPHA)["backbone.head"], (EYE - ALPHA * G_S) @ query_gradient(STEPPED))


def test_first_order_maml_on_linear_regression() -> None:
    close(linear("maml", inner_steps=1, inner_lr=ALPHA, first_order=True)["backbone.head"], query_gradient(STEPPED))


def test_reptile_on_linear_regression() -> None:
    end = STEPPED - ALPHA * query_gradient(STEPPED)
    close(linear("reptile", inner_steps=2, inner_lr=ALPHA, optimizer="sgd")["backbone.head"], (W - end) / (2 * ALPHA))


def test_meta_sgd_on_linear_regression_with_a_negative_rate() -> None:
    model, task = regression()
    algorithm = make("meta_sgd", model, inner_steps=1, inner_lr=ALPHA)
    scales = torch.tensor([1.6, -0.5, 1.0])
    algorithm.load_state_dict({"backbone.head": W, "scales.head": scales})
    rates = ALPHA * scales
    assert rates[1] < 0 < rates[0]
    inner = G_S @ W - B_S
    outer = query_gradient(W - rates * inner)
    found = gradients(algorithm, task)
    close(found["backbone.head"], outer - G_S @ (rates * outer))
    close(found["scales.head"], -ALPHA * inner * outer)


def test_imaml_on_linear_regression() -> None:
    solved = torch.linalg.solve(G_S + LAMBDA * EYE, B_S + LAMBDA * W)
    options: dict[str, Any] = {"optimizer": "sgd", "proximal_weight": LAMBDA, "damping": 0, "cg_steps": 3}
    options |= {"inner_steps": 400, "inner_lr": 0.3}
    close(linear("imaml", **options)["backbone.head"], torch.linalg.solve(EYE + G_S / LAMBDA, query_gradient(solved)), rtol=1e-8)


def two_layers() -> tuple[Linear, Task]:
    _, task = regression()
    return Linear(body=normal(3, 2, seed=5).double(), head=normal(2, seed=6).double()), task


def test_anil_adapts_the_head_and_learns_the_body_in_the_outer_loop() -> None:
    model, task = two_layers()
    found = gradients(make("anil", model, groups=("head",), inner_steps=1, inner_lr=ALPHA), task)
    body, head = model.get_parameter("body").detach(), model.get_parameter("head").detach()
    error = G_S @ body @ head - B_S
    adapted = head - ALPHA * body.T @ error
    query = G_Q @ body @ adapted - B_Q
    outer = body.T @ query  # in the adapted head
    close(found["backbone.head"], outer - ALPHA * body.T @ G_S @ body @ outer)
    close(found["backbone.body"], torch.outer(query, adapted) - ALPHA * (torch.outer(error, outer) + torch.outer(G_S @ body @ outer, head)))


def test_imaml_differentiates_the_solution_in_what_is_not_adapted() -> None:
    model, task = two_layers()
    options: dict[str, Any] = {"inner_lr": 0.2, "optimizer": "sgd", "proximal_weight": LAMBDA, "damping": 0, "cg_steps": 2}
    found = gradients(make("imaml", model, groups=("head",), inner_steps=400, **options), task)
    body, head = (model.get_parameter(name).detach().requires_grad_() for name in ("body", "head"))
    # Ridge regression towards the initial head, in closed form.
    solved = torch.linalg.solve(body.T @ G_S @ body + LAMBDA * torch.eye(2), body.T @ B_S + LAMBDA * head)
    (QUERY[0].double() @ body @ solved - QUERY[1].double()).square().mean().div(2).backward()  # type: ignore[no-untyped-call]
    assert body.grad is not None and head.grad is not None
    close(found["backbone.head"], head.grad, rtol=1e-8)
    close(found["backbone.body"], body.grad, rtol=1e-8)


# Quadratics: gradient A (w - t).
A_S, A_Q = (torch.diag(torch.tensor(d)).double() + 0.5 for d in ([1.0, 2.0, 3.0], [2.0, 1.0, 4.0]))
T_S, T_Q = torch.tensor([[1.0, 0.0, -1.0], [0.5, 2.0, 1.0]]).double()


def quadratic(name: str, inner_lr: float = ALPHA, **options: Any) -> tuple[Algorithm, Task]:
    task = Task(points(A_S[None], T_S[None]), points(A_Q[None], T_Q[None]))
    return make(name, Quadratic(w=W.clone()), inner_lr=inner_lr, **options), task


@pytest.mark.parametrize("steps", [1, 3])
def test_many_steps_on_a_quadratic(steps: int) -> None:
    shrink = torch.linalg.matrix_power(EYE - ALPHA * A_S, steps)
    outer = A_Q @ (T_S + shrink @ (W - T_S) - T_Q)
    close(gradients(*quadratic("maml", inner_steps=steps))["backbone.w"], shrink @ outer)
    close(gradients(*quadratic("anil", groups=("w",), inner_steps=steps))["backbone.w"], shrink @ outer)
    close(gradients(*quadratic("meta_sgd", inner_steps=steps))["backbone.w"], shrink @ outer)
    close(gradients(*quadratic("maml", inner_steps=steps, first_order=True))["backbone.w"], outer)


def test_reptile_on_a_quadratic_takes_the_halves_in_turn() -> None:
    w = W
    for curvature, target in ((A_S, T_S), (A_Q, T_Q), (A_S, T_S)):
        w = w - ALPHA * curvature @ (w - target)
    close(gradients(*quadratic("reptile", inner_steps=3, optimizer="sgd"))["backbone.w"], (W - w) / (3 * ALPHA))


@pytest.mark.parametrize(("rule", "momentum"), [("sgd", 0.0), ("adam", 0.0), ("sgd", 0.5), ("adam", 0.5)])
def test_reptile_interpolates_as_the_paper_does(rule: str, momentum: float, tmp_path: Path) -> None:
    """Algorithm 2 of Nichol et al., by hand: epsilon falls linearly to 0, and neither AdamW nor clipping takes part."""
    algorithm, first = quadratic("reptile", inner_steps=3, optimizer=rule, momentum=momentum, interpolation=0.5)
    far = Task(points(A_Q[None], 30 * T_Q[None]), points(A_S[None], 30 * T_S[None]))
    untouched = torch.nn.Parameter(torch.ones(2))
    algorithm.register_parameter("idle", untouched)
    tasks = [[first, far], [far, far], [first, first], [far, first]]
    fit(algorithm, lambda step: tasks[step % 4], 1e-3, Budget(steps=4), 0, tmp_path / "x.ckpt")

    w = W
    for step in range(4):
        ends = []
        for task in tasks[step]:
            fast, moved, square = w, torch.zeros(3), torch.zeros(3)
            for inner in range(3):
                batch = task.support if inner % 2 == 0 else task.query
                gradient = batch.mels[0] @ (fast - batch.energy[0])
                square = 0.999 * square + 0.001 * gradient**2
                moved = momentum * moved + (1 - momentum if rule == "adam" else 1) * gradient
                scaled = moved / (1 - momentum ** (inner + 1)) / ((square / (1 - 0.999 ** (inner + 1))).sqrt() + 1e-8)
                fast = fast - ALPHA * (scaled if rule == "adam" else moved)
            ends.append(fast - w)
        w = w + 0.5 * (1 - step / 4) * sum(ends) / 2
    close(algorithm.backbone.get_parameter("w").detach(), w)
    assert torch.equal(untouched, torch.ones(2))
    copies: list[Any] = [copy.deepcopy(algorithm), pickle.loads(pickle.dumps(algorithm))]
    assert all(each.outer_step.__self__ is each for each in copies), "each moves itself"


@pytest.mark.parametrize("damping", [0.0, 1.5])
@pytest.mark.parametrize(("optimizer", "steps", "rate", "rtol"), [("sgd", 400, ALPHA, 1e-8), ("adam", 2000, 1e-2, 1e-3)])
def test_imaml_on_a_quadratic(optimizer: str, steps: int, rate: float, rtol: float, damping: float) -> None:
    solved = torch.linalg.solve(A_S + LAMBDA * EYE, A_S @ T_S + LAMBDA * W)
    expected = torch.linalg.solve(EYE + A_S / (LAMBDA + damping), A_Q @ (solved - T_Q))
    options: dict[str, Any] = {"optimizer": optimizer, "proximal_weight": LAMBDA, "damping": damping, "cg_steps": 3}
    found = gradients(*quadratic("imaml", inner_lr=rate, inner_steps=steps, **options))
    close(found["backbone.w"], expected, rtol)


def test_imaml_moves_by_adam_where_plain_descent_diverges() -> None:
    steep = points(1e5 * A_S[None], T_S[None])
    for optimizer, step in (("adam", ALPHA * torch.sign(A_S @ (W - T_S))), ("sgd", ALPHA * 1e5 * A_S @ (W - T_S))):
        algorithm, _ = quadratic("imaml", optimizer=optimizer)
        voices = algorithm.adapt(steep, [1, 200])
        (_, first) = next(voices)
        assert isinstance(first, AdaptedModel)
        close(first.stored["w"], W - step, 1e-6)
        if optimizer == "adam":
            assert isinstance(last := next(voices)[1], AdaptedModel) and (last.stored["w"] - T_S).abs().max() < 2 * ALPHA
        else:
            with pytest.raises(AdaptationFailed):
                next(voices)


def test_conjugate_gradient_stops_where_the_loss_is_not_convex() -> None:
    solve = inspect.getmodule(registry.load("algorithm", "imaml")).conjugate_gradient  # type: ignore[union-attr]
    curvature, target = torch.tensor([2.0, 1.0, -1.0]), torch.tensor([1.0, 1.0, 0.5])
    first = target * (target @ target) / (target @ (curvature * target))
    close(solve(lambda vector: curvature * vector, target, 1), first)
    every = [solve(lambda vector: curvature * vector, target, steps) for steps in range(1, 9)]
    assert all(torch.isfinite(each).all() and each @ target > 0 for each in every)
    close(solve(lambda vector: -vector, target, 3), target)


def test_maml_plus_plus_on_a_quadratic() -> None:
    algorithm, task = quadratic("maml_plus_plus", inner_steps=2, annealing_steps=10, first_order_steps=0)
    logs = torch.tensor([[0.3], [-0.6]])
    algorithm.load_state_dict({**algorithm.state_dict(), "log_rates": logs, "outer_steps": torch.tensor(4)})
    first, second = ALPHA * torch.exp(logs[:, 0])
    early, late = 0.6 / 2, 1 - 0.6 / 2
    inner1 = A_S @ (W - T_S)
    w1 = W - first * inner1
    inner2 = A_S @ (w1 - T_S)
    w2 = w1 - second * inner2
    outer1, outer2 = A_Q @ (w1 - T_Q), A_Q @ (w2 - T_Q)
    back = outer2 - second * A_S @ outer2  # the second step's Jacobian
    into_first = early * outer1 + late * back
    found = gradients(algorithm, task)
    close(found["backbone.w"], into_first - first * A_S @ into_first)
    close(found["log_rates"], -torch.stack([first * inner1 @ into_first, second * late * inner2 @ outer2])[:, None])


def test_maml_plus_plus_schedules() -> None:
    algorithm: Any = quadratic("maml_plus_plus", inner_steps=4, annealing_steps=10, first_order_steps=5)[0]
    seen = {}
    for step in (0, 5, 10, 99):
        algorithm.outer_steps.fill_(step)
        seen[step] = (algorithm.step_weights(4), algorithm.second_order)
    assert seen[0] == ([0.25] * 4, False)
    assert seen[5] == ([0.125] * 3 + [0.625], True)
    assert seen[10] == seen[99] == ([0.0] * 3 + [1.0], True)
    # Before the order changes, MAML++ is first-order MAML with the same losses.
    algorithm, task = quadratic("maml_plus_plus", inner_steps=1, annealing_steps=0, first_order_steps=1)
    close(gradients(algorithm, task)["backbone.w"], gradients(*quadratic("maml", inner_steps=1, first_order=True))["backbone.w"])
    close(gradients(algorithm, task)["backbone.w"], gradients(*quadratic("maml", inner_steps=1))["backbone.w"])


def adapted(algorithm: Algorithm, task: Task, steps: int) -> Tensor:
    ((_, voice),) = algorithm.adapt(task.support, [steps])
    assert isinstance(voice, AdaptedModel)
    return voice.stored["w"]


def test_maml_plus_plus_repeats_its_last_rates_beyond_the_trained_steps() -> None:
    algorithm, task = quadratic("maml_plus_plus", inner_steps=2)
    logs = torch.tensor([[0.9], [-0.6]])
    algorithm.load_state_dict({**algorithm.state_dict(), "log_rates": logs})
    first, second = ALPHA * torch.exp(logs[:, 0])
    expected = T_S + torch.linalg.matrix_power(EYE - second * A_S, 6) @ (EYE - first * A_S) @ (W - T_S)
    close(adapted(algorithm, task, 7), expected)


def test_meta_sgd_does_not_climb_beyond_the_trained_steps() -> None:
    algorithm, task = quadratic("meta_sgd", inner_steps=2)
    scales = torch.tensor([1.6, -2.0, 1.0])
    algorithm.load_state_dict({**algorithm.state_dict(), "scales.w": scales})
    rates = ALPHA * scales
    assert rates[1] < 0
    w = W
    for step in range(200):
        w = w - (rates if step < 2 else rates.clamp_min(0)) * (A_S @ (w - T_S))
        if step == 1:
            climbed = w[1]
    found = adapted(algorithm, task, 200)
    close(found, w)
    assert found[1] == pytest.approx(float(climbed))


@pytest.mark.parametrize(
    ("name", "options", "rates"),
    [
        ("maml", {"inner_lr": 0.1}, (0.1, 3.0)),
        ("maml_plus_plus", {"inner_lr": 0.1}, (0.1, 3.0)),
        ("meta_sgd", {"inner_lr": 0.1}, (0.1, 3.0)),
        ("reptile", {"inner_lr": 0.1, "optimizer": "sgd"}, (0.1, 3.0)),
        ("imaml", {"inner_lr": 0.1, "optimizer": "sgd"}, (0.1, 3.0)),
        ("finetune", {"learning_rate": 0.1, "optimizer": "sgd"}, (0.1, 3.0)),
    ],
)
def test_the_speaker_vector_moves_at_its_own_rate(name: str, options: dict[str, Any], rates: tuple[float, float]) -> None:
    backbone, batch = tiny_backbone().double(), doubled(tiny_batch(NEW_SPEAKER, 2, 1))
    algorithm = make(name, backbone, speaker_lr=rates[1], **options)
    ((_, voice),) = algorithm.adapt(batch, [1])
    model = copy.deepcopy(backbone).eval()
    model.loss(batch)["loss"].backward()
    assert isinstance(voice, AdaptedModel)
    for each, rate in (("output.weight", rates[0]), ("new_speaker", rates[1])):
        parameter = model.get_parameter(each)
        assert parameter.grad is not None and parameter.grad.any()
        torch.testing.assert_close(voice.stored[each], parameter.detach() - rate * parameter.grad)
    with pytest.raises(UsageError, match="no speaker vector, so speaker_lr has nothing to move"):
        make(name, Linear(head=W.clone()), speaker_lr=rates[1])
    make(name, Linear(head=W.clone()), speaker_lr=0.0)


def test_maml_adam_adapts_as_torch_does_with_a_rate_of_its_own_for_the_speaker_vector() -> None:
    backbone, batch = tiny_backbone().double(), doubled(tiny_batch(NEW_SPEAKER, 2, 1))
    algorithm = make("maml_adam", backbone, inner_steps=2, inner_lr=1e-3, speaker_lr=0.1)
    ((_, voice),) = algorithm.adapt(batch, [7])
    assert isinstance(voice, AdaptedModel)

    model = copy.deepcopy(backbone).eval()
    own = {name: model.get_parameter(name) for name in model.adaptable_groups()["all"]}
    others = [parameter for name, parameter in own.items() if name != "new_speaker"]
    groups: list[dict[str, Any]] = [{"params": others}, {"params": [model.get_parameter("new_speaker")], "lr": 0.1}]
    optimizer = torch.optim.Adam(groups, lr=1e-3)
    for _ in range(7):
        optimizer.zero_grad()
        model.loss(batch)["loss"].backward()
        optimizer.step()
    for name, parameter in own.items():
        torch.testing.assert_close(voice.stored[name], parameter.detach(), rtol=1e-7, atol=1e-9)


def test_first_order_maml_adam_on_a_quadratic() -> None:
    algorithm, task = quadratic("maml_adam", inner_steps=3)
    logs = torch.tensor([[0.3], [-0.6], [0.2]])
    algorithm.load_state_dict({**algorithm.state_dict(), "log_rates": logs})
    task = replace(task, seed=DEEP)
    w, directions = W.clone(), []
    first = second = torch.zeros(3)
    for step in range(3):
        inner = A_S @ (w - T_S)
        first, second = 0.9 * first + 0.1 * inner, 0.999 * second + 0.001 * inner**2
        directions.append((first / (1 - 0.9 ** (step + 1))) / ((second / (1 - 0.999 ** (step + 1))).sqrt() + 1e-8))
        w = w - ALPHA * torch.exp(logs[step, 0]) * directions[-1]
    outer = A_Q @ (w - T_Q)
    found = gradients(algorithm, task)
    close(found["backbone.w"], outer)
    close(found["log_rates"][:, 0], -ALPHA * torch.exp(logs[:, 0]) * (torch.stack(directions) @ outer))


def test_maml_adam_draws_how_many_steps_a_task_takes() -> None:
    algorithm: Any = quadratic("maml_adam", inner_steps=5)[0]
    task = quadratic("maml_adam")[1]
    drawn = [algorithm.depth(replace(task, seed=seed)) for seed in range(1000)]
    assert drawn == [algorithm.depth(replace(task, seed=seed)) for seed in range(1000)]
    assert all(150 < drawn.count(depth) < 250 for depth in (1, 2, 3, 4, 5)) and len(set(drawn)) == 5


# The real backbone, made small.
GROUPS = ("decoder", "embedding")


def doubled(batch: Batch) -> Batch:
    return Batch(**{f.name: v.double() if (v := getattr(batch, f.name)).is_floating_point() else v for f in fields(batch)})


def episode() -> Task:
    return Task(doubled(tiny_batch(NEW_SPEAKER, 2, 1)), doubled(tiny_batch(NEW_SPEAKER, 2, 2)))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("maml", {"groups": GROUPS}),
        ("anil", {}),
        ("meta_sgd", {"groups": GROUPS}),
        ("maml_plus_plus", {"groups": GROUPS, "first_order_steps": 0, "annealing_steps": 0}),
        ("maml_adam", {"groups": GROUPS, "first_order": False}),
    ],
)
def test_real_backbone_equals_finite_differences(name: str, options: dict[str, Any]) -> None:
    algorithm = make(name, tiny_backbone().double(), inner_steps=2, inner_lr=0.05, **options)
    start = copy.deepcopy(algorithm.state_dict())
    task = replace(episode(), seed=DEEP)
    found = gradients(algorithm, task)
    inside = {f"backbone.{name}" for name in select(algorithm.backbone, algorithm.config.groups)}
    # The new speaker's starting point is the mean of the table, but no gradient goes there: that is the backbone's choice.
    outside = {name for name in found if name.startswith("backbone.") and name not in inside} - {"backbone.speaker_table.weight"}
    own = {name for name in found if not name.startswith("backbone.")}
    for part in filter(None, (inside, outside, own)):
        directions = {name: normal(*found[name].shape, seed=number) for number, name in enumerate(sorted(part))}
        losses = []
        # Small, for the absolute error's kinks make the loss bend where a difference straddles one.
        epsilon = 1e-8
        for size in (epsilon, -epsilon):
            algorithm.load_state_dict({name: value + size * directions.get(name, 0) for name, value in start.items()})
            losses.append(algorithm.meta_step([task])["loss"])
        slope = sum(float((found[name] * direction).sum()) for name, direction in directions.items())
        assert slope == pytest.approx((losses[0] - losses[1]) / (2 * epsilon), rel=1e-4)
        assert abs(slope) > 1e-6


def test_orders_differ_where_they_should_and_agree_without_an_inner_loop() -> None:
    task, options = episode(), {"inner_steps": 2, "groups": GROUPS}
    for rate, same in ((0.05, False), (0.0, True)):
        second, first = (
            gradients(make("maml", tiny_backbone().double(), inner_lr=rate, first_order=order, **options), task) for order in (False, True)
        )
        for name in ("decoder.blocks.0.project.weight", "new_speaker", "encoder.blocks.0.conv.weight"):
            assert torch.allclose(first[f"backbone.{name}"], second[f"backbone.{name}"], rtol=1e-4, atol=1e-9) == same, name


@pytest.mark.parametrize("name", ["maml", "anil", "maml_adam"])
@pytest.mark.parametrize("first_order", [False, True])
def test_meta_gradients_equal_those_of_higher(name: str, first_order: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    task = replace(episode(), seed=DEEP)
    groups = {"maml": ("all",), "anil": ("output",), "maml_adam": ("output", "embedding")}[name]
    options: dict[str, Any] = {"speaker_lr": 0.005} if name == "maml_adam" else {}
    rate = 0.005 if name == "maml_adam" else 0.05
    # The library's epsilon stands at another place than torch's, which matters unless it is small.
    monkeypatch.setattr("benchmark.algorithms.maml_adam.EPSILON", 1e-13)
    algorithm = make(name, tiny_backbone().double().eval(), inner_steps=3, inner_lr=rate, groups=groups, first_order=first_order, **options)
    found = gradients(algorithm, task)

    model = tiny_backbone().double().eval()
    # The library makes subclasses that Python refuses for abstract base classes: the same methods, without that base.
    bases = [each for each in reversed(type(model).__mro__) if issubclass(each, Backbone)]
    methods = {name: value for each in bases for name, value in vars(each).items()}
    model.__class__ = type("Plain", (torch.nn.Module,), {k: v for k, v in methods.items() if not k.startswith("__")})
    own = dict(model.named_parameters())
    kind = partial(torch.optim.Adam, eps=1e-13) if name == "maml_adam" else torch.optim.SGD
    optimizer = kind([own[name] for name in select(algorithm.backbone, groups)], lr=rate)
    with higher.innerloop_ctx(model, optimizer, copy_initial_weights=False, track_higher_grads=True) as (functional, differentiable):
        for _ in range(3):
            # First order: the inner gradients are constants.
            callback = (lambda grads: [g if g is None else g.detach() for g in grads]) if first_order else None
            differentiable.step(functional("loss", task.support)["loss"], grad_callback=callback)
        functional("loss", task.query)["loss"].backward()
    for name, parameter in own.items():
        expected = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        assert torch.allclose(found[f"backbone.{name}"], expected, rtol=1e-5, atol=1e-7), name
    assert any(bool(parameter.grad.any()) for parameter in own.values() if parameter.grad is not None)
