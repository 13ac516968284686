"""ECAPA similarity, by a stand-in of the published encoder: its files and layout, small and with random weights."""

from __future__ import annotations

import csv
import json
import pickle
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.audio import Audio
from benchmark.cli import main
from benchmark.data.corpus import Corpus
from benchmark.errors import BenchmarkError, CannotScore
from benchmark.metric import MetricContext
from benchmark.metrics import ecapa_similarity
from benchmark.metrics.ecapa_similarity import FILES, HUB, REVISION, EcapaSimilarity, fetch
from benchmark.running.checks import check_fit
from benchmark.scoring import voice_similarity
from benchmark.scoring.verification import Floats, equal_error_rate
from benchmark.settings.schema import RunSettings
from tests.metric_helpers import sample, say, unusable_audio, write_corpus

HYPERPARAMS = f"""
n_mels: 80
pretrained_path: {HUB}
out_n_neurons: 2
compute_features: !new:speechbrain.lobes.features.Fbank
    n_mels: !ref <n_mels>
mean_var_norm: !new:speechbrain.processing.features.InputNormalization
    norm_type: sentence
    std_norm: False
embedding_model: !new:speechbrain.lobes.models.ECAPA_TDNN.ECAPA_TDNN
    input_size: !ref <n_mels>
    channels: [32, 32, 32, 32, 96]
    kernel_sizes: [5, 3, 3, 3, 1]
    dilations: [1, 2, 3, 4, 1]
    attention_channels: 16
    lin_neurons: 192
classifier: !new:speechbrain.lobes.models.ECAPA_TDNN.Classifier
    input_size: 192
    out_neurons: !ref <out_n_neurons>
mean_var_norm_emb: !new:speechbrain.processing.features.InputNormalization
    norm_type: global
    std_norm: False
modules:
    compute_features: !ref <compute_features>
    mean_var_norm: !ref <mean_var_norm>
    embedding_model: !ref <embedding_model>
    mean_var_norm_emb: !ref <mean_var_norm_emb>
    classifier: !ref <classifier>
label_encoder: !new:speechbrain.dataio.encoder.CategoricalEncoder
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
    loadables:
        embedding_model: !ref <embedding_model>
        mean_var_norm_emb: !ref <mean_var_norm_emb>
        classifier: !ref <classifier>
        label_encoder: !ref <label_encoder>
    paths:
        embedding_model: !ref <pretrained_path>/embedding_model.ckpt
        mean_var_norm_emb: !ref <pretrained_path>/mean_var_norm_emb.ckpt
        classifier: !ref <pretrained_path>/classifier.ckpt
        label_encoder: !ref <pretrained_path>/label_encoder.txt
"""


def write_weights(folder: Path, seed: int = 0) -> Path:
    """The published files, as far as a made-up network can stand in for them."""
    from hyperpyyaml import load_hyperpyyaml

    folder.mkdir(parents=True)
    (folder / "hyperparams.yaml").write_text(HYPERPARAMS)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = load_hyperpyyaml(HYPERPARAMS)
        # Untrained running statistics would leave all voices nearly the same.
        made["embedding_model"](torch.randn(8, 100, 80))
    for name in ("embedding_model", "classifier"):
        torch.save(made[name].state_dict(), folder / f"{name}.ckpt")
    # With what older versions of speechbrain kept beside the statistics, as the published file has it.
    statistics = {"count": 1, "glob_mean": torch.zeros(192), "glob_std": torch.ones(192)}
    torch.save(statistics | {"spk_dict_mean": {}, "spk_dict_std": {}, "spk_dict_count": {}}, folder / "mean_var_norm_emb.ckpt")
    made["label_encoder"].update_from_iterable(["ann", "bob"])
    made["label_encoder"].save(folder / "label_encoder.txt")
    assert {path.name for path in folder.iterdir()} == set(FILES)
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("weights") / "w")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    speakers = {"train": ["tom"], "test": ["ann", "bob", "cid"], "validation": ["val"]}
    return write_corpus(tmp_path_factory.mktemp("corpus") / "c", speakers, utterances=4)


