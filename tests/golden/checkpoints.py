#!/usr/bin/env python3
"""Snapshots of one path of a tiny network, as programs that use PyTorch write them.

    python tests/golden/checkpoints.py

writes the folders in ``checkpoints/`` beside itself. Needs torch 2 and safetensors, a few seconds. Every folder in
``same/`` has the same three points in another form; ``tests/cli/checkpoints.rs`` follows each of them and compares the
allocations bit for bit. All weights are numbers of bfloat16, so that no type rounds them. ``renamed/`` has other names,
``beside/`` a command beside the weights, and ``refused/`` files that are refused with a message, two of them hostile.

The same torch (2.15.0) writes the same bytes again, except in ``refused/old.pt`` (addresses in memory) and
``refused/script.pt`` (a random order, and an identifier that depends on it).
"""

import argparse
import collections
import json
import os
import pathlib
import shutil
import warnings
import zipfile

import torch
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent / "checkpoints"

NETWORK = """\
# The network of these snapshots.
name = "tiny"

[[layer]]
kind = "conv"
channels = 2
kernel = 3
stride = 2

[[layer]]
kind = "relu"

[[layer]]
kind = "avg-pool"
size = 7

[[layer]]
kind = "linear"
units = 4

[[layer]]
kind = "relu"

[[layer]]
kind = "linear"
units = 10
"""

SHAPES = {
    "conv1.weight": (2, 1, 3, 3),
    "conv1.bias": (2,),
    "fc1.weight": (4, 8),
    "fc1.bias": (4,),
    "fc2.weight": (10, 4),
    "fc2.bias": (10,),
}


class Sub(torch.Tensor):
    """A tensor of a class of its own, as wrappers make them."""


class Net(torch.nn.Module):
    """Modules with the names of the network."""

    def __init__(self):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(1, 2, 3, stride=2)
        self.fc1 = torch.nn.Linear(8, 4)
        self.fc2 = torch.nn.Linear(4, 10)

    def forward(self, x):
        x = torch.nn.functional.avg_pool2d(self.conv1(x).relu(), 6)
        return self.fc2(self.fc1(x.flatten(1)).relu())


def points():
    """Three points: normal weights, and two steps away from them, rounded to bfloat16."""
    torch.manual_seed(0)
    weights = {name: 0.4 * torch.randn(shape) for name, shape in SHAPES.items()}
    for _ in range(3):
        yield {name: weight.bfloat16().float() for name, weight in weights.items()}
        weights = {name: weight + 0.05 * torch.randn(weight.shape) for name, weight in weights.items()}


def mapped(point, change):
    return {name: change(weight) for name, weight in point.items()}


def prefixed(point, prefix):
    return {prefix + name: weight for name, weight in point.items()}


def transposed(weight):
    """The same numbers in memory column by column."""
    axes = tuple(reversed(range(weight.dim())))
    return weight.permute(axes).contiguous().permute(axes)


def shared(point):
    """Views into one storage, with numbers between them."""
    flat = torch.full((200,), float("nan"))
    views, at = {}, 7
    for name, weight in point.items():
        views[name] = flat[at : at + weight.numel()].view(weight.shape)
        views[name].copy_(weight)
        at += weight.numel() + 3
    return views


def module(point):
    net = Net()
    net.load_state_dict(point)
    return net


def parameters(point):
    """Parameters, one with an attribute, and a tensor of a class of its own."""
    all_of = {name: torch.nn.Parameter(weight) for name, weight in point.items()}
    all_of["fc1.bias"].note = "kept"
    all_of["fc2.bias"] = point["fc2.bias"].as_subclass(Sub)
    return collections.defaultdict(list, all_of)


def lightning(point, step):
    """The keys of a checkpoint of PyTorch Lightning, and the state of an optimizer."""
    net = module(point)
    optimizer = torch.optim.AdamW(net.parameters())
    net(torch.zeros(1, 1, 28, 28)).sum().backward()
    optimizer.step()
    return {
        "epoch": step // 2,
        "global_step": step,
        "pytorch-lightning_version": "2.6.6",
        "state_dict": collections.OrderedDict(prefixed(point, "model.")),
        "loops": {"fit_loop": {"state_dict": {}}},
        "callbacks": {"ModelCheckpoint{'monitor': None}": {"best": float("inf")}},
        "optimizer_states": [optimizer.state_dict()],
        "lr_schedulers": [],
        "hparams_name": "kwargs",
        "hyper_parameters": argparse.Namespace(width=4, rate=1e-3, layers=[1, 2], big=1 << 70),
    }


