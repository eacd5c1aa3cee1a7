#!/usr/bin/env python3
"""Golden numbers of the statistics in core/src/analysis, from NumPy and SciPy in float64.

    python tests/golden/analysis.py

writes ``analysis.json`` beside itself. Needs numpy and scipy, and a few seconds. It
shares no code with the Rust program; ``tests/report/analysis.rs`` reads the inputs from the
JSON too, so that no random numbers have to agree. NaN is null.

Keys
====

help            ``steps``, ``helped`` [600] -> ``bins`` [50], by numpy.histogram of
                100 helped / steps over 0..100
sample          values [800], Student's t with 3 degrees of freedom times 1e-6, and zeros
tails           of the sample's values that are not 0: ``kurtosis`` by scipy.stats.kurtosis;
                ``hill`` from the ``k`` = ceil(sqrt(n)) largest magnitudes
octaves         of the sample: ``counts`` [84] by numpy.histogram (whose
                bins are closed below; none of the values is on an edge);
                ``tail_index``, the maximum of the likelihood of
                the tail's octaves, found numerically; ``kurtosis``, with the density's
                powers integrated numerically
concentration   ``totals`` [500] -> for ``helping`` and ``hurting`` the count, total, Gini
                coefficient (half the relative mean difference of all pairs), share of the
                top 1 %, and share of those that give 90 %
oscillation     ``series`` [400] a noisy wave of ``planted`` steps; ``gaps`` the same with
                some null; crossings, turns; ``autocorrelation`` of both, to lag 60, by
                scipy.signal.correlate; ``period`` of the series, and ``drifting`` of
                the series less 6 exp(-t / 30), by scipy.stats.rankdata and norm.ppf,
                scipy.signal.detrend, numpy.fft and numpy.polyfit: its ``steps``, the
                autocorrelation there (``strength``), and ``p`` under red noise
lag             ``x``, ``y`` [150] -> ``correlations`` [21] by scipy.stats.pearsonr, ``best``
moments         ``rows`` [300][5] -> ``deepest`` [5][20] by scipy.signal.argrelextrema,
                ``pairs``; ``jitter`` and ``circular``: mean and standard deviation of the
                pairs over 20,000 draws of NumPy's generator
events          ``losses`` [400] -> ``spikes``, by the median and
                scipy.stats.median_abs_deviation of the 64 changes before each step, and by the
                largest change while fewer than 16 are known; ``early`` [40] -> ``early_spikes``
"""

import json
import math
from pathlib import Path

import numpy as np
from scipy import integrate, optimize, signal, stats

RNG = np.random.default_rng(20191)
DRAWS = 20_000


def plain(x):
    """For JSON: lists, and null for NaN."""
    if isinstance(x, dict):
        return {key: plain(value) for key, value in x.items()}
    if isinstance(x, (list, tuple, np.ndarray)):
        return [plain(value) for value in x]
    if isinstance(x, (bool, int, np.integer)):
        return int(x)
    return None if math.isnan(x) else float(x)


