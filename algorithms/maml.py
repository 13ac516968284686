"""MAML: learn an initialisation from which a few gradient steps on a new speaker go furthest."""

from __future__ import annotations

from benchmark.learning.outer_loop import InnerLoopAlgorithm


class MAML(InnerLoopAlgorithm):
    """Finn, Abbeel & Levine, "Model-Agnostic Meta-Learning" (ICML 2017), equation 1; FOMAML with ``first_order``.

    Inner loop: theta_k = theta_(k-1) - inner_lr * grad L_support(theta_(k-1)), on the chosen groups. Outer gradient:
    d L_query(theta_K) / d theta, through the inner loop (second order) or taking its Jacobian as the identity.
    """


PLUGIN = MAML
