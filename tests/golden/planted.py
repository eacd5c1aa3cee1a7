#!/usr/bin/env python3
"""A run that was never trained: signals of known size, written with h5py alone.

    python tests/golden/planted.py

writes ``planted.h5``, a run file after docs/run-format.md, and ``planted.json`` beside
itself. Needs numpy, scipy and h5py, and some seconds. It shares no code with the Rust program;
``tests/report/planted.rs`` has the program read the file and asks for what was put into it.

What is planted
===============

layer ``tail``   2000 parameters whose allocations are of Pareto's distribution, ``tail_index``,
                 and help with probability ``help``
layer ``wave``   20 parameters: -gradient is a wave of ``period`` steps, movement is -gradient
                 ``lag`` steps before. So weights turn and gradients cross zero every
                 half period, and the allocation, their product, has half the period
layers ``first``, ``second``, ``third``
                 noise, and deep moments of learning in the same ``shared`` steps

Keys of the JSON beside these
=============================

helped           % of all parameters and steps, by counting
tail_fit         the shape that scipy.stats.pareto finds in the sizes of ``tail``
wave_period      steps: the strongest period of ``wave``'s allocations, as in ``analysis.py``
wave_lag         steps: of the largest of scipy.stats.pearsonr of -gradient and movement
turns            steps between turns of a weight, zeros of a gradient, turns of a gradient and
                 of an allocation in ``wave``, by counting
pairs            moments of the 20 deepest of each layer (scipy.signal.argrelextrema) that others
                 share; ``jitter`` and ``circular``: mean and standard deviation by chance
gini             of the totals of the parameters that helped, and of those that hurt
"""

import json
from pathlib import Path

import h5py
import numpy as np
from analysis import by_chance, deepest_of, pairs_of, period_of
from scipy import stats

HERE = Path(__file__).resolve().parent
RNG = np.random.default_rng(1909)
T = 600
PLANTED = dict(tail_index=2.5, help=0.52, period=12.5, lag=3)
# Outputs and inputs of the layers, which are linear.
LAYERS = dict(tail=(40, 49), wave=(4, 4), first=(4, 4), second=(4, 4), third=(4, 4))
PARAMS = [out * into + out for out, into in LAYERS.values()]
ENDS = np.cumsum(PARAMS)
STARTS = ENDS - PARAMS
P = int(ENDS[-1])
LAYER_OF = np.repeat(np.arange(len(LAYERS)), PARAMS)


def wave(gradient, delta):
    """Movement follows the slope of ``lag`` steps before."""
    period, lag = PLANTED["period"], PLANTED["lag"]
    t = np.arange(-lag, T + 1)
    minus_g = np.sin(2 * np.pi * (t[:, None] + 0.3) / period)
    minus_g = minus_g + 0.01 * RNG.standard_normal((len(t), PARAMS[1]))
    gradient[:] = -1e-2 * minus_g[lag:]
    delta[:] = 1e-2 * minus_g[: T]


def run():
    """``gradient`` [T + 1, P], ``delta`` and ``a`` [T, P]."""
    gradient = RNG.standard_normal((T + 1, P))
    delta = np.zeros((T, P))
    a = np.zeros((T, P))
    # Pareto's sizes.
    size = 1e-7 * RNG.random((T, PARAMS[0])) ** (-1 / PLANTED["tail_index"])
    helps = RNG.random(size.shape) < PLANTED["help"]
    a[:, : ENDS[0]] = np.where(helps, -size, size)
    one = slice(STARTS[1], ENDS[1])
    wave(gradient[:, one], delta[:, one])
    a[:, one] = gradient[:-1, one] * delta[:, one]
    # Steps far enough apart that none is another's neighbour.
    shared = np.sort(RNG.permutation(np.arange(3, T - 3, 7))[:18])
    for layer in (2, 3, 4):
        own = slice(STARTS[layer], ENDS[layer])
        a[:, own] = 1e-5 * RNG.standard_normal((T, PARAMS[layer]))
        a[shared, own] -= 1e-4 * (1 + RNG.random((len(shared), 1)))
    rest = LAYER_OF != 1
    delta[:, rest] = a[:, rest] / gradient[:-1, rest]
    return gradient, delta, a, shared


def by_layer(values):
    """Sums over the parameters of each layer, [T, L]."""
    return np.add.reduceat(values, STARTS, axis=1)


def opposite(x):
    """Sign changes from one row to the next; none before the first."""
    return np.vstack([np.zeros((1, x.shape[1]), bool), x[:-1] * x[1:] < 0])


