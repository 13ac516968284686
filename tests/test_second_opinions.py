"""Two speaker encoders that disagree are said to, and two that agree cost the reader no line."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

import benchmark
from benchmark.plugins import conformance, registry
from benchmark.report.boards import boards
from benchmark.report.findings import dissent, findings
from benchmark.report.page import build
from benchmark.results.columns import known
from benchmark.results.comparison import compare_all, contenders
from benchmark.results.second_opinions import ADVICE, disagreements
from tests.report_helpers import make_run

Gains = Mapping[str, tuple[float, float | None]]
SPEAKERS = [f"s{n}" for n in range(10)]
AGREE = {"a": (0.9, 0.9), "b": (0.4, 0.4), "worse": (0.1, 0.1)}
CONTRADICT = {"a": (0.9, 0.4), "b": (0.4, 0.9), "worse": (0.1, 0.1)}
ONE_ALONE = {"a": (0.9, 0.9), "b": (0.4, 0.9), "worse": (0.1, 0.1)}
EVERYWHERE = "At 5 shots and 5 steps, 5 shots and 20 steps, 5 shots over the whole curve"


def make_runs(root: Path, gains: Gains, steps: Sequence[int] = (20,), speakers: Sequence[str] = SPEAKERS) -> list[Path]:
    """Runs by the gains that GE2E and the d-vector hear in each method; None: the d-vector was not asked."""
    return [
        make_run(root, name, gain=gain, dvector=heard, shots=(5,), steps=steps, speakers=speakers, columns=("gap_closed",), audio=False)
        for name, (gain, heard) in gains.items()
    ]


@pytest.mark.parametrize(
    ("gains", "sentence"),
    [
        (AGREE, ""),
        (CONTRADICT, f"{EVERYWHERE}: gap_closed shows a > b, and dvector_gap_closed shows the reverse."),
        (ONE_ALONE, f"{EVERYWHERE}: gap_closed shows a > b, and dvector_gap_closed does not."),
        ({"a": (0.4, 0.9), "b": (0.4, 0.1)}, f"{EVERYWHERE}: dvector_gap_closed shows a > b, and gap_closed does not."),
    ],
)
def test_a_comparison_says_where_two_encoders_disagree(gains: Gains, sentence: str, tmp_path: Path) -> None:
    found = benchmark.compare(*make_runs(tmp_path, gains, (5, 20)), metrics=["gap_closed", "dvector_gap_closed"])
    told = [sentence, ADVICE] if sentence else []
    assert found.disagreements == json.loads(found.text("json"))["disagreements"] == told
    assert str(found).splitlines()[-2:] == told if told else ADVICE not in str(found)


def test_all_pairs_are_told_and_a_place_without_one_of_the_columns_tells_nothing(tmp_path: Path) -> None:
    chosen = contenders(make_runs(tmp_path, {"a": (0.9, 0.1), "b": (0.4, 0.4), "c": (0.1, 0.9)}))
    metrics = {"gap_closed": True, "dvector_gap_closed": True}
    pairs = known().same_question(metrics)
    lines = compare_all(chosen, metrics, steps=20)
    sentence = "At 5 shots and 20 steps: gap_closed shows a > b, a > c and b > c, and dvector_gap_closed shows the reverse."
    assert disagreements(lines, pairs) == [sentence, ADVICE]
    assert disagreements([line for line in lines if line.metric == "gap_closed" or line.first == "b"], pairs) == [
        "At 5 shots and 20 steps: gap_closed shows b > c, and dvector_gap_closed shows the reverse.", ADVICE
    ]  # fmt: skip


def test_columns_of_three_encoders_are_held_against_each_other_and_no_others() -> None:
    names = ["mcd", "gap_closed", "speaker_similarity", "dvector_gap_closed", "training_tflops", "ecapa_gap_closed"]
    ours, second, third = names[1], names[3], names[5]
    assert known().same_question(names) == [(ours, second), (ours, third), (second, third)]
    assert known().same_question(["speaker_similarity", "dvector_gap_closed"]) == []


@pytest.mark.parametrize(
    ("gains", "second"),
    [
        (AGREE, []),
        (CONTRADICT, [["b"], ["a"], ["worse"]]),
        (ONE_ALONE, [["a", "b"], ["worse"]]),
        ({"a": (0.9, None), "b": (0.1, None)}, []),
    ],
)
def test_a_report_shows_the_ranking_by_a_second_encoder_only_if_it_is_another(
    gains: Gains, second: list[list[str]], tmp_path: Path
) -> None:
    (board,) = boards(make_runs(tmp_path, gains), 1)
    found = findings(board)
    assert found is not None and found.metric == "gap_closed" and [group[0].name for group in found.groups] == list(gains)
    others = dissent(board, found)
    assert [[sorted(score.name for score in group) for group in other.groups] for other in others] == ([second] if second else [])
    text = html.unescape(build([board], tmp_path))
    sentence = "disagrees, and a claim should hold by both. dvector_gap_closed: how far the voice gets"
    assert (sentence in text) is bool(second)
    if second:
        assert others[0].groups[-1][0].value in text.partition(sentence)[2].partition("</section>")[0]


def test_encoders_that_scored_other_methods_are_compared_on_those_of_both(tmp_path: Path) -> None:
    """With eight speakers, ten pairs are too many to tell all methods apart; the three pairs that the d-vector scored are not."""
    gains = {"a": (0.9, 0.9), "b": (0.4, 0.4), "c": (0.1, 0.1), "d": (0.3, None), "e": (0.2, None)}
    (board,) = boards(make_runs(tmp_path, gains, speakers=SPEAKERS[:8]), 1)
    found, second = findings(board), findings(board, "dvector_gap_closed")
    assert found is not None and second is not None and found.powerless and not second.powerless
    assert second.absent == ["d", "e"] and dissent(board, found) == []


METRIC = '''
"""Another voice."""

from benchmark.errors import CannotScore
from benchmark.metric import Column, Metric


class Voice(Metric):
    version = "1"
    columns = {"voice": Column(unit="fraction", meaning="how alike", higher_is_better=True, second_opinion_of="gap_closed")}
    needs = ("speech",)

    def score(self, sample):
        raise CannotScore("nothing to hear")


PLUGIN = Voice
'''


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("", "", ""),
        ('"gap_closed"', '"gap_close"', "voice is a second opinion of 'gap_close', which no metric scores"),
        ('"gap_closed"', '"voice"', "voice is a second opinion of voice, of the same metric"),
        ('"gap_closed"', '"ecapa_gap_closed"', "voice is a second opinion of ecapa_gap_closed, which is one itself"),
        ('"fraction"', '"dB"', "voice and gap_closed must have one unit and one direction, because they measure the same"),
    ],
)
def test_a_second_opinion_names_a_column_that_can_be_one(old: str, new: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "voice.py"
    path.write_text(METRIC.replace(old, new) if old else METRIC)
    info = registry.from_file(path)
    found = conformance.check(info, registry.load_info(info), plugins=[path])
    assert [each.problem for each in found if each.problem] == ([problem] if problem else [])
