"""The embedding space of an algorithm that embeds speech: how well it separates held-out targets, and a picture of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from benchmark.batch import Batch, collate
from benchmark.data.corpus import Corpus
from benchmark.plumbing.files import write_atomic, write_text
from benchmark.scoring.verification import Floats, equal_error_rate, verification_trials

BATCH = 16


Embed = Callable[[Batch], Tensor]
"""One embedding per utterance, shape (B, D)."""


def embedding_space(embed: Embed, corpus: Corpus, targets: Sequence[str], folder: Path) -> dict[str, float]:
    """Embed all real utterances of held-out targets; write ``embedding.csv`` and, if matplotlib is installed, ``embedding.png``.

    Args:
        embed: a trained algorithm's method.
        corpus: the prepared corpus.
        targets: of the scored split.
        folder: the run's folder.

    Returns:
        "embedding_eer", the equal error rate (0 … 1) of verifying each utterance against its target's centroid
        (leave one out) and the other targets'; nothing if fewer than two targets have two utterances.
    """
    names = {target: corpus.utterances_of(target) for target in targets}
    embeddings = {target: embed_all(embed, corpus, own) for target, own in names.items()}
    points, share = project(np.concatenate(list(embeddings.values())))
    owners = [(target, name) for target, own in names.items() for name in own]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["speaker", "utterance", "x", "y"])
    writer.writerows([*owner, f"{x:.6f}", f"{y:.6f}"] for owner, (x, y) in zip(owners, points, strict=True))
    write_text(folder / "embedding.csv", buffer.getvalue())
    several = {target: e for target, e in embeddings.items() if len(e) >= 2}
    eer = equal_error_rate(*verification_trials(several)) if len(several) >= 2 else None
    _draw(points, [target for target, _ in owners], share, eer, folder / "embedding.png")
    return {} if eer is None else {"embedding_eer": eer}


def embed_all(embed: Embed, corpus: Corpus, utterances: Sequence[str]) -> Floats:
    """Embeddings of length 1, shape (utterances, D)."""
    rows = []
    with torch.no_grad():
        for start in range(0, len(utterances), BATCH):
            batch = collate(corpus.many(utterances[start : start + BATCH]), corpus.statistics, {})
            rows.append(torch.nn.functional.normalize(embed(batch), dim=1).cpu().float().numpy())
    return np.concatenate(rows)


def project(embeddings: Floats) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The first two principal components, shape (N, 2), and the share of the variance that each holds, shape (2,).

    Unlike t-SNE, they keep the meaning of distances and give the same picture every time.
    """
    centred = np.float64(embeddings) - np.float64(embeddings).mean(0)
    left, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    # An axis may point either way; make its largest entry positive.
    signs = np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(1)])
    points, share = np.zeros((len(centred), 2)), np.zeros(2)
    kept = min(2, len(sizes))
    points[:, :kept] = (left * sizes * signs)[:, :kept]
    share[:kept] = (np.square(sizes) / max(float(np.square(sizes).sum()), 1e-30))[:kept]
    return points, share


def _draw(points: npt.NDArray[np.float64], owners: Sequence[str], share: npt.NDArray[np.float64], eer: float | None, path: Path) -> None:
    try:
        from matplotlib import colormaps
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        print(f"{path} was not drawn: pip install -e '.[plots]' and run again. The points are in embedding.csv.")
        return
    figure = Figure(figsize=(7, 5.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    colours: Mapping[str, object] = {o: colormaps["tab20"](i % 20) for i, o in enumerate(dict.fromkeys(owners))}
    for number, (target, colour) in enumerate(colours.items()):
        own = np.array([owner == target for owner in owners])
        axes.scatter(points[own, 0], points[own, 1], s=14, color=colour, marker="o^sD"[number // 20 % 4], label=target)  # type: ignore[arg-type]
    axes.set(xlabel=f"first component ({share[0]:.0%} of variance)", ylabel=f"second component ({share[1]:.0%})")
    axes.set_title("Embeddings of held-out targets' utterances" + (f", EER {eer:.1%}" if eer is not None else ""))
    axes.legend(fontsize="x-small", markerscale=0.9, loc="center left", bbox_to_anchor=(1, 0.5))
    write_atomic(path, partial(figure.savefig, format="png", dpi=120))
