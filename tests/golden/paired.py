#!/usr/bin/env python3
"""Golden numbers of core/src/analysis/paired.rs, from SciPy in float64.

    python tests/golden/paired.py

writes ``paired.json`` beside itself. Needs numpy and scipy. ``tests/report/ttest.rs`` reads the
inputs from the JSON too.

Keys
====

pairs   a list of ``base``, ``other`` -> ``mean``, ``error`` (scipy.stats.sem) of other - base,
        ``t`` and ``p`` (scipy.stats.ttest_rel), ``below``, ``above``, ``sign_p``
        (scipy.stats.binomtest, two-sided, of the differences that are not 0)
signs   a list of ``below``, ``above`` -> ``p`` (scipy.stats.binomtest)
"""

import json
from pathlib import Path

import numpy as np
from scipy import stats

RNG = np.random.default_rng(1946)


def sign_p(below, above):
    return float(stats.binomtest(int(above), int(below + above), 0.5).pvalue)


def pairs(base, other):
    difference = other - base
    t, p = stats.ttest_rel(other, base)
    below, above = int((difference < 0).sum()), int((difference > 0).sum())
    return dict(
        base=base.tolist(),
        other=other.tolist(),
        mean=float(difference.mean()),
        error=float(stats.sem(difference)),
        t=float(t),
        p=float(p),
        below=below,
        above=above,
        sign_p=sign_p(below, above),
    )


def samples():
    for n, effect in [(2, 0.5), (3, 0.1), (5, 0.0), (10, -0.3), (40, 0.05), (300, 0.01)]:
        base = RNG.normal(1.0, 0.2, n)
        yield pairs(base, base + effect + RNG.normal(0, 0.1, n))
    # Some pairs are equal: the sign test leaves them out, the t test does not.
    base = RNG.normal(0.0, 1.0, 12)
    other = base.copy()
    other[::3] += 0.25
    other[1] -= 0.5
    yield pairs(base, other)


def main():
    signs = [(0, 1), (1, 1), (0, 5), (1, 9), (3, 17), (40, 60), (499, 501), (900, 1100), (1000, 1200)]
    out = dict(
        pairs=list(samples()),
        signs=[dict(below=a, above=b, p=sign_p(a, b)) for a, b in signs],
    )
    path = Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()
