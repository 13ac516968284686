"""Metric-learning losses against formulas worked out by other means."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch.nn import functional as F

from benchmark.learning.metric_losses import contrastive, ge2e, prototypical, semi_hard_triplets, squared_distances, triplet

LABELS = torch.tensor([7, 7, 2, 2, 7, 2, 4, 4, 4])


def random_embeddings(seed: int = 0, dim: int = 5) -> torch.Tensor:
    return torch.randn(len(LABELS), dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_contrastive_by_hand() -> None:
    # One pair by one speaker at distance 2, two by two at 0.5 and 2.5 (beyond the margin).
    points = torch.tensor([[0.0], [2.0], [-0.5]])
    assert float(contrastive(points, torch.tensor([0, 0, 1]), 1.0)) == pytest.approx(0.5 * (0.5 * 4 + 0.5 * 0.5**2 / 2))


def test_contrastive_has_finite_gradients_where_embeddings_coincide() -> None:
    points = torch.zeros(4, 3, requires_grad=True)
    contrastive(points, torch.tensor([0, 0, 1, 1])).backward()
    assert points.grad is not None and torch.isfinite(points.grad).all()


@pytest.mark.parametrize("margin", [0.2, 1.0, 10.0])
def test_mined_triplets_are_those_that_brute_force_finds(margin: float) -> None:
    found_any = False
    for seed in range(5):
        points = random_embeddings(seed)
        squared = squared_distances(points)
        expected = set()
        for a, p in itertools.permutations(range(len(LABELS)), 2):
            if LABELS[a] == LABELS[p]:
                own = float((points[a] - points[p]).square().sum())
                near = [
                    (float((points[a] - points[n]).square().sum()), n)
                    for n in range(len(LABELS))
                    if LABELS[n] != LABELS[a] and own < float((points[a] - points[n]).square().sum()) < own + margin
                ]
                if near:
                    expected.add((a, p, min(near)[1]))
        mined = semi_hard_triplets(points, LABELS, margin)
        assert {tuple(row) for row in mined.tolist()} == expected and len(mined) == len(expected)
        for a, p, n in mined.tolist():
            assert LABELS[a] == LABELS[p] != LABELS[n] and a != p and squared[a, p] < squared[a, n] < squared[a, p] + margin
        found_any |= bool(expected)
    assert found_any


def test_triplet_equals_torch_on_the_mined_triplets() -> None:
    points = random_embeddings(1)
    unit = F.normalize(points)
    anchor, positive, negative = (unit[index] for index in semi_hard_triplets(unit, LABELS, 0.5).unbind(1))
    expected = F.triplet_margin_with_distance_loss(
        anchor, positive, negative, distance_function=lambda x, y: (x - y).square().sum(1), margin=0.5
    )
    assert len(anchor) > 1 and float(triplet(points, LABELS, 0.5)) == pytest.approx(float(expected), rel=1e-9)


def test_triplet_without_any_semi_hard_one_is_zero_with_a_gradient() -> None:
    points = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0]], requires_grad=True)
    loss = triplet(points, torch.tensor([0, 0, 1, 1]), 0.2)
    loss.backward()
    assert float(loss.detach()) == 0 and points.grad is not None and not points.grad.any()


def test_prototypical_by_hand() -> None:
    support, labels = torch.tensor([[0.0], [2.0], [5.0]]), torch.tensor([9, 9, 3])
    query, whose = torch.tensor([[2.0], [4.0]]), torch.tensor([9, 3])
    # Prototypes 1 and 5: squared distances 1 and 9, then 9 and 1.
    assert float(prototypical(support, labels, query, whose)) == pytest.approx(-math.log(1 / (1 + math.exp(-8))), rel=1e-4)


def test_ge2e_equals_its_equations_loop_by_loop() -> None:
    points, w, b = random_embeddings(2), torch.tensor(7.0, dtype=torch.float64), torch.tensor(-3.0, dtype=torch.float64)
    unit = points / points.norm(dim=1, keepdim=True)
    total = 0.0
    for i, own in enumerate(LABELS.tolist()):
        similarities = {}
        for k in set(LABELS.tolist()):
            members = [j for j in range(len(LABELS)) if LABELS[j] == k and j != i]
            centroid = torch.stack([unit[j] for j in members]).mean(0)
            similarities[k] = float(w * (unit[i] @ centroid) / centroid.norm() + b)
        total += -similarities[own] + math.log(sum(math.exp(s) for s in similarities.values()))
    assert float(ge2e(points, LABELS, w)) == pytest.approx(total / len(LABELS), rel=1e-9)


def test_one_speaker_alone_cannot_be_told_apart() -> None:
    points, labels = random_embeddings()[:4], torch.zeros(4, dtype=torch.long)
    assert float(prototypical(points[:2], labels[:2], points[2:], labels[2:])) == 0
    assert float(ge2e(points, labels, torch.tensor(10.0))) == pytest.approx(0, abs=1e-6)
    assert float(triplet(points, labels)) == 0


@pytest.mark.parametrize("loss", ["siamese", "triplet", "prototypical", "ge2e"])
def test_gradients_equal_finite_differences(loss: str) -> None:
    def value(points: torch.Tensor) -> torch.Tensor:
        if loss == "prototypical":
            return prototypical(points[:5], LABELS[:5], points[[0, 3, 4]], LABELS[[0, 3, 4]])
        if loss == "ge2e":
            return ge2e(points, LABELS, points.new_tensor(10.0))
        return {"siamese": contrastive, "triplet": triplet}[loss](points, LABELS, 2.0)

    points = random_embeddings(3).requires_grad_()
    assert torch.autograd.gradcheck(value, points)
