"""The drills at small size: damaged files, and input that makes no sense; ``-m slow`` does more, and kills runs.

``test_run_killed.py`` kills one in each stage.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from random import Random
from unittest.mock import Mock, patch

import pytest

from tools.drill import damage, inputs, kills, nonsense
from tools.drill.inside import call
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


def test_what_a_command_leaves_damaged_is_no_success(scene: Scene) -> None:
    """A run of the floor that does not read its own speech would let any change of that pass."""
    place = damage.Drill(scene, stops=())
    name = f"runs/{scene.folders['mean_speaker'].name}/audio/gina_0shot_0000steps.wav"
    mended = place.outcome("finished", name, "edit", "run", Random(0))
    with patch("benchmark.running.run.is_sound", lambda folder: True):
        left = place.outcome("finished", name, "edit", "run", Random(0))
    again = place.outcome("finished", f"{Path(name).parents[1]}/config.yaml", "edit", "run", Random(0))
    place.restore()
    assert mended and again and mended.verdict == again.verdict == damage.MENDED
    assert left and left.verdict == FAILED and left.why == "the run's own command leaves it damaged"


def test_plugins_that_fail_when_they_are_run_are_run(tmp_path: Path) -> None:
    files = nonsense.plugins(tmp_path / "plugins")
    for what in nonsense.RAISING:
        answer = call(["check", files[what]])
        assert answer.status and ("can't be imported" in answer.out + answer.err or what == "an interruption"), what


def test_nonsense_is_refused_with_one_sentence(scene: Scene) -> None:
    found = well(inputs.drill(scene, 0, 64))
    assert Counter(outcome.verdict for outcome in found)[inputs.REFUSED] > 50
    assert len({outcome.kind for outcome in found}) > 25, "every command"


@pytest.mark.slow
def test_more_of_everything(tmp_path: Path) -> None:
    well(kills.drill(tmp_path / "kills", 1, 5))
    well(damage.drill(built(tmp_path), 1, 25))
    well(inputs.drill(built(tmp_path), 1, 90))


def test_a_drill_whose_kills_never_hit_ends(tmp_path: Path) -> None:
    place = Mock(cache=tmp_path / "cache")
    (tmp_path / "cache" / "corpora").mkdir(parents=True)
    with (
        patch.object(kills, "Run", lambda root, *_: root.mkdir() or place),
        patch.object(kills, "Pace", lambda run: Mock(seconds={}, kept={})),
        patch.object(kills, "_killed", lambda *_: iter(())),
    ):
        assert failed(list(kills.drill(tmp_path, 0, 5)))


def test_the_table_counts_and_shows_what_went_wrong() -> None:
    made = [Outcome("inputs", "run", "refused", "a"), Outcome("inputs", "say", FAILED, "say ''", "it was taken")]
    text = table(made)
    assert "inputs: 2" in text and "say ''" in text and "it was taken" in text and failed(made) == made[1:]
    assert [line.split() for line in text.splitlines()[2:5]] == [["run", "1"], ["say", "1"], ["all", "1", "1"]]
