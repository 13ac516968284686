"""The schema of ``result.json``."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from benchmark.plumbing.names import LONGEST
from benchmark.results import cells

SCHEMA_VERSION = 2
OLD_SCHEMA = 1
"""Results of this schema carry no digests, and name no version of the benchmark: all versions that are named seal their results."""


def _largest(value: float) -> float:
    if abs(value) > cells.MOST:
        raise ValueError("too large")
    return value


def _plain(value: Any) -> Any:
    """Settings may hold any JSON, but no text that breaks a line, and no number that JSON's other readers can't take."""
    inside = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else ()
    if isinstance(value, str) and cells.control_in(value):
        raise ValueError("text with control characters")
    if (isinstance(value, int) and abs(value) > cells.MOST) or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError("a number that is too large")
    for each in inside:
        _plain(each)
    return value


Plain = Annotated[Any, AfterValidator(_plain)]
Name = Annotated[str, AfterValidator(cells.name)]
Text = Annotated[str, Field(max_length=20 * LONGEST), AfterValidator(cells.text)]
Count = Annotated[int, Field(ge=0, le=cells.MOST)]
Finite = Annotated[float, AfterValidator(_largest)]
Amount = Annotated[float, Field(ge=0)]


class _Strict(BaseModel):
    """Accepts no value of another type, no NaN, and no field that is not named."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class ColumnResult(_Strict):
    """What a metric's column came to, at one number of shots and steps."""

    mean: Finite | None
    ci95: Annotated[list[Finite | None], Field(min_length=2, max_length=2)]
    n: Count
    n_failed: Count


class Cost(_Strict):
    """What adaptation took; None where nothing was measured."""

    seconds_to_adapt: Amount | None
    peak_memory_bytes: Amount | None
    real_time_factor: Amount | None
    flops_to_adapt: Amount | None
    stored_parameters: Count | None


class Point(_Strict):
    """One number of shots and steps."""

    shots: Count
    steps: Count
    speakers: Count
    episodes: Count
    metrics: dict[Name, ColumnResult]
    cost: Cost


class Spent(_Strict):
    """What the algorithm's own training spent."""

    flops: Amount
    budget_flops: Amount
    steps: Count
    seconds: Amount


class VocoderSpent(_Strict):
    """What the vocoder's training spent."""

    steps: Count
    flops: Amount
    seconds: Amount


class CostOfVocoder(_Strict):
    """The vocoder's size, and what its training spent; None if that is not known."""

    parameters: Count
    training: VocoderSpent | None


class Tuned(_Strict):
    """The options that ``tune`` chose, and with how many trials; the corpus and the task if they are others than the run's."""

    values: dict[Name, Plain]
    trials: Count
    dataset: Name | None = None
    task: Name | None = None


class Timings(_Strict):
    """Wall time."""

    seconds_last_invocation: Amount


class Result(_Strict):
    """``result.json``; its reader fills in the identity's fields that results of the first edition lack."""

    schema_: Literal[1, 2] = Field(alias="schema")
    status: Literal["complete"]
    run_id: Annotated[str, Field(max_length=10 * LONGEST), AfterValidator(cells.text)]
    dataset: Name
    algorithm: Name
    backbone: Name
    vocoder: Name
    preset: Name
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    config: dict[Name, Plain]
    config_hash: Text
    sources: dict[Text, Text]
    metric_versions: dict[Name, Text]
    data_version: Text
    manifest_hash: Text
    protocol_version: Text
    synthetic: bool
    limited: bool
    problem: Name
    task: Name
    device: Name
    precision: Name
    training_version: Text
    evaluation_version: Text
    preparation_version: Text
    processes: Annotated[int, Field(ge=1, le=10**6)]
    pretrained: Text | Literal[""]
    curve: Annotated[list[Point], Field(min_length=1)]
    facts: dict[Name, Finite | None]
    training: Spent
    vocoder_cost: CostOfVocoder | None = None
    tuned: Tuned | None = None
    benchmark_version: Text | None = None
    git_commit: Text | None
    git_dirty: bool | None
    outside_plugins: list[Text] = []
    left_out: list[Name] = []
    libraries: dict[Text, Text]
    hardware: dict[Text, Text]
    python: Text
    timings: Timings
    files: dict[Literal["episodes.csv", "costs.csv"], Text] | None = None
    speech: dict[Text, Text] | None = None
    digest: Text | None = None


def garbled(content: Any) -> str:
    """The first field of a result that is missing or wrong, and why, as part of a sentence; "" if none is."""
    try:
        result = Result.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))[:LONGEST]
        return f"{place!r} ({first['msg'][:LONGEST].removeprefix('Value error, ')})"
    sealed = result.files is not None and len(result.files) == 2 and result.digest is not None
    unsealed = result.files is None and result.digest is None and result.benchmark_version is None
    return "" if (sealed if result.schema_ == SCHEMA_VERSION else unsealed) else "'digest' (it does not fit the schema)"
