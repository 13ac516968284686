"""A report says what its runs say, needs nothing but itself, and lets nothing that runs hold act in a reader's browser."""

from __future__ import annotations

import base64
import csv
import io
import itertools
import json
import re
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import soundfile
from PIL import Image

from benchmark.cli import main
from benchmark.data.corpus import bytes_version
from benchmark.plumbing.files import read_sealed, write_sealed
from benchmark.report import sounds, tables
from benchmark.report.boards import Board, boards
from benchmark.report.page import build, transcripts
from benchmark.results.columns import known
from benchmark.results.kept_speech import speech_in
from benchmark.results.leaderboard import compute_rows
from benchmark.results.result import read_result
from tests.cli_helpers import full_disk, refused
from tests.report_helpers import HOSTILE, HOSTILE_TEXT, make_corpus, make_report, make_run

VOID = {"meta", "link", "img", "input", "br", "wbr"}


class Reader(HTMLParser):
    """Collects a page's elements and text, and insists that elements are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    return Reader(make_report(tmp_path_factory.mktemp("report")).read_text(encoding="utf-8"))


def test_the_page_refers_to_nothing_outside_itself(page: Reader) -> None:
    ids = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    for tag, attributes in page.elements:
        for name in ("src", "href", "action", "srcset", "poster", "data"):
            target = attributes.get(name)
            assert target is None or target.startswith("data:") or target.removeprefix("#") in ids, (tag, attributes)
    assert len(ids) == sum("id" in attributes for _, attributes in page.elements)
    policy = next(a["content"] for _, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none';") and "unsafe" not in policy


def test_what_runs_hold_is_shown_and_never_markup(page: Reader) -> None:
    assert HOSTILE in page.text and HOSTILE_TEXT in page.text and "<svg onload=window.hacked=3>" in page.text.replace("\u200b", "")
    assert all(not name.startswith("on") and name != "style" for _, attributes in page.elements for name in attributes)
    counts = Counter(tag for tag, _ in page.elements)
    assert counts["script"] == counts["style"] == counts["h1"] == counts["main"] == 1


def test_every_picture_table_and_player_is_named(page: Reader) -> None:
    counts = Counter(tag for tag, _ in page.elements)
    assert counts["caption"] == counts["table"] > 4
    for tag, attributes in page.elements:
        if tag == "img":
            assert attributes["alt"]
        if tag in ("audio", "nav") or attributes.get("role") in ("img", "region"):
            assert attributes["aria-label"]
        if tag == "svg":
            assert attributes.get("role") == "img" or attributes.get("aria-hidden") == "true"


def test_a_screen_reader_finds_its_way(page: Reader) -> None:
    """One h1, no heading level left out; every section and article is named by a heading; every control has a name of its own."""
    levels = [int(tag[1]) for tag, _ in page.elements if tag in ("h1", "h2", "h3", "h4")]
    assert levels.count(1) == 1 and levels[0] == 1 and all(after - before <= 1 for before, after in itertools.pairwise(levels))
    ids = {attributes["id"]: tag for tag, attributes in page.elements if "id" in attributes}
    (article,) = (attributes for tag, attributes in page.elements if tag == "article")
    assert ids[article["aria-labelledby"]] == "h2"
    labels = [attributes["aria-label"] for tag, attributes in page.elements if tag == "audio"]
    assert len(labels) == len(set(labels))
    for tag, attributes in page.elements:
        assert tag not in ("select", "input") or attributes.get("name")
        assert "tabindex" not in attributes or attributes["tabindex"] == "0"
        if tag == "th":
            assert attributes["scope"] in ("row", "col")
    assert ("html", {"lang": "en"}) in page.elements and any(attributes.get("class") == "skip" for _, attributes in page.elements)


def test_players_play_what_the_runs_kept(page: Reader) -> None:
    players = [attributes["src"] for tag, attributes in page.elements if tag == "audio"]
    # Two speakers: what they said and a floor, and two algorithms at three steps of five shots and the last of one.
    assert len(players) == 2 * (3 + 1 + 2 * 4)
    for source in players:
        audio, rate = soundfile.read(io.BytesIO(_decoded(source, "audio/mpeg")))
        assert (len(audio), rate) == (9600, 16_000)


def _decoded(source: str, kind: str) -> bytes:
    head, _, body = source.partition(",")
    assert head == f"data:{kind};base64"
    return base64.b64decode(body)


def test_spectrograms_show_the_tone(page: Reader) -> None:
    pictures = [attributes["src"] for tag, attributes in page.elements if tag == "img"]
    # Two speakers: what they said, and two algorithms before and after.
    assert len(pictures) == 2 * (3 + 2 * 2)
    image = Image.open(io.BytesIO(_decoded(pictures[0], "image/png")))
    assert image.size == (1 + 9600 // 256, 80)
    shades = [max(range(80), key=lambda y: sum(image.convert("RGB").getpixel((x, y)))) for x in range(5, 30)]  # type: ignore[arg-type]
    # Anna's recording is a tone of 440 Hz: band 12 of 80 on the Slaney scale, from below.
    assert all(80 - 16 <= y <= 80 - 9 for y in shades)


def test_rows_and_means_are_those_of_the_runs(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, "reptile", seed, queries=2, failure="too short") for seed in (0, 1)]
    (board,) = boards(runs, 1)
    assert board.rows["reptile"] == compute_rows(runs, [read_result(run) for run in runs])
    assert board.metrics == ["gap_closed", "mcd", "speaker_similarity", "eer"] and board.headline == ["gap_closed", "mcd"]
    assert [board.known.higher_is_better(metric) for metric in board.metrics] == [True, False, True, False]
    episodes = pd.concat([pd.read_csv(run / "episodes.csv") for run in runs])
    here = episodes[(episodes["shots"] == 5) & (episodes["steps"] == 20)]
    (_, table), *_ = tables.speakers(board)
    means = here.groupby("speaker")["gap_closed"].mean()
    assert [heading.text for heading in table.columns] == ["speaker", "reptile"]
    assert [entry.head.text for entry in table.entries] == means.index.tolist()
    assert [cell.value for entry in table.entries for cell in entry.cells] == pytest.approx(means.tolist())
    (entry,) = tables.failures(board).entries
    # Of two queries the first failed, at two of three steps, two numbers of shots, three speakers, two seeds.
    assert [cell.text for cell in entry.cells] == ["mcd", "24 of 72", "too short"]


def test_speakers_have_a_row_each_and_methods_a_column(tmp_path: Path) -> None:
    speakers = [f"s{n}" for n in range(7)]
    make_run(tmp_path, "maml", speakers=speakers, audio=False)
    make_run(tmp_path, "maml", seed=1, speakers=speakers, audio=False)
    make_run(tmp_path, "reptile", speakers=speakers[:3], audio=False)
    make_run(tmp_path, "no_adaptation", shots=(0,), speakers=speakers, audio=False)
    (_, table), *_ = tables.speakers(boards(list(tmp_path.iterdir()), 1)[0])
    assert [entry.head.text for entry in table.entries] == speakers
    assert [(heading.text, heading.small, heading.arrow) for heading in table.columns] == [
        ("speaker", "", ""), ("maml", "", "↑"), ("reptile", "1 seed", "↑"), ("no_adaptation", "floor, 1 seed", "↑"),
    ]  # fmt: skip
    assert [entry.cells[1].text == "–" for entry in table.entries] == [False] * 3 + [True] * 4


def test_what_gives_the_scale_is_said_to_hear_what_it_hears(tmp_path: Path) -> None:
    scored = {"columns": ("gap_closed", "per", "gop"), "metric_versions": {"speaker_similarity": "1", "per": "1", "gop": "1"}}
    for name in ("maml", "from_scratch"):
        make_run(tmp_path, name, audio=False, **scored)  # type: ignore[arg-type]
    for name in ("ground_truth", "all_speech", "wrong_speaker", "same_sex_speaker", "same_sex_adults", "nobody_knows_it"):
        make_run(tmp_path, name, shots=(0,), audio=False, **scored)  # type: ignore[arg-type]
    (board,) = boards(list(tmp_path.iterdir()), 1)
    told = tables.references(board)
    nothing = "It hears nothing of the speaker"
    assert {name: text.partition(". ")[2] for name, text in told.items()} == {
        "ground_truth": "It is given the recording that it is scored on.", "from_scratch": "It hears the same sentences as the methods.",
        "all_speech": "It hears all speech of the speaker but the sentences that it is scored on.", "wrong_speaker": f"{nothing}.",
        "same_sex_speaker": f"{nothing}, but is told the sex.", "same_sex_adults": f"{nothing}, but is told the sex and age.",
    }  # fmt: skip
    assert told["wrong_speaker"].startswith("The pretrained backbone speaking as somebody else. ")
    text = " ".join(Reader(build([board], tmp_path)).text.split())
    assert "Recordings don't score perfectly in per and gop, so read them against ground_truth." in text
    assert all(sentence in text for sentence in told.values())


def test_an_adaptation_that_failed_is_reported_and_costs_nothing(tmp_path: Path) -> None:
    (board,) = boards([make_run(tmp_path, "maml", lost="anna"), make_run(tmp_path, "reptile", lost="anna", speakers=("anna",))], 1)
    rows = {name: next(row for row in board.rows[name] if (row["shots"], row["steps"]) == ("5", "20")) for name in board.rows}
    assert (rows["maml"]["flops_to_adapt"], rows["maml"]["stored_parameters"], rows["maml"]["mcd_failed"]) == ("2e+12", "30000", "1")
    assert (rows["reptile"]["flops_to_adapt"], rows["reptile"]["stored_parameters"], rows["reptile"]["mcd"]) == ("", "", "")
    assert [[cell.text for cell in entry.cells] for entry in tables.failures(board).entries] == [
        ["every metric", "4 of 18", "adaptation failed: NaN"], ["every metric", "4 of 6", "adaptation failed: NaN"],
    ]  # fmt: skip


def test_what_the_speaker_said_is_heard_beside_what_was_synthesised(tmp_path: Path) -> None:
    """Every run keeps it; runs of before they did have the toplines, if there are any."""
    for name, shots in (("ground_truth", (0,)), ("no_adaptation", (0,)), ("maml", (5,))):
        make_run(tmp_path / "old", name, shots=shots, speakers=("anna",))
        make_run(tmp_path / "new", name, shots=shots, speakers=("anna",), beside=True)
    found = (boards(list((tmp_path / age).iterdir()), 1)[0] for age in ("old", "new"))
    old, new = (sounds.sentences(board, lambda _: None, 10**7, 1, lambda _: None)[0][0] for board in found)
    assert [(one.name, one.role) for one in old.references] == [("recording", ""), ("no_adaptation", "floor")] and old.text is None
    assert [(one.name, one.role, one.text) for one in new.references] == [
        ("recording", "", ""), ("copy synthesis", "", ""), ("a support sentence", "", "Heard before."), ("no_adaptation", "floor", ""),
    ]  # fmt: skip
    assert new.text == "What anna said." and [picture.title for picture in new.pictures] == [one.name for one in new.references[:3]]
    assert [picture.title for _, row in new.spectrograms for picture in row] == ["5 shots, 0 steps", "5 shots, 20 steps"]


def test_speech_stays_within_its_limit(tmp_path: Path) -> None:
    (board,) = boards([make_run(tmp_path, "reptile", shots=(1,), steps=(0, 5), speakers=[f"s{n}" for n in range(6)])], 1)
    shares: list[float] = []
    every, speaking = sounds.sentences(board, lambda _: None, 10**7, 1, shares.append)
    assert len(every) == speaking == 6 and shares[-1] == 1
    assert [bool(sentence.spectrograms) for sentence in every] == [True, *[False] * 5]
    limit = sum(sentence.size for sentence in every[:3])
    some, _ = sounds.sentences(board, lambda _: None, limit, 1, shares.append)
    assert some == every[:3]
    assert len(sounds.sentences(board, lambda _: None, 1, 1, shares.append)[0]) == 1


def test_speech_of_a_speaker_with_any_name_is_kept_and_found(tmp_path: Path) -> None:
    names = ("a:b", "a?b", "a%2Fb", ".hidden", "Smith, A", "jo\u00e3o+sad", "x_1shot_0000steps")
    run = make_run(tmp_path / "runs", "reptile", shots=(1,), steps=(0,), speakers=names)
    assert len(list((run / "audio").glob("*.wav"))) == len(names) == len(list(tmp_path.rglob("*.wav")))
    assert {target for target, *_ in speech_in(run)} == {*names}
    (board,) = boards([run], 1)
    assert {sentence.speaker for sentence in sounds.sentences(board, lambda _: None, 10**8, 0, lambda _: None)[0]} == {*names}


def test_all_are_heard_of_one_seed(tmp_path: Path) -> None:
    """Another pretraining speaks otherwise: beside each other stand the models of one."""
    lengths = {0: 0.6, 1: 0.9, 2: 1.2}
    runs = [make_run(tmp_path, name, seed, seconds=lengths[seed], speakers=("anna",), shots=(5,), steps=(5,))
            for name, seeds in (("a", (2, 1, 0)), ("b", (1, 2))) for seed in seeds]  # fmt: skip
    (board,) = boards(runs, 1)
    (sentence,), _ = sounds.sentences(board, lambda _: None, 10**7, 0, lambda _: None)
    assert [[round(clip.seconds, 1) for clip in clips if clip] for _, clips in sentence.adapted] == [[0.9], [0.9]]


def test_other_sentences_and_other_corpora_are_not_mixed_in(tmp_path: Path) -> None:
    one, other = make_run(tmp_path, "a", speakers=("anna",)), make_run(tmp_path, "b", speakers=("anna",), utterance="v")
    (board,) = boards([one, other], 1)
    (sentence,), _ = sounds.sentences(board, lambda name: name, 10**7, 0, lambda _: None)
    assert (sentence.text, [name for name, _ in sentence.adapted]) == ("u00", ["a"])
    make_corpus(tmp_path / "cache", {"u00": "Hello."})
    make_corpus(tmp_path / "other", {"u00": "Not this."}, version="another")
    assert transcripts(board, tmp_path / "cache")("u00") == "Hello." and transcripts(board, tmp_path / "cache")("nothing") is None
    assert transcripts(board, tmp_path / "other")("u00") is None
    # A run of before the version of a corpus was the same on all machines names its bytes.
    (meta,) = (json.loads(path.read_text()) for path in (tmp_path / "cache").rglob("corpus.json"))
    (board,) = boards([make_run(tmp_path / "old", "a", speakers=("anna",), data_version=bytes_version(meta))], 1)
    assert transcripts(board, tmp_path / "cache")("u00") == "Hello."


def test_each_method_is_heard_at_its_most_steps_first(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, name, steps=steps, speakers=("anna",)) for name, steps in (("gradient", (0, 5, 20)), ("metric", (0,)))]
    (board,) = boards(runs, 1)
    (sentence,), _ = sounds.sentences(board, lambda _: None, 10**7, 1, lambda _: None)
    assert sentence.places == ["5 shots, most steps", "1 shot, most steps", "5 shots, 5 steps", "5 shots, 0 steps"]
    assert {name: [clip and clip.place for clip in clips] for name, clips in sentence.adapted} == {
        "gradient": ["5 shots, 20 steps", "1 shot, 20 steps", "5 shots, 5 steps", "5 shots, 0 steps"],
        "metric": ["5 shots, 0 steps", "1 shot, 0 steps", None, None],
    }
    text = " ".join(Reader(build([board], tmp_path)).text.split())
    assert "at each algorithm's fewest and its most adaptation steps. All" in text and "Adapted, at the most steps first" in text
    (last,) = boards([make_run(tmp_path / "last", "gradient", shots=(5,), steps=(20,), speakers=("anna",))], 1)
    text = " ".join(Reader(build([last], tmp_path)).text.split())
    assert "at each algorithm's most adaptation steps. All" in text and "most steps first" not in text and "before and after" not in text
    # All on one scale of time.
    rows = [sentence.pictures, *(row for _, row in sentence.spectrograms)]
    assert len({(picture.width, picture.frame) for row in rows for picture in row}) == 1


def test_configurations_of_one_algorithm_are_told_apart(tmp_path: Path) -> None:
    config = {"seed": 0, "algo": {"name": "maml", "inner_lr": 0.3}}
    (board,) = boards([make_run(tmp_path, "maml"), make_run(tmp_path, "maml", config=config)], 1)
    assert [one.name for one in board.contenders] == ["maml (inner_lr=0.01)", "maml (inner_lr=0.3)"] == list(board.rows)
    assert "maml (inner_lr=0.3)" in Reader(build([board], tmp_path)).text, "nobody knows a digest"
    long = {"seed": 0, "algo": {"name": "maml", "inner_lr": 0.3, "what": "x" * 80}}
    (board,) = boards([*tmp_path.glob("made_up-*"), make_run(tmp_path, "maml", config=long)], 1)
    assert sum(":" in one.name for one in board.contenders) == 1, "a digest is shorter than what would tell it apart"


def test_runs_scored_with_other_metrics_stand_on_one_page(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, "maml"), make_run(tmp_path, "reptile", metric_versions={"mcd": "1", "speaker_similarity": "1", "f0": "1"})]
    (board,) = boards(runs, 1)
    assert {"mcd", "f0_rmse"} <= board.known.columns.keys()
    (tmp_path / "other").mkdir()
    runs.append(make_run(tmp_path / "other", "anil", metric_versions={"mcd": "2"}))
    assert [len(each.contenders) for each in boards(runs, 1)] == [2, 1]


def test_runs_without_speech_and_toplines_alone_make_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path, "ground_truth", shots=(0,), audio=False, speakers=("a",), synthetic=True)
    _edit_result(run, lambda result: result.pop("tuned"))  # as results were before there was tuning
    file = tmp_path / "page.html"
    arguments = ["report", str(run), "--html", str(file), "--cache", str(tmp_path), "--workers", "1"]
    assert main(arguments) == 0
    assert "made_up: 1 configurations" in capsys.readouterr().out
    text = Reader(file.read_text()).text
    assert "kept no speech" in text and "None of these runs adapts" in text and "synthetic voices" in text
    before = file.read_bytes()
    assert main(arguments) == 0 and file.read_bytes() == before


def test_recognition_is_told_as_recognition(tmp_path: Path) -> None:
    scored = {"columns": ("cer", "wer"), "metric_versions": {"cer": "1", "wer": "1"}, "problem": "recognition", "audio": False}
    for name, gain in (("finetune", 0.1), ("maml", 0.9)):
        make_run(tmp_path, name, gain=gain, **scored)  # type: ignore[arg-type]
    page = Reader(build(boards(list(tmp_path.iterdir()), 1), tmp_path))
    assert "recognisers" in page.text and "By cer: " in page.text and "lower is better" in page.text
    assert "text-to-speech" not in page.text
    links = {attributes["href"] for tag, attributes in page.elements if tag == "a"}
    places = {f"#{attributes['id']}" for _, attributes in page.elements if "id" in attributes}
    assert links <= places and not {"#board1-pictures", "#board1-audio"} & places, "there is nothing to hear or to see"


def test_each_dataset_has_its_board_and_unfinished_runs_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for dataset in ("one", "two"):
        make_run(tmp_path, "reptile", dataset=dataset, data_version=dataset, shots=(1,), speakers=("a", "b"), audio=False)
    (tmp_path / "stopped").mkdir()
    (tmp_path / "stopped" / "config.yaml").touch()
    assert main(["report", "--output", str(tmp_path), "--cache", str(tmp_path), "--workers", "2"]) == 0
    assert "Unfinished, so left out: stopped." in capsys.readouterr().out
    titles = re.findall(r"<h2[^>]*>(.*)</h2>", (tmp_path / "report.html").read_text())
    assert titles == ["one", "two"]


def test_runs_on_other_data_or_other_episodes_have_boards_of_their_own(tmp_path: Path) -> None:
    runs = [
        make_run(tmp_path, "reptile", shots=(1,), audio=False, **more)
        for more in ({}, {"manifest_hash": "other"}, {"data_version": "dv+0123456789", "config": {"seed": 0, "algo": {"name": "reptile"}}})
    ]
    found = boards(runs, 1)
    assert [board.name for board in found] == [
        "made_up (data dv, episodes mh)", "made_up (data dv, episodes other)", "made_up (data dv+01234567)",
    ]  # fmt: skip
    assert [board.name for board in boards(runs[:2], 1)] == ["made_up (episodes mh)", "made_up (episodes other)"]
    make_corpus(tmp_path, {"u00": "Hello"})
    assert [transcripts(board, tmp_path)("u00") for board in found] == ["Hello"] * 3, "held-out speech is the dataset's own"


def test_runs_that_cannot_be_compared_have_boards_that_say_why(tmp_path: Path) -> None:
    versions = {"mcd": "1", "speaker_similarity": "1"}
    each: list[dict[str, Any]] = [
        {}, {"backbone": "c"}, {"backbone": "c", "vocoder": "w"}, {"protocol_version": "2"}, {"metric_versions": versions | {"mcd": "2"}},
        {"metric_versions": {"speaker_similarity": "1"}}, {"metric_versions": versions | {"f0": "1"}, "algorithm": "maml"},
    ]  # fmt: skip
    runs = [make_run(tmp_path, shots=(1,), steps=(0,), audio=False, **{"algorithm": "reptile", **changes}) for changes in each]
    assert [(board.name, len(board.contenders)) for board in boards(runs, 1)] == [
        ("made_up (protocol version 1, backbone b, without mcd)", 1), ("made_up (protocol version 1, backbone b, version 1 of mcd)", 2),
        ("made_up (protocol version 1, backbone b, version 2 of mcd)", 1), ("made_up (protocol version 1, backbone c, vocoder v)", 1),
        ("made_up (protocol version 1, backbone c, vocoder w)", 1), ("made_up (protocol version 2)", 1),
    ]  # fmt: skip
    assert [board.name for board in boards([runs[0], runs[6]], 1)] == ["made_up"]
    runs[1:] = [make_run(tmp_path, "reptile", seed=1, device="cuda", shots=(1,), steps=(0,), audio=False)]
    cpu, cuda = boards(runs, 1)
    assert (cpu.name, cuda.name, tables.shared(cuda)["device"]) == ("made_up (device cpu)", "made_up (device cuda)", "cuda")


def _edit_result(run: Path, change: Callable[[dict], object]) -> None:
    result = read_sealed(run / "result.json", "run result")
    change(result)
    write_sealed(run / "result.json", result)


def _keep_lines(path: Path, count: int) -> None:
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:count]))


def _edit_episodes(run: Path, **cells: str) -> None:
    """Other cells in the first row."""
    with (run / "episodes.csv").open(newline="") as stream:
        header, first, *rest = csv.reader(stream)
    with (run / "episodes.csv").open("w", newline="") as stream:
        changed = [cells.get(name, cell) for name, cell in zip(header, first, strict=True)]
        csv.writer(stream, lineterminator="\n").writerows([header, changed, *rest])


def _cut(path: Path, size: int = 40) -> None:
    path.write_bytes(path.read_bytes()[:-size])


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda run: (run / "result.json").unlink(), "There is no run result"),
        (lambda run: _cut(run / "result.json"), "can't be read"),
        (lambda run: (run / "result.json").write_text("[]"), "not a complete result"),
        (lambda run: _edit_result(run, lambda r: r.update(seed=7)), "does not belong to this folder"),
        (lambda run: _edit_result(run, lambda r: r["curve"][0]["metrics"]["mcd"].update(mean=0.5)), "beside it disagree"),
        (lambda run: _edit_result(run, lambda r: r["curve"].pop()), "lacks or garbles 'curve'"),
        (lambda run: _edit_result(run, lambda r: r.pop("curve")), "lacks or garbles 'curve'"),
        (lambda run: _edit_result(run, lambda r: r.update(training=None)), "lacks or garbles 'training'"),
        (lambda run: _edit_result(run, lambda r: r.update(facts=[1])), "lacks or garbles 'facts'"),
        (lambda run: _edit_result(run, lambda r: r.update(tuned={"trials": 3})), "lacks or garbles 'tuned.values'"),
        (lambda run: _edit_result(run, lambda r: r.pop("git_dirty")), "lacks or garbles 'git_dirty'"),
        (lambda run: _edit_result(run, lambda r: r.update(outside_plugins=3)), "lacks or garbles 'outside_plugins'"),
        (lambda run: _edit_result(run, lambda r: r["config"].update(x=1)), "does not belong to this folder"),
        (lambda run: _edit_episodes(run, mcd="1.5"), "its checksum does not match"),
        (lambda run: _edit_episodes(run, episode="x"), "row 2 has 'x' as episode, which is not a whole number"),
        (lambda run: (run / "episodes.csv").write_text(""), "cut short"),
        (lambda run: (run / "episodes.csv").unlink(), "There is no .*episodes.csv"),
        (lambda run: _cut(run / "episodes.csv"), "cut short"),
        (lambda run: (run / "costs.csv").unlink(), "There is no .*costs.csv"),
        (lambda run: _keep_lines(run / "costs.csv", 1), "and the costs.csv beside it disagree"),
        (lambda run: (run / "episodes.csv").write_text(""), "episodes.csv"),
        (lambda run: _cut(next((run / "audio").glob("*.wav")), 19_240), "and the audio/.*wav beside it disagree"),
        (lambda run: (run / "embedding.csv").write_text("speaker,utterance,x,y\na,b,1,inf\n"), "embedding.csv can't be read"),
    ],
)  # fmt: skip
def test_damaged_runs_are_one_sentence(
    damage: Callable[[Path], object], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path, "reptile", shots=(1,), steps=(0,), speakers=("a", "b"))
    _edit_result(run, lambda result: result.update(git_dirty=False))
    other = make_run(tmp_path, "maml", shots=(1,), steps=(0,), speakers=("a", "b"), audio=False)
    damage(run)
    html, table = tmp_path / "page.html", tmp_path / "table.csv"
    assert re.search(reason, refused(["report", run, "--cache", tmp_path, "--workers", "1", "--html", html], 1, capsys))
    assert not html.exists()
    if re.search("costs|audio|embedding", reason):
        return
    # Whoever else reads runs finds it out too.
    assert re.search(reason, refused(["compare", run, other, "--metrics", "mcd"], 1, capsys))
    assert re.search(reason, refused(["leaderboard", "add", run, "--preliminary", "--table", table], 1, capsys))
    assert not table.exists() and not (tmp_path / "runs").exists()


def test_a_full_disk_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path, "reptile", shots=(1,), steps=(0,), speakers=("a", "b"))
    _edit_result(run, lambda result: result.update(git_dirty=False))
    html, table = tmp_path / "page.html", tmp_path / "boards" / "table.csv"
    for command in (["report", run, "--cache", tmp_path, "--workers", "1", "--html", html],
                    ["leaderboard", "add", run, "--preliminary", "--table", table]):  # fmt: skip
        with full_disk(300):
            assert "File too large; choose a folder that is writable and has space." in refused(command, 1, capsys)
    assert not html.exists() and not table.exists() and not list(tmp_path.rglob(".tmp-*"))


def test_what_cannot_be_reported_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "There is no complete run in" in refused(["report", "--output", tmp_path / "none"], 2, capsys)
    assert "There is no run folder" in refused(["report", tmp_path / "none"], 2, capsys)
    assert "Argument --workers: must be a whole number, at least 1, not 0" in refused(["report", "--workers", "0"], 2, capsys)


def test_best_of_a_board() -> None:
    rows = {"a": [("10", "0"), ("1", "100"), ("10", "20")], "t": [("0", "0")]}
    board = Board("d", [], {name: [{"shots": s, "steps": t} for s, t in own] for name, own in rows.items()}, [], [], known())
    assert (board.best("a"), board.shots, board.uses_shots("a"), board.uses_shots("t")) == ((10, 20), [1, 10], True, False)