@pytest.fixture(scope="module")
def metric(corpus: Corpus, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> EcapaSimilarity:
    ready = EcapaSimilarity(EcapaSimilarity.Config(source=str(weights)))
    with pytest.MonkeyPatch.context() as patch:
        # Random weights tell no voices apart; the gap's arithmetic is tested all the same.
        patch.setattr(voice_similarity, "LEAST_SEPARATION", -np.inf)
        ready.prepare(MetricContext(corpus, tmp_path_factory.mktemp("cache"), ("ann", "bob")))
    return ready


@pytest.fixture(scope="module")
def theirs(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Speechbrain's own verification, loaded as its manual says."""
    from speechbrain.inference.speaker import SpeakerRecognition

    place = {"savedir": str(tmp_path_factory.mktemp("savedir")), "overrides": {"pretrained_path": str(weights)}}
    return SpeakerRecognition.from_hparams(str(weights), run_opts={"device": "cpu"}, **place)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Hosts that were looked for, in vain."""
    asked: list[str] = []

    def refuse(host: str, *_: object, **__: object) -> None:
        asked.append(host)
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return asked


def test_one_enrolment_utterance_gives_the_score_of_speechbrains_own_verification(
    metric: EcapaSimilarity, corpus: Corpus, theirs: Any
) -> None:
    for spoken, enrolled in (("ann-000", "ann-001"), ("bob-002", "ann-003"), ("cid-001", "ann-000")):
        audio = [torch.from_numpy(corpus[name].waveform)[None] for name in (spoken, enrolled)]
        score, _ = theirs.verify_batch(*audio)
        values = metric.score(sample(corpus[spoken].waveform, target="ann", enrolment=(enrolled,)))
        assert values["ecapa_similarity"] == pytest.approx(float(score), abs=1e-5)


def test_gap_trials_and_constants_follow_from_speechbrains_embeddings(metric: EcapaSimilarity, corpus: Corpus, theirs: Any) -> None:
    def unit(vector: np.ndarray) -> np.ndarray:
        return vector / np.linalg.norm(vector)

    def embeddings(speaker: str) -> list[np.ndarray]:
        waves = [torch.from_numpy(corpus[name].waveform) for name in corpus.utterance_ids(speaker)]
        return [unit(theirs.encode_batch(wave).numpy().ravel().astype(np.float64)) for wave in waves]

    every = {speaker: embeddings(speaker) for speaker in ("ann", "bob", "cid")}
    centroids = {speaker: unit(np.mean(each, axis=0)) for speaker, each in every.items()}
    same = [e @ unit(np.mean(each[:n] + each[n + 1 :], axis=0)) for each in every.values() for n, e in enumerate(each)]
    other = [e @ centroids[t] for s, each in every.items() for e in each for t in centroids if s != t]
    facts = {"ecapa_same": np.mean(same), "ecapa_different": np.mean(other)}
    facts["ecapa_eer_real"] = equal_error_rate(np.array(same), np.array(other))
    assert metric.facts() == pytest.approx(facts, abs=1e-5)

    spoken = sample(corpus["ann-000"].waveform, target="ann", enrolment=("ann-001", "ann-002", "ann-003"))
    similarity = every["ann"][0] @ unit(np.mean(every["ann"][1:], axis=0))
    scores, own = metric.score(spoken), metric.facts()
    assert scores["ecapa_similarity"] == pytest.approx(similarity, abs=1e-5)
    # Random weights hardly separate the voices, so that dividing by their separation would blow rounding up.
    closed = scores["ecapa_gap_closed"] * (own["ecapa_same"] - own["ecapa_different"])
    assert closed == pytest.approx(similarity - facts["ecapa_different"], abs=2e-5)
    expected = [similarity, *(every["ann"][0] @ centroids[speaker] for speaker in ("bob", "cid"))]
    assert metric.trials(spoken)["ecapa_eer"] == pytest.approx(expected, abs=1e-5)


def test_an_utterance_is_as_similar_as_can_be_to_itself(metric: EcapaSimilarity, corpus: Corpus) -> None:
    values = metric.score(sample(corpus["ann-000"].waveform, target="ann", enrolment=("ann-000",)))
    assert values["ecapa_similarity"] == pytest.approx(1.0, abs=1e-6)


def test_loudness_does_not_count(metric: EcapaSimilarity) -> None:
    audio, _ = say("aiueaiueaiue")
    for gain in (0.1, 0.5, 1.9):
        assert float(metric.embed(audio) @ metric.embed(audio * np.float32(gain))) > 0.999


@pytest.mark.parametrize("what", unusable_audio())
def test_unusable_audio_gets_no_number(what: str, metric: EcapaSimilarity) -> None:
    with pytest.raises(CannotScore):
        metric.score(sample(unusable_audio()[what], target="ann", enrolment=("ann-000",)))


def test_enrolment_that_is_not_there_is_a_failure(metric: EcapaSimilarity, corpus: Corpus) -> None:
    with pytest.raises(CannotScore, match="enrolment"):
        metric.score(sample(corpus["ann-000"].waveform, target="ann", enrolment=("bob-000",)))


def test_a_worker_scores_the_same_and_loading_there_leaves_the_rest_of_torch_alone(
    metric: EcapaSimilarity, corpus: Corpus, weights: Path, repository: Path
) -> None:
    spoken = sample(corpus["ann-000"].waveform, target="ann", enrolment=("ann-001",))
    expected = metric.score(spoken)
    sent = pickle.dumps(metric)
    assert len(sent) < 200_000  # embeddings, and no network
    ecapa_similarity._encoder.cache_clear()
    state = torch.get_rng_state()
    assert pickle.loads(sent).score(spoken) == expected
    assert torch.equal(torch.get_rng_state(), state)
    # Speechbrain turns TF32 on when it is imported, which here it is already.
    flags = "[torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32]"
    code = f"import pathlib, torch, benchmark.metrics.ecapa_similarity as m\nbefore = {flags}\n"
    code += f"m._encoder(pathlib.Path({str(weights)!r}))\nassert before == {flags}, before"
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_cached_embeddings_are_those_of_the_same_weights(
    weights: Path, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Audio] = []
    embed = EcapaSimilarity.embed

    def counted(self: EcapaSimilarity, audio: Audio) -> Floats:
        calls.append(audio)
        return embed(self, audio)

    monkeypatch.setattr(EcapaSimilarity, "embed", counted)
    moved = shutil.copytree(weights, tmp_path / "moved")
    other = write_weights(tmp_path / "other", seed=1)
    counts, facts = [], []
    for folder in (weights, moved, other):
        ready = EcapaSimilarity(EcapaSimilarity.Config(source=str(folder)))
        ready.prepare(MetricContext(corpus, tmp_path / "cache", ("ann",)))
        counts.append(len(calls))
        facts.append(ready.facts())
    assert counts == [12, 12, 24]
    assert facts[0] == facts[1] != facts[2]


def test_weights_in_hugging_faces_cache_are_found_without_a_network(
    weights: Path, corpus: Corpus, metric: EcapaSimilarity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_network: list[str]
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(BenchmarkError, match=r"not on this machine: fetch them with `python -m benchmark\.metrics\.ecapa_similarity`"):
        EcapaSimilarity().prepare(MetricContext(corpus, tmp_path / "cache", ("ann",)))
    snapshot = tmp_path / f"models--{HUB.replace('/', '--')}" / "snapshots" / REVISION
    shutil.copytree(weights, snapshot)
    found = EcapaSimilarity()
    found.prepare(MetricContext(corpus, tmp_path / "cache", ("ann", "bob")))
    assert found.facts() == metric.facts()
    (snapshot / "classifier.ckpt").unlink()
    with pytest.raises(BenchmarkError, match=r"lack classifier\.ckpt: fetch them again"):
        found.require()
    assert not no_network


def test_damaged_missing_and_incomplete_weights_are_one_sentence(weights: Path, corpus: Corpus, tmp_path: Path) -> None:
    damaged = shutil.copytree(weights, tmp_path / "damaged")
    (damaged / "embedding_model.ckpt").write_bytes((damaged / "embedding_model.ckpt").read_bytes()[:1000])
    (tmp_path / "empty").mkdir()
    for folder, sentence in (("damaged", "can't load"), ("empty", "lack hyperparams.yaml"), ("nowhere", "lack hyperparams.yaml")):
        with pytest.raises(BenchmarkError, match=sentence) as caught:
            EcapaSimilarity(EcapaSimilarity.Config(source=str(tmp_path / folder))).prepare(MetricContext(corpus, tmp_path, ("ann",)))
        assert "\n" not in str(caught.value)


def test_fetching_without_a_network_gives_up_at_once(no_network: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with pytest.raises(BenchmarkError, match="could not be fetched from https://") as caught:
        fetch()
    assert "Name or service not known" in str(caught.value) and len(no_network) == 1
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(BenchmarkError, match="could not be fetched"):
        fetch()
    assert len(no_network) == 1


def test_too_few_utterances_are_refused() -> None:
    with pytest.raises(ValueError, match="utterances must be at least 2, not 1"):
        EcapaSimilarity.Config(utterances=1)


CHEAT = '''
"""Conditions on the encoder that also ranks."""
from benchmark.algorithm import Algorithm

class Cheat(Algorithm):
    """Cheats."""
    conditions_on = "ecapa"
    def adapt(self, support, steps):
        yield from ()
    def adapted_parameters(self):
        return {}

PLUGIN = Cheat
'''


def test_it_ranks_an_algorithm_that_trains_such_an_encoder_but_not_one_that_conditions_on_this_one(tmp_path: Path) -> None:
    from benchmark.plugins.registry import load
    from benchmark.settings.config import Plugin

    cheat = tmp_path / "cheat.py"
    cheat.write_text(CHEAT)

    def settings(algorithm: str, config: Any) -> RunSettings:
        ranking = (Plugin("ecapa_similarity", EcapaSimilarity.Config()),)
        dataset = Plugin("espeak", load("dataset", "espeak").Config())
        return RunSettings(algo=Plugin(algorithm, config), dataset=dataset, metrics=ranking)

    check_fit(settings("metric", load("algorithm", "metric").Config(encoder="ecapa")), ())
    with pytest.raises(BenchmarkError, match="conditions on the encoder ecapa, and ecapa_similarity ranks with the same one"):
        check_fit(settings("cheat", None), (str(cheat),))


@pytest.mark.usefixtures("in_this_process")
def test_a_run_scores_with_it_and_is_refused_before_it_begins_without_its_weights(
    weights: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    command = ["run", "--algo", "mean_speaker", "--dataset", "espeak", "--preset", "smoke", "--fast-dev-run", "--workers", "1"]
    command += ["--metrics", "stoi,ecapa_similarity", "--cache", str(cache), "--output", str(tmp_path / "runs")]
    assert main(command) == 1
    assert "fetch them with" in capsys.readouterr().err
    assert not [path for path in (tmp_path / "runs").glob("*") if path.is_dir()]

    assert main([*command, "--metrics.ecapa_similarity.source", str(weights)]) == 0
    capsys.readouterr()
    (folder,) = (path for path in (tmp_path / "runs").iterdir() if path.is_dir())
    assert {"ecapa_same", "ecapa_different", "ecapa_eer_real"} <= json.loads((folder / "result.json").read_text())["facts"].keys()
    with (folder / "episodes.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert rows and all(float(row["ecapa_similarity"]) and float(row["ecapa_gap_closed"]) for row in rows)
    assert all(len(json.loads(row["trials"])["ecapa_eer"]) > 1 for row in rows)

    assert main(["leaderboard", "show", str(tmp_path / "runs" / "espeak.csv"), "--metrics", "all"]) == 0
    printed = capsys.readouterr().out
    for column in ("ecapa_similarity ↑", "ecapa_gap_closed ↑", "ecapa_eer ↓"):
        assert column in printed
    assert main(["leaderboard", "verify", str(tmp_path / "runs" / "espeak.csv")]) == 0
    assert main(["report", str(folder), "--output", str(tmp_path / "runs")]) == 0
    assert "ecapa_gap_closed" in (tmp_path / "runs" / "report.html").read_text()
