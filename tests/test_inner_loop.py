"""The inner loops against algebra and finite differences, not against themselves."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from benchmark.errors import AdaptationFailed, UsageError
from benchmark.learning.inner_loop import descend, select
from benchmark.plugins.conformance.tiny import tiny_backbone, tiny_batch


def test_descend_equals_torch_training_and_leaves_the_model_alone() -> None:
    model, reference = tiny_backbone().eval(), tiny_backbone().eval()
    batch = tiny_batch(-1)
    before = {n: p.clone() for n, p in model.named_parameters()}
    names = select(model, ("all",))
    yielded = dict(descend(model, names, batch, partial(torch.optim.Adam, lr=1e-2), [0, 3]))
    own = dict(reference.named_parameters())
    optimizer = torch.optim.Adam([own[name] for name in names], lr=1e-2)
    for _ in range(3):
        optimizer.zero_grad(set_to_none=False)
        reference.loss(batch)["loss"].backward()
        for name in names:
            if own[name].grad is None:
                own[name].grad = torch.zeros_like(own[name])
        optimizer.step()
    assert all(torch.equal(yielded[0][name], before[name]) for name in names)
    assert all(torch.allclose(yielded[3][name], own[name], atol=1e-7) for name in names)
    assert all(torch.equal(p, before[n]) for n, p in model.named_parameters())


def test_unknown_group_and_nan_loss() -> None:
    model = tiny_backbone()
    with pytest.raises(UsageError, match="no group 'tail'"):
        select(model, ("tail",))
    with torch.no_grad():
        model.get_parameter("new_speaker").fill_(float("nan"))
    with pytest.raises(AdaptationFailed, match="not finite"):
        list(descend(model, ("new_speaker",), tiny_batch(-1), partial(torch.optim.SGD, lr=0.1), [1]))