def turned(x):
    """Of a series with a row for each step: where it rose and fell, or the other way round."""
    return opposite(np.vstack([np.zeros((1, x.shape[1])), np.diff(x, axis=0)]))


def text(words, size=64):
    return np.array([word.encode() for word in words], dtype=f"S{size}")


def histogram_edges():
    above = 2.0 ** np.arange(-40, 1)
    return np.concatenate([[-np.inf], -above[::-1], [0], above, [np.inf]])


def histograms(a):
    """[T, L, 84]; zeros are in no bin."""
    edges = histogram_edges()
    out = np.zeros((T, len(LAYERS), len(edges) - 1), np.uint32)
    for layer, (start, end) in enumerate(zip(STARTS, ENDS)):
        for t in range(T):
            x = a[t, start:end]
            out[t, layer] = np.histogram(x[x != 0], edges)[0]
    return out


def tensors():
    """Name, kind, layer, offset, size, shape of each."""
    rows = []
    for layer, (name, (out, into)) in enumerate(LAYERS.items()):
        start = int(STARTS[layer])
        rows.append((f"{name}.weight", "weight", layer, start, out * into, [out, into, 0, 0]))
        rows.append((f"{name}.bias", "bias", layer, start + out * into, out, [out, 0, 0, 0]))
    return rows


