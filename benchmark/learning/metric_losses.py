"""Metric-learning losses over embeddings of a few utterances of a few speakers.

All take embeddings of shape (N, D) and speaker labels of shape (N,), int64, in any order, and return a scalar. With only
one speaker there is nobody to tell apart, and a loss is 0 (or keeps only its attraction).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def contrastive(embeddings: Tensor, labels: Tensor, margin: float = 1.0) -> Tensor:
    """Siamese pairs: Hadsell, Chopra & LeCun, "Dimensionality Reduction by Learning an Invariant Mapping" (CVPR 2006), eq. 4.

    With Euclidean distance d, ½ d² for a pair by one speaker and ½ max(0, margin − d)² for a pair by two. Each kind is
    averaged first, then the two means, because pairs by two speakers are far more frequent.
    """
    same = _same(labels)
    upper = torch.ones_like(same).triu(1)
    squared = squared_distances(embeddings)
    # The root's slope is infinite at 0.
    push = (margin - squared.clamp_min(1e-12).sqrt()).clamp_min(0).square()
    return 0.25 * (_mean(squared, same & upper) + _mean(push, ~same & upper))


def semi_hard_triplets(embeddings: Tensor, labels: Tensor, margin: float) -> Tensor:
    """(M, 3) indices of anchor, positive and negative; M may be 0.

    For each anchor and positive, takes the nearest negative that is further than the positive but within the margin:
    d²(a, p) < d²(a, n) < d²(a, p) + margin. Pairs without one are left out.
    """
    with torch.no_grad():
        squared, same = squared_distances(embeddings), _same(labels)
        positive = same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        gap = squared.unsqueeze(1) - squared.unsqueeze(2)  # [a, p, n]: d²(a, n) − d²(a, p)
        allowed = positive.unsqueeze(2) & ~same.unsqueeze(1) & (gap > 0) & (gap < margin)
        nearest = gap.masked_fill(~allowed, torch.inf).argmin(2)
        anchor, other = allowed.any(2).nonzero(as_tuple=True)
        return torch.stack([anchor, other, nearest[anchor, other]], dim=1)


def triplet(embeddings: Tensor, labels: Tensor, margin: float = 0.2) -> Tensor:
    """Schroff, Kalenichenko & Philbin, "FaceNet" (CVPR 2015), eq. 2 and 4, over the semi-hard triplets of the batch.

    The mean of max(0, d²(a, p) − d²(a, n) + margin), with embeddings normalised to length 1; 0 if there is no such triplet.
    """
    unit = F.normalize(embeddings, dim=1)
    anchor, positive, negative = semi_hard_triplets(unit, labels, margin).unbind(1)
    squared = squared_distances(unit)
    losses = (squared[anchor, positive] - squared[anchor, negative] + margin).clamp_min(0)
    return losses.sum() / max(1, len(losses))


def prototypical(support: Tensor, support_labels: Tensor, query: Tensor, query_labels: Tensor) -> Tensor:
    """Snell, Swersky & Zemel, "Prototypical Networks" (NeurIPS 2017), eq. 1 and 2.

    Mean over queries of −ln softmax over speakers k of −‖f(x) − c_k‖², where c_k is the mean of k's support embeddings.
    """
    speakers, index = torch.unique(support_labels, return_inverse=True)
    prototypes = _means(support, index, len(speakers))
    target = torch.searchsorted(speakers, query_labels)
    return F.cross_entropy(-(query.unsqueeze(1) - prototypes).square().sum(2), target)


def ge2e(embeddings: Tensor, labels: Tensor, w: Tensor) -> Tensor:
    """Wan et al., "Generalized End-to-End Loss for Speaker Verification" (ICASSP 2018), eq. 5, 6, 8 and 9 (softmax).

    The similarity of an utterance to a speaker's centroid is S = w cos + b, w > 0; its own speaker's centroid leaves the
    utterance out. The loss is the mean (eq. 10 has the sum) over utterances of −S_own + ln Σ_k exp S_k, in which b cancels.
    Every speaker needs two utterances.
    """
    speakers, index = torch.unique(labels, return_inverse=True)
    unit = F.normalize(embeddings, dim=1)
    counts = torch.bincount(index).to(unit.dtype)[index].unsqueeze(1)
    centroids = _means(unit, index, len(speakers))
    others = (centroids[index] * counts - unit) / (counts - 1)
    own = F.one_hot(index, len(speakers)).bool()
    cosine = torch.where(own, F.cosine_similarity(unit, others).unsqueeze(1), unit @ F.normalize(centroids, dim=1).T)
    return F.cross_entropy(w * cosine, index)


def squared_distances(embeddings: Tensor) -> Tensor:
    """(N, N) squared Euclidean distances."""
    return (embeddings.unsqueeze(1) - embeddings.unsqueeze(0)).square().sum(2)


def _same(labels: Tensor) -> Tensor:
    return labels.unsqueeze(1) == labels.unsqueeze(0)


def _mean(values: Tensor, where: Tensor) -> Tensor:
    return (values * where).sum() / where.sum().clamp_min(1)


def _means(embeddings: Tensor, index: Tensor, count: int) -> Tensor:
    total = embeddings.new_zeros(count, embeddings.shape[1]).index_add(0, index, embeddings)
    return total / torch.bincount(index, minlength=count).clamp_min(1).unsqueeze(1)
