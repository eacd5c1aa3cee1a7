"""Layers, tensors and units of models."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from models import GPT, ResNet
from torch import nn

import lcascope
from lcascope._torch import layout_of
from lcascope.layout import Layout, Owned, Tensor


def shown(model: nn.Module, units: dict[str, int] | None = None) -> list[tuple]:
    """The layers as the program gets them."""
    return [
        (layer["name"], layer["kind"], [(t["name"], t["kind"], t["shape"]) for t in layer["tensors"]])
        for layer in layout_of(model, units).message()
    ]


def test_a_layer_is_the_module_that_owns_its_parameters():
    layers = shown(ResNet(widths=(4,), blocks=1))
    assert [layer[:2] for layer in layers] == [
        ("conv1", "Conv2d"),
        ("bn1", "BatchNorm2d"),
        ("layers.0.conv1", "Conv2d"),
        ("layers.0.bn1", "BatchNorm2d"),
        ("layers.0.conv2", "Conv2d"),
        ("layers.0.bn2", "BatchNorm2d"),
        ("fc", "Linear"),
    ]
    assert layers[0][2] == [("conv1.weight", "weight", [4, 3, 3, 3])]
    assert layers[1][2] == [("bn1.weight", "scale", [4]), ("bn1.bias", "shift", [4])]
    assert layers[-1][2] == [("fc.weight", "weight", [5, 4]), ("fc.bias", "bias", [5])]


def test_tied_parameters_are_there_once_and_frozen_ones_not():
    model = GPT(depth=1)
    model.wpe.requires_grad_(False)
    layers = {name: tensors for name, _, tensors in shown(model)}
    assert "lm_head" not in layers and "wpe" not in layers
    assert layers["wte"] == [("wte.weight", "weight", [31, 16])]


def test_axis_of_units():
    class Conv1D(nn.Module):
        """As in Hugging Face's GPT-2: [in, out]."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(2, 6))
            self.bias = nn.Parameter(torch.zeros(6))

    transposed = nn.ConvTranspose1d(2, 3, 5)
    grouped = nn.ConvTranspose1d(4, 6, 5, groups=2)
    rnn = nn.LSTM(3, 2)
    attention = nn.MultiheadAttention(4, 2)
    model = nn.ModuleDict({"c": Conv1D(), "t": transposed, "g": grouped, "r": rnn, "a": attention, "p": nn.PReLU()})
    assert shown(model) == [
        ("c", "Conv1D", [("c.weight", "weight", [6, 2]), ("c.bias", "bias", [6])]),
        ("t", "ConvTranspose1d", [("t.weight", "weight", [3, 2, 5]), ("t.bias", "bias", [3])]),
        ("g.weight", "ConvTranspose1d", [("g.weight", "weight", [4, 3, 5])]),
        ("g.bias", "ConvTranspose1d", [("g.bias", "bias", [6])]),
        (
            "r",
            "LSTM",
            [
                ("r.weight_ih_l0", "weight", [8, 3]),
                ("r.weight_hh_l0", "weight", [8, 2]),
                ("r.bias_ih_l0", "bias", [8]),
                ("r.bias_hh_l0", "bias", [8]),
            ],
        ),
        (
            "a",
            "MultiheadAttention",
            [("a.in_proj_weight", "weight", [12, 4]), ("a.in_proj_bias", "bias", [12])],
        ),
        (
            "a.out_proj",
            "NonDynamicallyQuantizableLinear",
            [("a.out_proj.weight", "weight", [4, 4]), ("a.out_proj.bias", "bias", [4])],
        ),
        ("p", "PReLU", [("p.weight", "weight", [1])]),
    ]


def test_parameters_of_the_model_itself():
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.temperature = nn.Parameter(torch.tensor(1.0))
            self.nothing = nn.Parameter(torch.zeros(0, 3))
            self.positions = nn.Parameter(torch.zeros(1, 5, 3))

    assert shown(Model()) == [
        ("temperature", "Model", [("temperature", "weight", [1])]),
        ("positions", "Model", [("positions", "weight", [1, 5, 3])]),
    ]


