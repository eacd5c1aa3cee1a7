"""The example with JAX and Optax, against the same sums in double precision without JAX."""

from __future__ import annotations

import runpy
from pathlib import Path

import h5py
import lcascope
import numpy as np
import pytest

pytest.importorskip("jax")
pytest.importorskip("optax")

EXAMPLE = Path(__file__).parents[1] / "examples" / "jax_optax.py"
STEPS = 12
LAYERS = ["dense0", "dense1", "dense2"]
SHAPES = [(2, 32), (32, 32), (32, 3)]


def test_the_example_records_what_numpy_computes(tmp_path: Path) -> None:
    example = runpy.run_path(str(EXAMPLE))
    path = tmp_path / "spiral.h5"
    example["train"](STEPS, path, integrator="simpson", record_weights=1, lca_test=True, quiet=True)

    run = lcascope.Run(path)
    assert list(run.table("layers")["layer"]) == LAYERS
    assert list(run.table("layers")["units"]) == [32, 32, 3]
    overview = run.table("overview")
    assert len(overview) == STEPS
    np.testing.assert_allclose(overview["lca"] + overview["residual"], overview["loss_change"], atol=1e-12)

    random = np.random.default_rng(0)
    parts = {"heat-map": example["spiral"](random, 600), "held-out": example["spiral"](random, 300)}
    with h5py.File(path) as file:
        weights = file["weight/value"][:].astype(np.float64)
    for view, (points, arms) in parts.items():
        prefix = "lca/" if view == "heat-map" else "held_out_lca/"
        table = run.table(view)
        for step in range(STEPS):
            expected = by_simpson(weights[step], weights[step + 1], points.astype(np.float64), arms)
            recorded = [table[prefix + layer][step] for layer in LAYERS]
            np.testing.assert_allclose(recorded, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def by_simpson(start: np.ndarray, end: np.ndarray, points: np.ndarray, arms: np.ndarray) -> list[float]:
    """Return the allocation of each layer along a step."""
    nodes = [(1 / 6, start), (4 / 6, (start + end) / 2), (1 / 6, end)]
    allocated = (end - start) * sum(weight * gradient(at, points, arms) for weight, at in nodes)
    sizes = [before * after + after for before, after in SHAPES]
    return [float(part.sum()) for part in np.split(allocated, np.cumsum(sizes)[:-1])]


def gradient(flat: np.ndarray, points: np.ndarray, arms: np.ndarray) -> np.ndarray:
    """Return the gradient of the mean cross-entropy, as the run file has it: kernels by columns, then biases."""
    layers = []
    for before, after in SHAPES:
        kernel, bias, flat = np.split(flat, [before * after, before * after + after])
        layers.append((kernel.reshape(after, before), bias))
    inputs = []
    x = points
    for kernel, bias in layers:
        inputs.append(x)
        z = x @ kernel.T + bias
        x = np.maximum(z, 0)
    probability = np.exp(z - z.max(1, keepdims=True))
    probability /= probability.sum(1, keepdims=True)
    delta = (probability - np.eye(3)[arms]) / len(arms)
    parts: list[np.ndarray] = []
    for (kernel, _), x in zip(reversed(layers), reversed(inputs), strict=True):
        parts = [(delta.T @ x).ravel(), delta.sum(0), *parts]
        delta = (delta @ kernel) * (x > 0)
    return np.concatenate(parts)
