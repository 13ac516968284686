"""Floor: a fresh model, trained on the support set alone."""

from __future__ import annotations

from typing import ClassVar

from benchmark.backbone import Backbone

from .finetune import FineTune


class FromScratch(FineTune):
    """Fine-tuning of a fresh model: its weights are those that pretraining starts from, drawn from the run's seed.

    This is what pretraining has to beat. The support set teaches everything but the corpus's alphabet and mel statistics. Batch norm
    keeps its initial statistics.
    """

    role = "floor"
    trains = False
    search_space: ClassVar = {name: values for name, values in FineTune.search_space.items() if name != "groups"}

    def __init__(self, backbone: Backbone, config: FineTune.Config | None = None) -> None:
        super().__init__(type(backbone)(backbone.spec, backbone.config), config)


PLUGIN = FromScratch