def of_help():
    steps = 640
    helped = RNG.binomial(steps, RNG.beta(3, 3, 600))
    helped[:4] = [0, steps, steps // 2, 1]
    bins, _ = np.histogram(100 * helped / steps, bins=50, range=(0, 100))
    return dict(steps=steps, helped=helped, bins=bins)


def of_tails(sample):
    x = sample[sample != 0]
    k = math.ceil(math.sqrt(len(x)))
    largest = np.sort(np.abs(x))[::-1]
    hill = 1 / np.mean(np.log(largest[:k] / largest[k]))
    return dict(kurtosis=stats.kurtosis(x), k=k, hill=hill)


def octave_moment(k, slope):
    """The mean of x^k between 1 and 2 where the density goes like x^(slope - 1)."""
    top, _ = integrate.quad(lambda x: x ** (k + slope - 1), 1, 2, epsabs=0, epsrel=1e-13)
    all_, _ = integrate.quad(lambda x: x ** (slope - 1), 1, 2, epsabs=0, epsrel=1e-13)
    return top / all_


def of_octaves(sample):
    above = 2.0 ** np.arange(-40, 1)
    edges = np.concatenate([[-np.inf], -above[::-1], [0], above, [np.inf]])
    x = sample[sample != 0]
    counts, _ = np.histogram(x, edges)

    # [42] from zero outwards.
    below, above_zero = counts[41::-1], counts[42:]
    both = below + above_zero
    wanted, lowest = math.ceil(math.sqrt(len(x))), 41
    while both[lowest:].sum() < wanted or np.count_nonzero(both[lowest:]) < 2 or both[lowest] == 0:
        lowest -= 1
    tail = both[lowest:]
    m = np.arange(len(tail))

    def minus_log_likelihood(alpha):
        # Share of octave m of all above the lowest edge: (1 - 2^-a) 2^(-a m).
        return -np.sum(tail * (np.log1p(-(2.0**-alpha)) - alpha * m * np.log(2)))

    best = optimize.minimize_scalar(
        minus_log_likelihood, bounds=(0.05, 20), method="bounded", options=dict(xatol=1e-10)
    )

    raw = np.zeros(5)
    for side, sign in ((below, -1.0), (above_zero, 1.0)):
        padded = np.concatenate([[0], side, [0]])
        for j in np.flatnonzero(side):
            assert j > 0, "no value is that small"
            slope = 0.5 * np.log2((padded[j + 2] + 0.5) / (padded[j] + 0.5))
            slope = np.clip(slope, -8, 8)
            lower = 2.0 ** (j - 41) * 1e6
            for k in range(5):
                raw[k] += side[j] * (sign * lower) ** k * octave_moment(k, slope)
    mean, second, third, fourth = raw[1:] / raw[0]
    variance = second - mean**2
    central = fourth - 4 * mean * third + 6 * mean**2 * second - 3 * mean**4
    return dict(
        counts=counts,
        tail_index=best.x,
        kurtosis=central / variance**2 - 3,
    )


def of_concentration():
    totals = RNG.standard_t(2, 500) * 1e-3 - 2e-4
    totals[::50] = 0

    def side(x):
        x = np.sort(x)[::-1]
        gini = np.abs(x[:, None] - x[None, :]).mean() / (2 * x.mean())
        share = np.cumsum(x) / x.sum()
        top = x[: math.ceil(len(x) / 100)].sum() / x.sum()
        ninety = (np.argmax(share >= 0.9) + 1) / len(x)
        return dict(count=len(x), total=x.sum(), gini=gini, top=top, ninety=ninety)

    return dict(
        totals=totals, helping=side(-totals[totals < 0]), hurting=side(totals[totals > 0])
    )


def period_of(x):
    """The strongest period of a series, tested against red noise (core/src/analysis/period.rs)."""
    n = len(x)
    scores = signal.detrend(stats.norm.ppf((stats.rankdata(x) - 0.375) / (n + 0.25)))
    y = scores - scores.mean()
    r = signal.correlate(y, y, mode="full", method="direct")[n - 1 :] / (y @ y)
    phi = np.clip(r[1], 0, 0.999)
    padded = 1 << (4 * n - 1).bit_length()
    power = np.abs(np.fft.rfft(scores * signal.windows.hann(n, sym=False), padded)) ** 2
    f = np.arange(len(power)) / padded
    searched = f >= 3 / n
    f, z = f[searched], (power * (1 - 2 * phi * np.cos(2 * np.pi * f) + phi**2))[searched]
    peak = np.argmax(z)
    # In bins around the peak, for the fit's conditioning.
    a, b, _ = np.polyfit([-1, 0, 1], z[peak - 1 : peak + 2], 2)
    steps = 1 / (f[peak] - b / (2 * a) / padded)
    p = -np.expm1(n * np.log1p(-np.exp(-z[peak] * np.log(2) / np.median(z))))
    return dict(steps=steps, strength=r[round(steps)], p=p)


def of_oscillation():
    n, lags, planted = 400, 60, 13.05
    x = np.sin(2 * np.pi * np.arange(n) / planted) + 0.5 * RNG.standard_normal(n) + 0.3
    gaps = x.copy()
    gaps[RNG.choice(n, 30, replace=False)] = np.nan

    def r(x):
        y = np.nan_to_num(x - np.nanmean(x))
        full = signal.correlate(y, y, mode="full", method="direct")
        return full[n - 1 : n + lags] / full[n - 1]

    d = np.diff(x)
    return dict(
        planted=planted,
        series=x,
        gaps=gaps,
        crossings=np.count_nonzero(x[:-1] * x[1:] < 0),
        turns=np.count_nonzero(d[:-1] * d[1:] < 0),
        autocorrelation=r(x),
        autocorrelation_gaps=r(gaps),
        period=period_of(x),
        drifting=period_of(x - 6 * np.exp(-np.arange(n) / 30)),
    )


def of_lag():
    n = 150
    x = signal.lfilter([1], [1, -0.6], RNG.standard_normal(n))
    y = np.concatenate([np.zeros(4), x[:-4]]) + 0.7 * RNG.standard_normal(n)
    x[RNG.choice(n, 6, replace=False)] = np.nan

    def at(k):
        a, b = (x[: n - k], y[k:]) if k >= 0 else (x[-k:], y[: n + k])
        both = ~np.isnan(a)
        return stats.pearsonr(a[both], b[both]).statistic

    correlations = [at(k) for k in range(-10, 11)]
    return dict(x=x, y=y, correlations=correlations, best=int(np.argmax(correlations)) - 10)


def pairs_of(steps, layers, size):
    """Moments whose step another layer has too, of [n] steps and their layers."""
    present = np.zeros((layers.max() + 1, size), bool)
    present[layers, steps] = True
    return np.count_nonzero(present.sum(0)[steps] > 1)


def deepest_of(rows):
    """For each column the 20 deepest of its minima, and all of them as steps and layers."""
    deepest = []
    for column in rows.T:
        (at,) = signal.argrelextrema(column, np.less)
        deepest.append(np.sort(at[np.argsort(column[at], kind="stable")][:20]))
    layers = np.repeat(np.arange(len(deepest)), [len(d) for d in deepest])
    return deepest, np.concatenate(deepest), layers


def by_chance(steps, layers, n, rng):
    """Mean and standard deviation of the pairs when moments are moved at random."""

    def jitter():
        moved = steps + rng.choice([-2, -1, 1, 2], len(steps))
        # Those that would leave the run are drawn anew by themselves.
        while (out := (moved < 0) | (moved >= n)).any():
            moved[out] = steps[out] + rng.choice([-2, -1, 1, 2], out.sum())
        return moved

    def circular():
        return (steps + rng.integers(0, n, layers.max() + 1)[layers]) % n

    def null(draw):
        counts = [pairs_of(draw(), layers, n) for _ in range(DRAWS)]
        return dict(mean=np.mean(counts), deviation=np.std(counts))

    return dict(jitter=null(jitter), circular=null(circular))


def of_moments():
    n, width = 300, 5
    rows = RNG.standard_normal((n, width)) * 1e-3
    rows[7::15] -= 5e-4 * RNG.random((len(rows[7::15]), width))
    deepest, steps, layers = deepest_of(rows)
    return dict(
        rows=rows,
        deepest=deepest,
        pairs=pairs_of(steps, layers, n),
        draws=DRAWS,
        **by_chance(steps, layers, n, RNG),
    )


def spikes_of(losses):
    d = np.diff(losses)
    spikes = []
    for t in range(len(d)):
        window = d[max(0, t - 64) : t]
        if t < 16:
            usual = 2 * np.abs(window).max(initial=0)
            far = d[t] > usual and d[t] > losses[t] / 10
        else:
            usual = 12 * stats.median_abs_deviation(window) * 1.4826
            far = d[t] - np.median(window) > usual and d[t] > losses[t] / 100
        if far:
            spikes.append(t)
    return spikes


def of_events():
    n = 400
    losses = 2 * np.exp(-np.arange(n) / 150) + 0.2 + 0.01 * RNG.standard_normal(n)
    losses[[90, 200, 201, 350]] += [0.6, 0.8, 0.7, 0.12]
    early = 2 + 0.1 * np.cos(np.arange(40)) - 0.02 * np.arange(40)
    early[[7, 8]] += [2.5, 1.0]
    return dict(
        losses=losses, spikes=spikes_of(losses), early=early, early_spikes=spikes_of(early)
    )


def main():
    sample = RNG.standard_t(3, 800) * 1e-6
    sample[::40] = 0
    golden = plain(
        dict(
            help=of_help(),
            sample=sample,
            tails=of_tails(sample),
            octaves=of_octaves(sample),
            concentration=of_concentration(),
            oscillation=of_oscillation(),
            lag=of_lag(),
            moments=of_moments(),
            events=of_events(),
        )
    )
    path = Path(__file__).with_suffix(".json")
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in golden.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
