"""The phoneme recogniser: it learns, gives the same weights after an interruption, and refuses a damaged checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torchaudio.functional import edit_distance

from benchmark.scoring import recogniser
from benchmark.scoring.recogniser import STRIDE, Example, Recogniser, TrainingPlan, augment, normalise, train, transcribe

SIZES = {"n_mels": 80, "phones": 3, "channels": 32, "blocks": 2, "hidden": 24}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def examples(count: int, seed: int = 0, aligned: bool = True) -> list[Example]:
    """Three "phones", each a band of its own, with silence around and between some of them."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        phones = [int(p) for p in rng.integers(0, 3, 6)]
        mel, labels = [rng.normal(-8, 0.5, (8, 80))], [np.zeros(8, np.int64)]
        for phone in phones:
            frames = int(rng.integers(8, 14))
            piece = rng.normal(-8, 0.5, (frames, 80))
            piece[:, 10 + 20 * phone : 30 + 20 * phone] += 6.0
            mel += [piece, rng.normal(-8, 0.5, (4, 80))]
            labels += [np.full(frames, phone + 1), np.zeros(4, np.int64)]
        known = np.concatenate(labels) if aligned else None
        made.append(Example(np.concatenate(mel).astype(np.float32), tuple(phones), known))
    return made


def same_weights(a: Recogniser, b: Recogniser) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_it_learns_to_write_down_what_it_hears(tmp_path: Path) -> None:
    model = train(SIZES, examples(64), TrainingPlan(epochs=25, batch=8, learning_rate=5e-3), tmp_path / "c")
    unseen = examples(20, seed=1)
    heard = [transcribe(model, torch.from_numpy(e.mel)) for e in unseen]
    wrong = sum(edit_distance(h, list(e.phones)) for h, e in zip(heard, unseen, strict=True))
    assert wrong / sum(len(e.phones) for e in unseen) < 0.1
    louder = [transcribe(model, torch.from_numpy(e.mel) + 2.5) for e in unseen]
    assert louder == heard, "the level of the audio must not matter"


def test_an_interrupted_training_ends_with_the_weights_of_an_undisturbed_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = TrainingPlan(epochs=4, batch=4)
    undisturbed = train(SIZES, examples(16), training, tmp_path / "a")
    monkeypatch.setattr(recogniser, "CHECKPOINT_SECONDS", 0.0)

    def interrupt(step: int, steps: int, loss: float) -> None:
        if step == 10:
            raise KeyboardInterrupt

    checkpoint = tmp_path / "b"
    with pytest.raises(KeyboardInterrupt):
        train(SIZES, examples(16), training, checkpoint, interrupt)
    assert checkpoint.is_file()
    seen: list[int] = []
    resumed = train(SIZES, examples(16), training, checkpoint, lambda step, steps, loss: seen.append(step))
    assert seen == list(range(9, 17)), "it goes on from the last whole epoch"
    assert same_weights(undisturbed, resumed)


def test_the_seed_decides_and_the_callers_randomness_is_left_alone(tmp_path: Path) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, second, other = (train(SIZES, examples(8), TrainingPlan(epochs=1, batch=4, seed=seed), tmp_path / "c") for seed in (1, 1, 2))
    assert same_weights(first, second)
    assert not same_weights(first, other)
    assert torch.equal(before, torch.get_rng_state())


def test_it_trains_without_an_alignment(tmp_path: Path) -> None:
    losses: list[float] = []
    train(SIZES, examples(32, aligned=False), TrainingPlan(epochs=8, batch=8), tmp_path / "c", lambda *a: losses.append(a[2]))
    assert np.mean(losses[-4:]) < 0.8 * np.mean(losses[:4])


def test_a_damaged_checkpoint_is_not_used(tmp_path: Path) -> None:
    checkpoint = tmp_path / "c"
    training = TrainingPlan(epochs=1, batch=4)
    undisturbed = train(SIZES, examples(4), training, checkpoint)
    checkpoint.write_bytes(b"not a checkpoint")
    assert same_weights(undisturbed, train(SIZES, examples(4), training, checkpoint))


def test_no_more_steps_than_allowed() -> None:
    assert TrainingPlan(epochs=3, batch=8).steps(20) == 9
    assert TrainingPlan(epochs=3, batch=8, max_steps=5).steps(20) == 5


def test_padding_does_not_change_what_is_heard() -> None:
    torch.manual_seed(0)
    model = Recogniser(**SIZES).eval()
    short, long = (normalise(torch.from_numpy(e.mel)) for e in examples(2))
    short = short[:40]
    batch = torch.nn.utils.rnn.pad_sequence([short, long], batch_first=True)
    together, _, lengths = model(batch, torch.tensor([len(short), len(long)]))
    alone, _, _ = model(short[None], torch.tensor([len(short)]))
    assert lengths.tolist() == [-(-40 // STRIDE), -(-len(long) // STRIDE)]
    torch.testing.assert_close(together[0, : lengths[0]], alone[0], atol=1e-5, rtol=1e-4)


def test_augmentation_keeps_labels_on_their_frames() -> None:
    example = examples(1)[0]
    generator = torch.Generator().manual_seed(0)
    lengths = set()
    for _ in range(20):
        mel, labels = augment(normalise(torch.from_numpy(example.mel)), torch.from_numpy(example.labels), generator)
        assert labels is not None
        assert mel.shape == (len(labels), 80)
        assert torch.isfinite(mel).all()
        lengths.add(len(mel))
        silent, spoken = mel[labels == 0], mel[labels == 2]
        assert spoken[:, 34:46].mean() > silent[:, 34:46].mean()
    assert len(lengths) > 5
