"""Records a training loop of JAX and Optax: a small network learns on which arm of a spiral a point lies.

python jax_optax.py --steps 200 --output spiral.h5
lcascope open spiral.h5
"""

from __future__ import annotations

import argparse
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import lcascope
import numpy as np
import optax

ARMS = 3
WIDTHS = [2, 32, 32, ARMS]

Parameters = dict[str, dict[str, jax.Array]]


def spiral(random: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return points on the arms of a spiral, and the arm of each."""
    arm = np.arange(count) % ARMS
    radius = random.uniform(0.1, 1, count)
    angle = 2 * np.pi * arm / ARMS + 4 * radius + random.normal(0, 0.15, count)
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return points.astype(np.float32), arm


def initial(key: jax.Array) -> Parameters:
    """Return the parameters of a network whose layers are dicts, as in Flax."""
    layers: Parameters = {}
    for index, (before, after) in enumerate(pairwise(WIDTHS)):
        key, own = jax.random.split(key)
        kernel = jax.random.normal(own, (before, after)) * np.sqrt(2 / before)
        layers[f"dense{index}"] = {"kernel": kernel, "bias": jnp.zeros(after)}
    return layers


def logits(parameters: Parameters, points: jax.Array) -> jax.Array:
    *hidden, last = parameters.values()
    for layer in hidden:
        points = jax.nn.relu(points @ layer["kernel"] + layer["bias"])
    return points @ last["kernel"] + last["bias"]


def loss(parameters: Parameters, points: jax.Array, arms: jax.Array) -> jax.Array:
    return optax.softmax_cross_entropy_with_integer_labels(logits(parameters, points), arms).mean()


def train(steps: int, output: Path, **options: Any) -> None:
    """Train for some steps and record them. Options are those of `lcascope.Recorder`."""
    random = np.random.default_rng(0)
    points, arms = spiral(random, 600)
    test_points, test_arms = spiral(random, 300)

    parameters = initial(jax.random.key(0))
    optimizer = optax.adam(learning_rate := 0.01)
    state = optimizer.init(parameters)
    value_and_gradient = jax.jit(jax.value_and_grad(loss))

    @jax.jit
    def update(parameters: Parameters, state: Any, points: jax.Array, arms: jax.Array) -> tuple[Parameters, Any, Any]:
        value, gradient = jax.value_and_grad(loss)(parameters, points, arms)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(parameters, updates), state, value

    recorder = lcascope.Recorder(
        parameters,
        # The loss that is allocated: that of all points, not of a mini-batch.
        partial(value_and_gradient, points=points, arms=arms),
        held_out=partial(value_and_gradient, points=test_points, arms=test_arms),
        # The units of a layer are the columns of its kernel.
        axis={"*/kernel": 1},
        output=output,
        name="spiral",
        train=len(points),
        held_out_examples=len(test_points),
        device=f"JAX {jax.__version__}, {jax.default_backend()}",
        **options,
    )
    with recorder:
        for _ in range(steps):
            batch = random.choice(len(points), 100, replace=False)
            parameters, state, value = update(parameters, state, points[batch], arms[batch])
            recorder.step(parameters, batch_loss=float(value), learning_rate=learning_rate)
            if recorder.stopped:
                break


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--output", type=Path, default=Path("spiral.h5"))
    given = parser.parse_args()
    train(given.steps, given.output)
