"""Golden numbers of the optimizers: PyTorch's own, in float64, on made-up gradients.

Writes optimizers.json beside itself. Parameter i starts at (i - 2) / 4; its gradient at step t is
g = sin(0.7 t + 1.3 i) * 10^(i - 2) rounded to float32, so that five magnitudes are covered. One
entry a case: `name`, `optimizer`, `learning_rate`, `momentum` (null if it has none),
`weight_decay`, and `params` [21][5], the parameters before step 0 and after each of 20 steps.
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


if __name__ == "__main__":
    gradients = [gradient(step).tolist() for step in range(STEPS)]
    out = {"torch": torch.__version__, "gradients": gradients, "cases": [run(c) for c in CASES]}
    Path(__file__).with_suffix(".json").write_text(json.dumps(out, indent=1) + "\n")