def torch_save(value, *path, **how):
    path = HERE.joinpath(*path)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(value, path, **how)


def shards(point, folder, ending, write):
    """Two files and their index."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = "model" if ending == "safetensors" else "pytorch_model"
    names, weight_map = list(point), {}
    for k, part in enumerate([names[:3], names[3:]], start=1):
        file = f"{stem}-{k:05}-of-00002.{ending}"
        write({name: point[name] for name in part}, folder / file)
        weight_map |= {name: file for name in part}
    index = {"metadata": {"total_size": 424}, "weight_map": weight_map}
    (folder / f"{stem}.{ending}.index.json").write_text(json.dumps(index, indent=1) + "\n")


def same(point, step):
    """Writes a point in all forms."""
    at = HERE / "same"
    for folder in ["safetensors", f"hugging-face/checkpoint-{step}"]:
        (at / folder).mkdir(parents=True, exist_ok=True)
    save_file(point, at / "safetensors" / f"step_{step}.safetensors")
    # Three forms of the same training, as its libraries changed.
    folder = at / "hugging-face" / f"checkpoint-{step}"
    if step == 0:
        save_file(point, folder / "model.safetensors")
        torch.save({"state": {}}, folder / "optimizer.pt")
    elif step == 5:
        shards(point, folder, "safetensors", save_file)
    else:
        shards(point, folder, "bin", torch.save)
    torch_save(module(point).state_dict(), "same", "state-dict", f"step_{step}.pt")
    types = [("bfloat16", torch.bfloat16, 2), ("float16", torch.float16, 3), ("float64", torch.double, 5)]
    for name, dtype, protocol in types:
        half = mapped(point, lambda weight, dtype=dtype: weight.to(dtype))
        torch_save({"model": half}, "same", name, f"epoch_{step / 10}.pth", pickle_protocol=protocol)
    torch_save(mapped(point, transposed), "same", "transposed", f"{step}.bin", pickle_protocol=4)
    torch_save({"net": {"module": shared(point)}}, "same", "shared", f"{step}.pt", pickle_protocol=4)
    torch_save(parameters(point), "same", "parameters", f"{step}.pt", pickle_protocol=4)
    wrapped = prefixed(point, "module._orig_mod.")
    torch_save({"model_state_dict": wrapped, "step": step}, "same", "wrapped", f"{step}.pt")
    torch_save(lightning(point, step), "same", "lightning", f"epoch={step // 2}-step={step}.ckpt")
    # Read with --rename.
    renamed = {name.replace("conv1", "stem").replace("fc", "head."): weight for name, weight in point.items()}
    torch_save({"model": renamed, "ema": mapped(renamed, torch.zeros_like)}, "renamed", f"{step}.pt")


class Command:
    """An object that runs a command when Python reads it."""

    def __reduce__(self):
        return os.system, ("touch executed",)


def without_paths(script):
    """Removes the entries of TorchScript with the paths of source files on this machine."""
    with zipfile.ZipFile(script) as archive:
        entries = {name: archive.read(name) for name in archive.namelist() if not name.endswith(".debug_pkl")}
    with zipfile.ZipFile(script, "w") as archive:
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(name), content)


def refused(point):
    """Writes files that are refused."""
    old = {"_use_new_zipfile_serialization": False}
    torch_save(point, "refused", "old.pt", **old)
    torch_save(module(point), "refused", "module.pt")
    torch_save([point], "refused", "list.pt")
    torch_save(mapped(point, lambda weight: weight.long()), "refused", "integers.pt")
    torch_save(point | {"fc1.weight": point["fc1.weight"].to_sparse()}, "refused", "sparse.pt")
    torch_save({"model": point, "ema": mapped(point, torch.clone)}, "refused", "twice.pt")
    torch_save(point | {"fc1.weight": Command()}, "refused", "command.pt")
    torch_save(Command(), "refused", "outermost.pt")
    torch.jit.save(torch.jit.script(module(point)), HERE / "refused" / "script.pt")
    without_paths(HERE / "refused" / "script.pt")
    # A command beside the weights is not run either, and does no harm.
    torch_save({"state_dict": point, "command": Command()}, "beside", "0.pt")
    torch_save({"state_dict": point, "command": Command()}, "beside", "1.pt")


def main():
    warnings.filterwarnings("ignore")
    shutil.rmtree(HERE, ignore_errors=True)
    HERE.mkdir()
    (HERE / "tiny.toml").write_text(NETWORK)
    for step, point in zip([0, 5, 10], points(), strict=True):
        same(point, step)
    refused(next(points()))


if __name__ == "__main__":
    main()
