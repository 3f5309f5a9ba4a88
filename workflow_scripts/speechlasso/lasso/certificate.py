r"""Duality gaps: how far from optimal given lasso coefficients can be, proved from them alone.

The primal objective of coefficients W and intercepts b is

    P(W, b) = sum_i w_i loss_i(x_i W + b) + alpha ||W||_1.

Its Fenchel dual, over residuals theta_i = w_i (q_i - e_{y_i}) with q_i a point of the probability
simplex and e_{y_i} the vertex of the row's class, is

    D(theta) = sum_i w_i entropy(q_i),   subject to  |X^T theta| <= alpha  in every entry
                                         and         sum_i theta_i = 0     for every class,

the last because intercepts are free. Any feasible theta gives D(theta) <= min P, so P - D bounds
the suboptimality of (W, b). The residuals of the model itself, q_i its probabilities, meet neither
constraint before the optimum. Both are repaired by moving q_i towards e_{y_i}, which stays in the
simplex:

1. the residuals of class c are scaled by s_c in [0, 1]. Write flow[c, k] for the weighted
   probability that rows of class c give to class k. The sums over rows vanish exactly when
   s_c sum_k flow[c, k] = sum_k s_k flow[k, c] for every c, that is when s is a stationary measure
   of the Markov chain with rates `flow`: it exists and is positive whatever W and b are, and is
   constant once the intercepts are optimal for W;
2. all residuals are scaled by min(1, alpha / max |X^T theta|).

Fenchel dual and rescaling: Ndiaye et al., "Gap Safe Screening Rules for Sparsity Enforcing
Penalties", JMLR 18 (2017), which has no free intercepts. Stationary measure without subtractions:
Grassmann, Taksar and Heyman, Operations Research 33 (1985).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import xlog1py, xlogy

from speechlasso.lasso.problem import LogisticProblem


@dataclass(frozen=True)
class Certificate:
    """Objective reached and a proved lower bound of the least one."""

    primal: float
    dual: float

    @property
    def relative_gap(self) -> float:
        """(primal - dual) / primal, in [0, 1]: no coefficients lower the objective by more."""
        return max(self.primal - self.dual, 0.0) / max(self.primal, np.finfo(float).tiny)


class DualDirection:
    """Residuals of an iterate, balanced to sum to zero: a dual point for any alpha, up to scale.

    Parameters
    ----------
    problem
        Rows, labels and weights.
    log_probabilities
        Of the classes under the iterate, (K, n_rows).
    """

    def __init__(self, problem: LogisticProblem, log_probabilities: np.ndarray) -> None:
        self.problem = problem
        to_others = np.exp(log_probabilities) * (1.0 - problem.indicators)
        flow = np.stack(
            [
                np.bincount(problem.labels, problem.weights * mass, minlength=problem.n_classes)
                for mass in to_others
            ],
            axis=1,
        )
        self._to_others = to_others * stationary_measure(flow)[problem.labels]
        residual = self._to_others - problem.indicators * self._to_others.sum(axis=0)
        self.gradient = problem.gradient(problem.weights * residual)
        """X^T theta, (n_features, V)."""
        self.steepness = np.abs(self.gradient).max(axis=1)
        """Largest entry over the vectors of |X^T theta|, (n_features,)."""

    def dual(self, alpha: float) -> float:
        """Dual objective after scaling into the feasible set of `alpha`."""
        steepest = self.steepness.max()
        to_others = self._to_others * (1.0 if steepest <= alpha else alpha / steepest)
        leaving = np.minimum(to_others.sum(axis=0), 1.0)
        entropy = -xlogy(to_others, to_others).sum(axis=0) - xlog1py(1.0 - leaving, -leaving)
        return float((self.problem.weights * entropy).sum())


def stationary_measure(flow: np.ndarray) -> np.ndarray:
    """s >= 0 with largest entry 1 and s_c sum_k flow[c, k] = sum_k s_k flow[k, c], (K,).

    Zeros, which are stationary too, where rates are so small that the measure is not a number.

    Parameters
    ----------
    flow
        Rates between K states, not negative, (K, K); the diagonal is not read.
    """
    flow = flow.copy()
    measure = np.ones(len(flow))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for last in range(len(flow) - 1, 0, -1):
            flow[:last, last] /= flow[last, :last].sum()
            flow[:last, :last] += np.outer(flow[:last, last], flow[last, :last])
        for state in range(1, len(flow)):
            measure[state] = measure[:state] @ flow[:state, state]
        measure /= measure.max()
    return measure if np.isfinite(measure).all() else np.zeros(len(flow))
