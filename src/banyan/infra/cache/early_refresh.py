"""Early refresh: a cached value is made anew shortly before it ends, by one of many who ask for it.

When a popular value ends, all who ask for it find nothing at the same moment. So each of them draws whether to renew
it a little early: the likelier, the nearer the end is and the longer the making takes.
Source: Vattani, Chierichetti, Lowenstein, "Optimal Probabilistic Cache Stampede Prevention", VLDB 2015 (XFetch).
"""

import math
import random
from collections.abc import Callable

# 1 is the optimum of the paper; more renews earlier.
EAGERNESS = 1.0


def is_due(left_seconds: float, took_seconds: float, chance: Callable[[], float] = random.random) -> bool:
    """Whether this caller renews it. left: until it ends. took: what making it cost last time. chance: in [0, 1)."""
    return -took_seconds * EAGERNESS * math.log(1.0 - chance()) >= left_seconds
