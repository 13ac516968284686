"""What is appended is read back; a log that was cut or damaged goes on from its last whole block, to the same bytes."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.errors import BenchmarkError
from benchmark.results.blocks import Block
from benchmark.results.episode_log import CostRow, EpisodeLog, EpisodeRow
from benchmark.results.episode_tables import failures_in, read_costs, read_episodes
from tests.report_helpers import make_run

BLOCKS: list[Block] = [(speaker, 0, shots) for speaker in ("anna", "bert", "carl") for shots in (5, 10)]
COLUMNS = ("mcd", "stoi")


def rows(block: Block) -> list[EpisodeRow]:
    value = len(block[0]) + block[2] / 7
    return [
        EpisodeRow(
            *block, steps, f"u{query}", {"mcd": value / 3 + steps, "stoi": math.nan}, {"stoi": 'too "short",\nby far'},
            {"eer": [0.123456789, 0.5]}, flops=steps * 10**12, stored_parameters=3,
        )
        for steps in (0, 20) for query in (0, 1)
    ]  # fmt: skip


def costs(block: Block) -> list[CostRow]:
    return [CostRow(*block, steps, 0.25 * steps, 1e6) for steps in (0, 20)]


def fill(folder: Path) -> EpisodeLog:
    """Append the blocks that are not there."""
    log = EpisodeLog(folder, COLUMNS, BLOCKS)
    for block in BLOCKS:
        if block not in log.done:
            log.append(rows(block), costs(block))
    return log


@pytest.fixture
def whole(tmp_path: Path) -> bytes:
    fill(tmp_path / "whole")
    return (tmp_path / "whole" / "episodes.csv").read_bytes()


def test_what_is_appended_is_read_back(tmp_path: Path) -> None:
    assert fill(tmp_path).done == set(BLOCKS)
    frame = read_episodes(tmp_path / "episodes.csv")
    assert len(frame) == 24 and frame["mcd"][0] == (4 + 5 / 7) / 3
    assert frame["stoi"].isna().all() and set(frame["flops"]) == {0, 20 * 10**12} and set(frame["stored_parameters"]) == {3}
    assert frame["failures"][0] == '{"stoi": "too \\"short\\", by far"}' and frame["trials"][0] == '{"eer":[0.12346,0.5]}'
    table = read_costs(tmp_path / "costs.csv")
    assert len(table) == 12 and table["seconds_to_adapt"].max() == 5 and table["real_time_factor"].isna().all()


def test_every_cut_goes_on_to_the_same_bytes(tmp_path: Path, whole: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    for end in range(0, len(whole), 97):
        (tmp_path / "episodes.csv").write_bytes(whole[:end])
        fill(tmp_path)
        assert (tmp_path / "episodes.csv").read_bytes() == whole, end
        assert len(read_costs(tmp_path / "costs.csv")) == 12, end
    assert not capsys.readouterr().err and not (tmp_path / "episodes.csv.damaged").exists()


def line(number: int, change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """Damage to one line; the header is line 0, blocks have 4."""

    def damage(content: bytes) -> bytes:
        lines = content.splitlines(keepends=True)
        lines[number] = change(lines[number])
        return b"".join(lines)

    return damage


@pytest.mark.parametrize(
    ("damage", "kept", "reason"),
    [
        (line(10, lambda text: b""), 2, "row 13 does not fit the rows before it"),
        (line(10, lambda text: b"\0" * 20 + b"\n"), 2, "row 11 has 1 cells, not 13"),
        (line(10, lambda text: text.replace(b'"', b"", 1)), 2, "row 11"),
        (line(11, lambda text: text.replace(b",20,u0,", b",20,u0,x")), 2, "as mcd, which is not a number"),
        (line(11, lambda text: text.replace(b",20,u0,", b",2x,u0,")), 2, "row 12 has '2x' as steps, which is not a whole number"),
        (line(11, lambda text: text.replace(b",20,u0,", b",0,u0,")), 2, "row 12 repeats a row's steps and utterance"),
        (line(11, lambda text: text.replace(b"{", b"(", 1)), 2, "which is not JSON"),
        (line(11, lambda text: text.replace(b"0.5]", b"0.6]", 1)), 2, "row 13 ends an episode that was changed"),
        (line(11, lambda text: text.replace(b",u0,", b",u0,1")), 2, "row 13 ends an episode that was changed"),
        (line(11, lambda text: text.replace(b",20,u0,", b",20,u0,1_")), 2, "which is not a number"),
        (line(11, lambda text: text.replace(b",20,u0,", b",20,u0,nan")), 2, "which is not a number"),
        (line(11, lambda text: text.replace(b",20,u0,", b",20,u0," + 6000 * b"1")), 2, "which is not a number"),
        (line(11, lambda text: text.replace(b",20,u0,", b",-20,u0,")), 2, "has '-20' as steps, which is not a whole number"),
        (line(11, lambda text: text.replace(b",20,u0,", b",20,=u0,")), 2, "which is not a name: it begins with '='"),
        (line(11, lambda text: text.replace(b"0.5]", b"NaN]", 1)), 2, "which is not JSON of lists of numbers by name"),
        (line(11, lambda text: text.replace(b"[0.12346,0.5]", 9000 * b"[" + 9000 * b"]", 1)), 2, "as trials, which is not JSON"),
        (lambda content: content.replace(b"bert,0,5", b"cert,0,5"), 2, "row 10 is of an episode that does not belong there"),
        (line(8, lambda text: text + text), 2, "row 10"),
        (lambda content: content + b"".join(content.splitlines(keepends=True)[-4:]), 6, "row 26 repeats an episode"),
        (lambda content: content + b"".join(content.splitlines(keepends=True)[1:5]), 6, "row 26 repeats an episode"),
        (line(0, lambda text: text.replace(b"mcd", b"mdc")), 0, "row 1 names other columns"),
        (line(0, lambda text: text.replace(b"speaker,", b"")), 0, "row 1 lacks the column 'speaker'"),
    ],
)  # fmt: skip
def test_damage_is_kept_aside_and_the_log_goes_on_from_what_stands_before_it(
    damage: Callable[[bytes], bytes], kept: int, reason: str, tmp_path: Path, whole: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path)
    (tmp_path / "episodes.csv").write_bytes(damage(whole))
    if kept or "lacks" in reason:
        with pytest.raises(BenchmarkError, match="the run's command, given again, repairs it"):
            read_episodes(tmp_path / "episodes.csv")
            assert "does not belong" in reason  # which only the run knows
            raise BenchmarkError("the run's command, given again, repairs it")
    assert EpisodeLog(tmp_path, COLUMNS, BLOCKS).done == set(BLOCKS[:kept])
    error = capsys.readouterr().err
    assert reason in error and error.count("\n") == 1 and "episodes.csv.damaged" in error
    assert (tmp_path / "episodes.csv.damaged").read_bytes() == damage(whole)
    fill(tmp_path)
    assert (tmp_path / "episodes.csv").read_bytes() == whole
    assert len(read_costs(tmp_path / "costs.csv")) == 12
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("damage", "kept"),
    [
        (lambda content: content.replace(b"anna,0,10,20,5.0", b"anna,0,10,20,?"), 1),
        (lambda content: content.replace(b"anna,0,10,20,5.0", b"anna,0,10,20,6.0"), 1),
        (lambda content: content.replace(b"bert,0,5,20,5.0", b"bert,0,5,20,-5.0"), 2),
        (lambda content: b"".join(content.splitlines(keepends=True)[:-2]), 5),
        (lambda content: content.replace(b"seconds", b"minutes"), 0),
        (lambda content: b"", 0),
    ],
)
def test_blocks_without_their_costs_are_done_again(
    damage: Callable[[bytes], bytes], kept: int, tmp_path: Path, whole: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path)
    path = tmp_path / "costs.csv"
    content = path.read_bytes()
    path.write_bytes(damage(content))
    assert EpisodeLog(tmp_path, COLUMNS, BLOCKS).done == set(BLOCKS[:kept])
    assert f"lacks costs, so {6 - kept} episode" in capsys.readouterr().err
    fill(tmp_path)
    assert path.read_bytes() == content and (tmp_path / "episodes.csv").read_bytes() == whole


def test_costs_of_blocks_that_were_never_finished_are_dropped(tmp_path: Path) -> None:
    fill(tmp_path)
    content = (tmp_path / "costs.csv").read_bytes()
    EpisodeLog(tmp_path / "more", COLUMNS).append(rows(("dora", 0, 5)), costs(("dora", 0, 5)))
    more = b"".join((tmp_path / "more" / "costs.csv").read_bytes().splitlines(keepends=True)[1:])
    (tmp_path / "costs.csv").write_bytes(content + more + b"carl,0,")
    fill(tmp_path)
    assert (tmp_path / "costs.csv").read_bytes() == content


def test_files_of_the_old_form_are_read_and_get_checksums_when_a_run_goes_on(tmp_path: Path, whole: bytes) -> None:
    fill(tmp_path)
    for name, less in (("episodes.csv", 1), ("costs.csv", 2)):
        lines = (tmp_path / name).read_text().splitlines()
        (tmp_path / name).write_text("".join(f"{line.rsplit(',', less)[0]}\n" for line in lines))
    assert len(read_episodes(tmp_path / "episodes.csv")) == 24 and len(read_costs(tmp_path / "costs.csv")) == 12
    assert EpisodeLog(tmp_path, COLUMNS, BLOCKS).done == set(BLOCKS)
    assert (tmp_path / "episodes.csv").read_bytes() == whole


def test_a_block_whose_adaptation_failed_at_once_has_no_costs_and_is_done(tmp_path: Path) -> None:
    lost = [EpisodeRow("dora", 0, 5, 0, "u0", {"mcd": math.nan}, {"all": "adaptation failed: NaN"})]
    EpisodeLog(tmp_path, ["mcd"]).append(lost)
    assert EpisodeLog(tmp_path, ["mcd"]).done == {("dora", 0, 5)}


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ([], "takes the rows of one"),
        (rows(BLOCKS[0]) + rows(BLOCKS[1]), "takes the rows of one"),
        (rows(BLOCKS[0]), "is already in"),
        (2 * rows(BLOCKS[1]), "two rows for the same"),
        ([EpisodeRow("d", 0, 5, 0, "u", {"mcd": 1.0}, {"all": "?"})], "has the metrics"),
        ([EpisodeRow("d\n", 0, 5, 0, "u", {"mcd": 1.0, "stoi": 1.0})], "a name in the block .* holds the control character"),
        ([EpisodeRow("d", 0, 5, 0, "../u", {"mcd": 1.0, "stoi": 1.0})], "a name in the block .* leads to another folder"),
        ([EpisodeRow("d", 0, 5, 7, "u", {"mcd": 1.0, "stoi": 1.0})], "costs of other steps"),
    ],
)
def test_what_is_no_block_is_refused(bad: list[EpisodeRow], reason: str, tmp_path: Path) -> None:
    log = EpisodeLog(tmp_path, COLUMNS)
    log.append(rows(BLOCKS[0]), costs(BLOCKS[0]))
    with pytest.raises(ValueError, match=reason):
        log.append(bad)
    assert len(read_episodes(tmp_path / "episodes.csv")) == 4


def test_infinite_scores_are_failures(tmp_path: Path) -> None:
    scores = enumerate((math.inf, math.nan))
    some = [EpisodeRow("d", 0, 5, step, "u", {"mcd": score}) for step, score in scores]
    EpisodeLog(tmp_path, ["mcd"]).append(some, [CostRow("d", 0, 5, step) for step in (0, 1)])
    frame = read_episodes(tmp_path / "episodes.csv")
    assert frame["mcd"].isna().all()
    assert list(frame["failures"]) == ['{"mcd": "the score is infinite"}', '{"mcd": "no reason given"}']


def test_failures_are_counted_with_the_commonest_reason(tmp_path: Path) -> None:
    run = make_run(tmp_path, "maml", lost="anna", failure="too short")
    assert failures_in(run).startswith("Not scored in full: 12 of 18 utterances, most often: too short; ")
    assert failures_in(make_run(tmp_path, "reptile")) == ""