def units_of(row):
    """The units of a tensor's parameters, counted over all layers."""
    _, _, layer, _, size, shape = row
    first = sum(out for out, _ in list(LAYERS.values())[:layer])
    return first + np.repeat(np.arange(shape[0]), size // shape[0])


def write(path, gradient, delta, a):
    rows = tensors()
    unit_of = np.concatenate([units_of(row) for row in rows])
    units = sum(out for out, _ in LAYERS.values())
    per_unit = np.zeros((T, units))
    for unit in range(units):
        per_unit[:, unit] = a[:, unit_of == unit].sum(axis=1)
    total = by_layer(a).sum(axis=1)
    residual = 1e-6 * RNG.standard_normal(T)
    loss = 3.0 + np.concatenate([[0], np.cumsum(total + residual)])
    norm = lambda x: np.sqrt(by_layer(x**2))
    start, end = gradient[:-1], gradient[1:]
    update_flips, gradient_flips = opposite(delta), start * end < 0
    traced = np.concatenate([STARTS[1] + np.arange(0, 20, 4), [0, 7]])
    theta = np.vstack([np.zeros((1, P)), np.cumsum(delta, axis=0)[:-1]])
    nan = np.full(T + 1, np.nan)
    u64, f32 = np.uint64, np.float32
    steps = np.array([T], u64)
    none = np.zeros(0, u64)
    sizes = np.array([shape[0] for *_, shape in rows[::2]], u64)
    datasets = {
        "layout/layer/name": text(LAYERS),
        "layout/layer/kind": text(["linear"] * len(LAYERS)),
        "layout/layer/units": sizes,
        "layout/layer/params": np.array(PARAMS, u64),
        "layout/tensor/name": text([row[0] for row in rows]),
        "layout/tensor/kind": text([row[1] for row in rows]),
        "layout/tensor/layer": np.array([row[2] for row in rows], u64),
        "layout/tensor/offset": np.array([row[3] for row in rows], u64),
        "layout/tensor/size": np.array([row[4] for row in rows], u64),
        "layout/tensor/shape": np.array([row[5] for row in rows], u64),
        "layout/unit/layer": np.repeat(np.arange(len(LAYERS)), sizes.astype(int)).astype(u64),
        "layout/unit/index": np.concatenate([np.arange(n) for n in sizes]).astype(u64),
        "layout/class/name": text([]),
        "data/train_index": none,
        "data/validation_index": none,
        "data/test_index": none,
        "loss/train": loss,
        "loss/test": nan,
        "loss/validation": nan,
        "loss/train_accuracy": nan,
        "loss/test_accuracy": nan,
        "loss/validation_accuracy": nan,
        "loss/train_class": np.zeros((T + 1, 0)),
        "step/epoch": np.arange(T) / 10,
        "step/batch_loss": loss[:-1],
        "step/learning_rate": np.full(T, 0.1),
        "step/seconds": np.arange(1.0, T + 1),
        "step/gradient_evals": np.full(T, 2, u64),
        "step/segments": np.full(T, 2, u64),
        "lca/total": total,
        "lca/residual": np.diff(loss) - total,
        "lca/layer": by_layer(a),
        "lca/layer_error": np.zeros((T, len(LAYERS))),
        "lca/tensor": np.add.reduceat(a, [row[3] for row in rows], axis=1),
        "lca/unit": per_unit.astype(f32),
        "lca/class_layer": np.zeros((T, 0, len(LAYERS)), f32),
        "lca/helped": by_layer(a < 0).astype(u64),
        "lca/hurt": by_layer(a > 0).astype(u64),
        "lca/histogram": histograms(a),
        "lca/histogram_edges": histogram_edges(),
        "motion/update_norm": norm(delta),
        "motion/gradient_norm": norm(start),
        "motion/cosine": by_layer(-start * delta) / (norm(start) * norm(delta)),
        "motion/update_flips": by_layer(update_flips).astype(u64),
        "motion/gradient_flips": by_layer(gradient_flips).astype(u64),
        "motion/gradient_turns": by_layer(opposite(end - start)).astype(u64),
        "motion/lca_turns": by_layer(turned(a)).astype(u64),
        "param/step": steps,
        "param/lca_sum": a.sum(axis=0)[None],
        "param/helped": (a < 0).sum(axis=0)[None].astype(np.uint32),
        "param/update_flips": update_flips.sum(axis=0)[None].astype(np.uint32),
        "param/gradient_flips": gradient_flips.sum(axis=0)[None].astype(np.uint32),
        "trace/parameter": traced.astype(u64),
        "trace/value": theta[:, traced].astype(f32),
        "trace/gradient": start[:, traced].astype(f32),
        "trace/lca": a[:, traced].astype(f32),
        "state/status": np.array([1], np.uint8),
        "state/heartbeat": np.array([0.0]),
        "state/committed": steps,
        "state/message": text([""], 1024),
    }
    attributes = {
        "format": "lcascope.run",
        "producer": "planted.py",
        "created": "2026-11-28T00:00:00Z",
        "config": "",
        "network": "planted",
        "dataset": "none",
        "dataset_sha256": "",
        "device": "none",
        "integrator": "simpson",
        "units": "losses and loss change allocations are in nats",
    }
    numbers = dict(version=1, seed=0, slice_size=1, planned_steps=T, steps_per_epoch=10)
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        for name, value in attributes.items():
            file.attrs[name] = value
        for name, value in numbers.items():
            file.attrs[name] = np.uint64(value)
        file.attrs["tolerance"] = 1e-3
        for name, values in datasets.items():
            # Compressed in one chunk, where there is something to compress.
            packed = dict(chunks=values.shape, shuffle=True, compression=9) if values.size > 64 else {}
            file.create_dataset(name, data=values, **packed)


def gini(x):
    x = np.sort(np.abs(x))
    n = len(x)
    return float(2 * np.sum(np.arange(1, n + 1) * x) / (n * x.sum()) - (n + 1) / n)


def found(gradient, delta, a):
    own = slice(STARTS[1], ENDS[1])
    g, d, wave = gradient[:, own], delta[:, own], a[:, own]
    series = wave.sum(axis=1)
    lags = range(-10, 11)

    def correlation(lag):
        x, y = -g[:T, 0], d[:, 0]
        x, y = (x[: T - lag], y[lag:]) if lag >= 0 else (x[-lag:], y[: T + lag])
        return stats.pearsonr(x, y).statistic

    every = lambda marks: float(d.size / marks.sum())
    sizes = np.abs(a[:, : ENDS[0]]).ravel()
    totals = a.sum(axis=0)
    return dict(
        helped=100 * float(np.mean(a < 0)),
        tail_fit=float(stats.pareto.fit(sizes, floc=0)[0]),
        wave_period=float(period_of(series)["steps"]),
        wave_lag=max(lags, key=correlation),
        turns=[
            every(opposite(d)),
            every(g[:-1] * g[1:] < 0),
            every(opposite(np.diff(g, axis=0))),
            every(turned(wave)),
        ],
        gini=[gini(totals[totals < 0]), gini(totals[totals > 0])],
    )


def main():
    gradient, delta, a, shared = run()
    write(HERE / "planted.h5", gradient, delta, a)
    _, steps, layers = deepest_of(by_layer(a))
    golden = dict(
        PLANTED,
        shared=shared.tolist(),
        pairs=int(pairs_of(steps, layers, T)),
        **by_chance(steps, layers, T, RNG),
        **found(gradient, delta, a),
    )
    assert abs(golden["tail_fit"] - golden["tail_index"]) < 0.01, "the sample is not one"
    text = json.dumps(golden, indent=1, default=float) + "\n"
    (HERE / "planted.json").write_text(text)
    print(text, (HERE / "planted.h5").stat().st_size, "bytes")


if __name__ == "__main__":
    main()
