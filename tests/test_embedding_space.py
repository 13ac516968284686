"""The picture and the error rate of an embedding space: known embeddings give known numbers."""

from __future__ import annotations

import csv
import itertools
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from benchmark.batch import Batch
from benchmark.data.corpus import Corpus
from benchmark.running.embedding_space import embedding_space, project
from tests.metric_helpers import write_corpus

SPEAKERS = ["ann", "bob", "cid"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return write_corpus(tmp_path_factory.mktemp("corpus") / "c", {"train": ["tom"], "test": SPEAKERS, "validation": ["val"]}, utterances=4)


def one_direction_a_speaker(owners: str) -> Callable[[Batch], torch.Tensor]:
    """An ``embed`` that gives utterances, in the order asked for, the direction of the letter at their place in ``owners``."""
    letters = iter(owners)

    def embed(batch: Batch) -> torch.Tensor:
        places = torch.tensor(["abc".index(letter) for letter in itertools.islice(letters, len(batch))])
        return 7.0 * F.one_hot(places, 3).float()

    return embed


def test_voices_told_apart_have_no_errors_and_a_picture(corpus: Corpus, tmp_path: Path) -> None:
    embed = one_direction_a_speaker("aaaabbbbcccc")
    assert embedding_space(embed, corpus, SPEAKERS, tmp_path) == {"embedding_eer": 0.0}
    assert (tmp_path / "embedding.png").read_bytes().startswith(b"\x89PNG")
    with (tmp_path / "embedding.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["speaker"] for row in rows] == [speaker for speaker in SPEAKERS for _ in range(4)]
    assert len({(float(row["x"]), float(row["y"])) for row in rows}) == 3 and {row["utterance"] for row in rows} >= {"ann-000", "cid-003"}


def test_an_utterance_in_the_wrong_place_is_an_error(corpus: Corpus, tmp_path: Path) -> None:
    eer = embedding_space(one_direction_a_speaker("aaabbbbbcccc"), corpus, SPEAKERS, tmp_path)["embedding_eer"]
    assert 1 / 24 <= eer <= 1 / 12


def test_a_target_of_another_task_is_one_point_per_utterance(tmp_path: Path) -> None:
    speakers = {"train": ["tom"], "test": ["ann", "bob"], "validation": ["val"]}
    place = tmp_path / "c"
    spoken = write_corpus(place, speakers, utterances=4, task="style", facts=lambda _, index: {"style": "sad" if index < 2 else "glad"})
    embedding_space(one_direction_a_speaker("aabbccaa"), spoken, spoken.targets("test"), tmp_path)
    with (tmp_path / "embedding.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    found = [(row["speaker"], row["utterance"]) for row in rows]
    assert found[:3] == [("ann+glad", "ann-002"), ("ann+glad", "ann-003"), ("ann+sad", "ann-000")] and len(found) == 8


def test_one_speaker_alone_has_no_error_rate(corpus: Corpus, tmp_path: Path) -> None:
    assert embedding_space(one_direction_a_speaker("aaaa"), corpus, ["ann"], tmp_path) == {}
    assert (tmp_path / "embedding.csv").is_file()


def test_targets_of_any_kind_and_name_are_embedded(tmp_path: Path) -> None:
    speakers = {"train": ["tom"], "test": ["Smith, A", "bob"]}
    styles = write_corpus(tmp_path / "c", speakers, 4, task="style", facts=lambda _, index: {"style": "a" if index < 2 else 'b"'})
    targets = styles.targets("test")
    embed = one_direction_a_speaker("aabbccaa")
    assert embedding_space(embed, styles, targets, tmp_path)
    with (tmp_path / "embedding.csv").open(newline="") as stream:
        rows = [(row["speaker"], row["utterance"]) for row in csv.DictReader(stream)]
    assert rows == [(target, name) for target in targets for name in styles.utterances_of(target)] and len(rows) == 8


def test_without_matplotlib_the_points_are_kept(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert embedding_space(one_direction_a_speaker("aaaabbbbcccc"), corpus, SPEAKERS, tmp_path)
    assert "pip install -e '.[plots]'" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["embedding.csv"]


def test_projection_equals_the_covariances_eigenvectors() -> None:
    embeddings = (np.random.default_rng(0).normal(size=(30, 6)) * np.arange(1, 7)).astype(np.float32)
    points, share = project(embeddings)
    values, vectors = np.linalg.eigh(np.cov(embeddings.T, bias=True))
    expected = (embeddings - embeddings.mean(0)) @ vectors[:, [-1, -2]]
    assert np.abs(points) == pytest.approx(np.abs(expected), abs=1e-4)
    assert share == pytest.approx(values[[-1, -2]] / values.sum(), abs=1e-5)
    assert np.array_equal(project(embeddings)[0], points)
