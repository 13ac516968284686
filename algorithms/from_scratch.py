"""Floor: a fresh model, trained on the support set alone."""

from __future__ import annotations

import copy
from typing import ClassVar

from benchmark.backbone import Backbone

from .finetune import FineTune


class FromScratch(FineTune):
    """Fine-tuning of a fresh model: its weights are those that pretraining starts from, drawn from the run's seed.

    This is what pretraining has to beat. The support set teaches everything but the corpus's alphabet and mel statistics. Batch norm
    keeps its initial statistics, and a vocoder that adapts with the model what it has learned.
    """

    role = "floor"
    trains = False
    search_space: ClassVar = {name: values for name, values in FineTune.search_space.items() if name != "groups"}

    def __init__(self, backbone: Backbone, config: FineTune.Config | None = None) -> None:
        fresh = type(backbone)(backbone.spec, backbone.config).state_dict()
        model = copy.deepcopy(backbone)
        model.load_state_dict({**model.state_dict(), **fresh})
        super().__init__(model, config)


PLUGIN = FromScratch
