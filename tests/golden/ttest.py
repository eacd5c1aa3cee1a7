#!/usr/bin/env python3
"""Golden numbers of core/src/analysis/ttest.rs, from SciPy in float64.

    python tests/golden/ttest.py

writes ``ttest.json`` beside itself. Needs numpy and scipy. ``tests/report/ttest.rs`` reads the
inputs from the JSON too.

Keys
====

samples     a list of ``values`` -> ``mean``, ``error`` (scipy.stats.sem), ``t`` and ``p``
            (scipy.stats.ttest_1samp against 0, two-sided)
tails       a list of ``t``, ``freedom`` -> ``p`` = 2 scipy.stats.t.sf(|t|, freedom)
"""

import json
from pathlib import Path

import numpy as np
from scipy import stats

RNG = np.random.default_rng(1908)


def sample(values):
    t, p = stats.ttest_1samp(values, 0)
    return dict(
        values=list(map(float, values)),
        mean=float(np.mean(values)),
        error=float(stats.sem(values)),
        t=float(t),
        p=float(p),
    )


def main():
    samples = [
        [-0.31, -0.28, -0.35],
        [1e-7, -2e-7],
        # Large beside its scatter.
        [1000.001, 1000.002, 1000.0015, 1000.0011],
        list(RNG.normal(0.02, 1, 30)),
        list(RNG.normal(-3, 1, 12) * 1e-9),
        list(RNG.standard_t(3, 200)),
    ]
    tails = [
        dict(t=t, freedom=k, p=float(2 * stats.t.sf(abs(t), k)))
        for k in [1, 2, 3, 4, 7, 19, 100, 999]
        for t in [0.0, 0.01, -0.7, 1.0, 2.5, -6.0, 30.0, 400.0]
    ]
    golden = dict(samples=[sample(values) for values in samples], tails=tails)
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in golden.items()]
    Path(__file__).with_suffix(".json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
