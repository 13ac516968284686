"""Quick trials of a run (``--fast-dev-run``), which show that everything works, and whose numbers mean nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from benchmark.settings.schema import RunSettings

STEPS = 4
"""Of pretraining, and of a vocoder's training."""
TFLOPS = 1e-6
"""Of an algorithm's own training."""


def is_trial(config: Mapping[str, Any]) -> bool:
    """Whether settings, as a result holds them, train no more than :func:`fast_dev_run` does, whoever wrote them."""
    pretrain, meta = config.get("pretrain"), config.get("meta")
    if not (isinstance(pretrain, Mapping) and isinstance(meta, Mapping)):
        return False
    return pretrain.get("steps") == STEPS and meta.get("tflops") == TFLOPS


def fast_dev_run(settings: RunSettings, processes: int = 1) -> RunSettings:
    """The run cut down to a quick trial: two speakers, a few steps of everything, one task per process."""
    return replace(
        settings,
        shots=(min(settings.shots),),
        steps=tuple(sorted({0, min(2, max(settings.steps))})),
        pretrain=replace(settings.pretrain, steps=STEPS, batch_size=4 * processes),
        meta=replace(settings.meta, tflops=TFLOPS, tasks=processes),
        vocoder_training=replace(settings.vocoder_training, steps=STEPS, batch_size=2 * processes),
        evaluation=replace(settings.evaluation, episodes=1, queries=1, speakers=2),
    )
