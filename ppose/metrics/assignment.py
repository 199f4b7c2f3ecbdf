"""Optimal assignment: pairs with the least total cost."""

import lap
import numpy as np

_DEAR = 1e9


def assign(costs: np.ndarray, limit: float = np.inf) -> np.ndarray:
    """Rows and columns (P, 2) of the pairs of costs (M, N) with the least sum.

    An unpaired row and column together cost ``limit``, so no pair costs more; without a limit all of the
    smaller side are paired. NaN costs 1e9. Uses the algorithm of Jonker and Volgenant (Computing 1987) in the
    package lap.

    >>> assign(np.array([[1.0, 2.0], [0.0, 4.0], [9.0, 9.0]])).tolist()
    [[0, 1], [1, 0]]
    """
    if not costs.size:
        return np.zeros((0, 2), np.int64)
    numbers = np.nan_to_num(np.asarray(costs, np.float64), nan=_DEAR, posinf=_DEAR, neginf=-_DEAR)
    _, columns, _ = lap.lapjv(np.ascontiguousarray(numbers), extend_cost=True, cost_limit=limit)
    rows = np.flatnonzero(columns >= 0)
    return np.stack([rows, columns[rows]], axis=1)
