"""The trials of a tuning, in Optuna's storage, so that several processes, on this machine or on others, can do them in parallel.

The first trial takes the options as given. The others come from the tree-structured Parzen estimator (TPE; Bergstra et al.,
NeurIPS 2011), which draws its first ones at random. Numeric values are ordered, and no combination is tried twice. If trials run
one after another, each draw depends only on its number and on the trials before it, so an interrupted tuning resumes to the same
trials. A trial that is running elsewhere counts as a bad one, so that the next draw looks in another place.
"""

from __future__ import annotations

import itertools
import math
import random
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field

from benchmark.errors import BenchmarkError
from benchmark.plumbing.files import digest_of, sealed, unsealed
from benchmark.plumbing.locks import locked

if TYPE_CHECKING:
    import optuna

START = 3
"""Trials before TPE takes over: the given options and two random ones. On synthetic response surfaces over a grid of 30
combinations (80 surfaces of each of two families, noise 0.012), eight trials ended .015 and .012 below the best; random search
without repetition ended .025 and .021 below. Starting with 5 was as good after eight trials and worse after six."""
MOST_DRAWS = 20

Values = dict[str, Any]


@dataclass(frozen=True)
class Trial:
    """A finished trial.

    Attributes:
        values: of the options searched.
        curve: what is maximised, by adaptation steps; empty if the training diverged.
        failed: number of utterances that could not be scored.
        seconds: wall time.
        note: why there is no curve.
        run_id: of its run.
        gains: the curves that make up ``curve``, by name.
    """

    values: Values
    curve: Mapping[int, float]
    failed: int
    seconds: float
    note: str
    run_id: str
    gains: Mapping[str, Mapping[int, float]] = field(default_factory=dict)

    @property
    def objective(self) -> float:
        """Mean of the curve; NaN if the training diverged."""
        return sum(self.curve.values()) / len(self.curve) if self.curve else math.nan


class _Outcome(BaseModel):
    """A trial as the journal keeps it: no other types, no NaN, no other fields."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    curve: dict[int, float]
    failed: Annotated[int, Field(ge=0)]
    seconds: Annotated[float, Field(ge=0)]
    note: str
    run_id: str
    gains: dict[str, dict[int, float]]
    values: dict[str, int]
    """The place of each value among its choices: the trial's parameters in Optuna."""


@dataclass(frozen=True)
class Proposal:
    """A trial to do.

    Attributes:
        place: its number, from 1.
        values: to try.
        asked: Optuna's trial.
    """

    place: int
    values: Values
    asked: optuna.Trial


