"""The drills at small size: runs that are killed, files that are damaged, input that makes no sense. ``-m slow`` does more of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from tools.drill import damage, inputs, kills
from tools.drill.outcome import FAILED, Outcome, failed, table


def well(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """The outcomes, none of which went wrong."""
    found = list(outcomes)
    assert not failed(found), table(found)
    return found


def test_a_run_killed_again_and_again_ends_in_the_undisturbed_bytes(own_cache: Path, tmp_path: Path) -> None:
    found = well(kills.drill(tmp_path / "drill", 0, 3, ("reptile",), own_cache))
    assert len({outcome.verdict for outcome in found}) > 1, "more than one stage was hit"


def test_damaged_files_are_found_mended_or_harmless(tmp_path: Path) -> None:
    found = well(damage.drill(tmp_path / "drill", 0, 12, stops=()))
    assert {outcome.verdict for outcome in found} >= {damage.FOUND, damage.MENDED} and len({outcome.kind for outcome in found}) > 8


def test_nonsense_is_refused_with_one_sentence(tmp_path: Path) -> None:
    found = well(inputs.drill(tmp_path / "drill", 0, 64))
    assert len(found) == 64 and Counter(outcome.verdict for outcome in found)[inputs.REFUSED] > 50
    assert len({outcome.kind for outcome in found}) > 25, "every command"


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_more_of_everything(seed: int, tmp_path: Path) -> None:
    well(inputs.drill(tmp_path / "inputs", seed, 200))
    well(damage.drill(tmp_path / "damage", seed, 50))
    well(kills.drill(tmp_path / "kills", seed, 9))


def test_the_table_counts_and_shows_what_went_wrong() -> None:
    made = [Outcome("inputs", "run", "refused", "a"), Outcome("inputs", "say", FAILED, "say ''", "it was taken")]
    text = table(made)
    assert "inputs: 2" in text and "say ''" in text and "it was taken" in text and failed(made) == made[1:]
    assert [line.split() for line in text.splitlines()[2:5]] == [["run", "1"], ["say", "1"], ["all", "1", "1"]]