def test_heads():
    layers = {name: tensors for name, _, tensors in shown(GPT(), {"h.*.attn.c_attn": 12})}
    for block in (0, 1):
        name = f"h.{block}.attn.c_attn"
        assert layers[name] == [(f"{name}.weight", "weight", [12, 4, 16]), (f"{name}.bias", "bias", [12, 4])]
    assert layers["h.0.attn.c_proj"][0][2] == [16, 16]
    with pytest.raises(lcascope.Error, match=r"h.0.attn.c_attn.weight of shape \[48, 16\] cannot be divided into 5"):
        shown(GPT(), {"*.c_attn": 5})
    with pytest.raises(lcascope.Error, match="no layer's name matches '\\*.c_atn'. The layers are wte, wpe"):
        shown(GPT(), {"*.c_atn": 4})


def test_units_of_heads_sum_their_rows():
    model = GPT(depth=1)
    batch = torch.randint(0, 31, (10, 13))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with lcascope.watch(
        model,
        optimizer,
        data=[batch],
        loss=lambda model, batch: F.cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten()),
        units={"*.c_attn": 12},
        record_params=1,
        output="run.h5",
        quiet=True,
    ) as scope:
        scope.stopped  # noqa: B018 - asks, and has no other effect
        model(batch[:, :-1]).logsumexp(-1).mean().backward()
        optimizer.step()
    import h5py

    with h5py.File("run.h5") as file:
        layers = [name.decode() for name in file["layout/layer/name"][:]]
        index = layers.index("h.0.attn.c_attn")
        units = file["lca/unit"][0][file["layout/unit/layer"][:] == index]
        first = file["layout/tensor/offset"][:][file["layout/tensor/layer"][:] == index]
        param = file["lca/param"][0]
    weight = param[first[0] : first[0] + 48 * 16].reshape(12, -1).sum(1)
    bias = param[first[1] : first[1] + 48].reshape(12, -1).sum(1)
    assert len(units) == 12
    np.testing.assert_allclose(units, weight + bias, rtol=1e-4, atol=1e-7)


def test_a_view_has_the_frameworks_shape():
    for axis in range(3):
        tensor = Tensor("x", "weight", (2, 3, 4), axis, offset=5)
        array = np.arange(24).reshape(2, 3, 4)
        flat = np.zeros(30, int)
        tensor.view(flat)[...] = array
        assert (flat[5:29] == np.moveaxis(array, axis, 0).ravel()).all()
        assert (tensor.view(torch.from_numpy(flat)).numpy() == array).all()
        assert tensor.stored == np.moveaxis(array, axis, 0).shape


def test_arrays_of_one_module_stay_together():
    arrays = [Owned(module, "any", Tensor(f"{module}.{name}", "weight", (2,))) for name in "xy" for module in "ab"]
    layout = Layout(arrays)
    assert [(tensor.name, tensor.offset) for tensor in layout.tensors] == [
        ("a.x", 0),
        ("a.y", 2),
        ("b.x", 4),
        ("b.y", 6),
    ]
    assert layout.size == 8


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_parameters_of_low_precision_are_refused(dtype: torch.dtype):
    with pytest.raises(lcascope.Error, match="0.weight is b?float16.*keep the parameters in float32"):
        layout_of(nn.Sequential(nn.Linear(2, 2)).to(dtype), None)


def test_sharded_parameters_are_refused():
    class DTensor(torch.Tensor):
        pass

    model = nn.Linear(2, 2)
    model.weight = nn.Parameter(torch.zeros(2, 2).as_subclass(DTensor))
    with pytest.raises(lcascope.Error, match="weight is sharded over processes \\(FSDP\\)"):
        layout_of(model, None)