class Trials:
    """A study's trials.

    Args:
        path: Optuna's journal; made if absent. It may also hold trials of another ``setup``.
        setup: digest of everything that the trials share.
        choices: values by option.
        given: values of the first trial.
        seed: of the draws.

    Raises:
        BenchmarkError: the journal is damaged.
    """

    def __init__(self, path: Path, setup: str, choices: Mapping[str, Sequence[Any]], given: Values, seed: int) -> None:
        import optuna
        from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.path, self.choices, self.seed = path, choices, seed
        self.given = {name: values.index(given[name]) for name, values in choices.items()}
        self.space: dict[str, BaseDistribution] = {
            name: IntDistribution(0, len(values) - 1) if ordered(values) else CategoricalDistribution(range(len(values)))
            for name, values in choices.items()
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            if path.is_file() and (content := path.read_bytes()) and not content.endswith(b"\n"):
                raise ValueError("its last line is cut off")  # Optuna would pass over it, and then write on in it
            storage = JournalStorage(JournalFileBackend(str(path)))
            self.study = optuna.create_study(storage=storage, study_name=setup, direction="maximize", load_if_exists=True)
        except OSError as error:
            raise BenchmarkError(f"Could not write {path}: {error.strerror or error}; choose a folder that is writable.") from error
        except (ValueError, LookupError, TypeError, AttributeError, AssertionError) as error:  # of Optuna, which replays the journal
            raise BenchmarkError(f"{path} is not a complete record of trials ({error!r}); restore it, or move it away.") from error

    def done(self) -> list[Trial]:
        """The finished trials; the one with the given values comes first."""
        finished = sorted(self._live(under_way=False), key=lambda trial: trial.params != self.given)
        return [self._trial(trial) for trial in finished]

    @property
    def under_way(self) -> int:
        """The number of trials that are running, in this process and in others."""
        return len(self._live()) - len(self._live(under_way=False))

    @contextmanager
    def next(self, most: int) -> Iterator[Proposal | None]:
        """The next trial, reserved for this process while the context lasts; None if ``most`` are done or running."""
        proposal = None
        with ExitStack() as held:
            with locked(self.path.with_name(f".{self.path.name}.lock"), f"Waiting for another process that tunes with {self.path}."):
                self._give_up_lost()
                live = self._live()
                if len(live) < most:
                    trial = self._ask([each.params for each in live])
                    lock = self._lock(trial.number)
                    held.callback(Path(lock.lock_file).unlink, missing_ok=True)
                    held.enter_context(lock)
                    proposal = Proposal(len(live) + 1, self._values(trial.params), trial)
            yield proposal

    def tell(self, proposal: Proposal, trial: Trial) -> None:
        """Record a trial's outcome."""
        from optuna.trial import TrialState

        gains = {name: list(curve.items()) for name, curve in trial.gains.items()}
        kept = {**asdict(trial), "curve": list(trial.curve.items()), "gains": gains, "values": proposal.asked.params}
        proposal.asked.set_user_attr("outcome", sealed(kept))
        if trial.curve:
            self.study.tell(proposal.asked, trial.objective)
        else:
            # TPE ranks pruned trials below all others; it would ignore a failed one.
            self.study.tell(proposal.asked, state=TrialState.PRUNED)

    def _ask(self, tried: Sequence[Mapping[str, Any]]) -> optuna.Trial:
        from optuna.samplers import TPESampler
        from optuna.trial import TrialState

        seed = int(digest_of([self.seed, len(tried)], 8), 16)
        with warnings.catch_warnings():
            # Some versions warn that constant_liar is experimental.
            warnings.simplefilter("ignore")
            self.study.sampler = TPESampler(n_startup_trials=START, seed=seed, constant_liar=True)
        if self.given not in tried:
            self.study.enqueue_trial(self.given)
        for _ in range(MOST_DRAWS):
            trial = self.study.ask(self.space)
            if trial.params not in tried:
                return trial
            self.study.tell(trial, state=TrialState.FAIL)
        # TPE proposes only combinations that were tried already.
        every = (dict(zip(self.choices, each, strict=True)) for each in itertools.product(*map(range, map(len, self.choices.values()))))
        self.study.enqueue_trial(random.Random(seed).choice([each for each in every if each not in tried]))
        return self.study.ask(self.space)

    def _give_up_lost(self) -> None:
        """Fail the trials whose process is gone (killed, perhaps), so that others can do them."""
        from optuna.trial import TrialState

        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            lock = self._lock(trial.number)
            try:
                with lock.acquire(timeout=0):
                    self.study.tell(trial.number, state=TrialState.FAIL)
            except Timeout:
                continue
            Path(lock.lock_file).unlink(missing_ok=True)

    def _lock(self, number: int) -> FileLock:
        """The lock that a process holds while it does that trial."""
        return FileLock(self.path.with_name(f".{self.path.name}-{number}.lock"))

    def _live(self, under_way: bool = True) -> list[optuna.trial.FrozenTrial]:
        from optuna.trial import TrialState

        states = (TrialState.COMPLETE, TrialState.PRUNED, *([TrialState.RUNNING] if under_way else []))
        return self.study.get_trials(deepcopy=False, states=states)

    def _values(self, params: Mapping[str, Any]) -> Values:
        return {name: values[params[name]] for name, values in self.choices.items()}

    def _trial(self, found: optuna.trial.FrozenTrial) -> Trial:
        try:
            kept = unsealed(found.user_attrs["outcome"], self.path, f"record of trial {found.number}")
            gains = {name: dict(curve) for name, curve in kept["gains"].items()}
            outcome = _Outcome.model_validate({**kept, "curve": dict(kept["curve"]), "gains": gains})
            trial = Trial(**{**outcome.model_dump(), "values": self._values(found.params)})
            if outcome.values != found.params or found.value != (trial.objective if trial.curve else None):
                raise ValueError("Optuna holds another trial")
        except (BenchmarkError, ValueError, KeyError, TypeError, IndexError) as error:
            raise BenchmarkError(
                f"Trial {found.number} in {self.path} was changed or damaged, or comes from an earlier version; "
                "restore the file, or move it and the table beside it away to tune again (finished runs are reused)."
            ) from error
        return trial


def ordered(values: Sequence[Any]) -> bool:
    """Whether the values are numbers, so that close ones may score alike."""
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
