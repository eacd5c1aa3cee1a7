"""Golden numbers of the optimizers: PyTorch's own, in float64, on made-up gradients.

Writes optimizers.json beside itself. Parameter i starts at (i - 2) / 4; its gradient at step t is
g = sin(0.7 t + 1.3 i) * 10^(i - 2) rounded to float32, so that five magnitudes are covered. One
entry a case: `name`, `optimizer`, `learning_rate`, `momentum` (null if it has none),
`weight_decay`, and `params` [21][5], the parameters before step 0 and after each of 20 steps.

`grouped` has the same with three layers, parameters 0-1, 2-3 and 4, as parameter groups: `layers`
says what each does otherwise (null: as the case says). A layer frozen from step n has no gradient
(None) from then on; one delayed by d has none in its first d steps, and then the one of d steps ago.
From step SLOWER on every learning rate is halved, as a schedule would do it.
"""

import json
import math
from pathlib import Path

import numpy as np
import torch

PARAMS, STEPS = 5, 20
CASES = [
    ("sgd", torch.optim.SGD, 0.05, 0.0, 0.0),
    ("sgd momentum decay", torch.optim.SGD, 0.05, 0.9, 0.01),
    ("adam", torch.optim.Adam, 0.01, None, 0.0),
    ("adam decay", torch.optim.Adam, 0.01, None, 0.1),
    ("adamw decay", torch.optim.AdamW, 0.01, None, 0.1),
    ("rmsprop", torch.optim.RMSprop, 0.01, 0.0, 0.0),
    ("rmsprop momentum decay", torch.optim.RMSprop, 0.01, 0.9, 0.1),
]
LAYERS, SLOWER = [(0, 2), (2, 4), (4, 5)], 12
KEYS = ("learning_rate", "momentum", "weight_decay", "freeze_from", "delay")
# Case, then the keys of each layer.
GROUPED = [
    (1, [(0.01, 0.5, 0.2, None, None), (None, 0.0, None, 7, None), (None, None, 0.0, None, 3)]),
    (1, [(None, None, None, 0, None), (0.2, None, None, None, 9), (None, 0.3, None, 9, 4)]),
    (3, [(0.1, None, 0.0, None, None), (None, None, None, 7, None), (None, None, None, None, 3)]),
    (4, [(None, None, 0.5, None, 2), (0.002, None, None, None, None), (None, None, 0.0, 10, None)]),
    (6, [(None, None, None, None, 5), (0.002, 0.0, 0.0, None, None), (None, 0.5, 0.3, 7, None)]),
]


def gradient(step: int) -> torch.Tensor:
    """The gradient at a step, exact in float32."""
    values = [math.sin(0.7 * step + 1.3 * i) * 10.0 ** (i - 2) for i in range(PARAMS)]
    return torch.tensor(np.array(values, np.float32).astype(np.float64))


def run(case: tuple) -> dict:
    """One optimizer's path."""
    name, kind, rate, momentum, decay = case
    theta = torch.tensor([(i - 2) / 4 for i in range(PARAMS)], dtype=torch.float64)
    theta.requires_grad_()
    extra = {} if momentum is None else {"momentum": momentum}
    optimizer = kind([theta], lr=rate, weight_decay=decay, **extra)
    path = [theta.tolist()]
    for step in range(STEPS):
        theta.grad = gradient(step)
        optimizer.step()
        path.append(theta.tolist())
    return {
        "name": name,
        "optimizer": name.split()[0],
        "learning_rate": rate,
        "momentum": momentum,
        "weight_decay": decay,
        "params": path,
    }


def run_grouped(case: tuple, layers: list[tuple]) -> dict:
    """One optimizer's path with a parameter group for each layer."""
    name, kind, rate, momentum, decay = case
    layers = [dict(zip(KEYS, layer)) for layer in layers]
    tensors, groups = [], []
    for (start, end), layer in zip(LAYERS, layers):
        values = [(i - 2) / 4 for i in range(start, end)]
        tensors.append(torch.tensor(values, dtype=torch.float64, requires_grad=True))
        group = {"params": [tensors[-1]], "lr": layer["learning_rate"] or rate}
        for key, default in (("momentum", momentum), ("weight_decay", decay)):
            value = default if layer[key] is None else layer[key]
            if value is not None:
                group[key] = value
        groups.append(group)
    optimizer = kind(groups)
    path = [sum((tensor.tolist() for tensor in tensors), [])]
    for step in range(STEPS):
        if step == SLOWER:
            for group in optimizer.param_groups:
                group["lr"] /= 2
        for tensor, (start, end), layer in zip(tensors, LAYERS, layers):
            of = step - (layer["delay"] or 0)
            frozen = layer["freeze_from"] is not None and step >= layer["freeze_from"]
            tensor.grad = None if frozen or of < 0 else gradient(of)[start:end]
        optimizer.step()
        path.append(sum((tensor.tolist() for tensor in tensors), []))
    return {
        "name": name,
        "optimizer": name.split()[0],
        "learning_rate": rate,
        "momentum": momentum,
        "weight_decay": decay,
        "layers": layers,
        "params": path,
    }


if __name__ == "__main__":
    gradients = [gradient(step).tolist() for step in range(STEPS)]
    out = {
        "torch": torch.__version__,
        "gradients": gradients,
        "cases": [run(c) for c in CASES],
        "layers": LAYERS,
        "slower": SLOWER,
        "grouped": [run_grouped(CASES[case], layers) for case, layers in GROUPED],
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(out, indent=1) + "\n")
