"""The drills at small size: damaged files, and input that makes no sense; ``-m slow`` does more, and kills runs.

``test_run_killed.py`` kills one in each stage.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from tools.drill import damage, inputs, kills
from tools.drill.outcome import FAILED, Outcome, failed, table
from tools.drill.scene import Scene, built


def well(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """The outcomes, none of which went wrong."""
    found = list(outcomes)
    assert not failed(found), table(found)
    return found


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return built(tmp_path_factory.mktemp("drill"))


def test_damaged_files_are_found_mended_or_harmless(scene: Scene) -> None:
    found = well(damage.drill(scene, 0, 10, stops=()))
    assert {outcome.verdict for outcome in found} >= {damage.FOUND, damage.MENDED} and len({outcome.kind for outcome in found}) > 6


def test_nonsense_is_refused_with_one_sentence(scene: Scene) -> None:
    found = well(inputs.drill(scene, 0, 64))
    assert Counter(outcome.verdict for outcome in found)[inputs.REFUSED] > 50
    assert len({outcome.kind for outcome in found}) > 25, "every command"


@pytest.mark.slow
def test_more_of_everything(tmp_path: Path) -> None:
    well(kills.drill(tmp_path / "kills", 1, 8))
    well(damage.drill(built(tmp_path), 1, 40))
    well(inputs.drill(built(tmp_path), 1, 150))


def test_the_table_counts_and_shows_what_went_wrong() -> None:
    made = [Outcome("inputs", "run", "refused", "a"), Outcome("inputs", "say", FAILED, "say ''", "it was taken")]
    text = table(made)
    assert "inputs: 2" in text and "say ''" in text and "it was taken" in text and failed(made) == made[1:]
    assert [line.split() for line in text.splitlines()[2:5]] == [["run", "1"], ["say", "1"], ["all", "1", "1"]]
