"""The allocations of real models, compared with a float64 program."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from models import GPT, Activation, ResNet, images, next_token_loss, tokens
from reference import Reference, State, by_layer, largest_difference, parameters_of
from torch import Tensor, nn

import lcascope


def batches_of(inputs: Tensor, labels: Tensor, size: int) -> list[tuple[Tensor, Tensor]]:
    return list(zip(inputs.split(size), labels.split(size), strict=True))


def cross_entropy(batches: list[tuple[Tensor, Tensor]], only: int | None = None):
    """The mean over all examples of batches, in float64; of one class's part of it with `only`."""

    def loss(model: nn.Module) -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        for inputs, labels in batches:
            losses = F.cross_entropy(model(inputs.double()), labels, reduction="none")
            total = total + (losses if only is None else losses[labels == only]).sum()
        return total / sum(len(labels) for _, labels in batches)

    return loss


def closes(
    step: lcascope.Step, reference: Reference, before: State, after: State, lca: float, tolerance: float = 1e-5
) -> None:
    """Check that LCA and residual are those of float64, and add up to its change of the loss."""
    with torch.no_grad():
        first, last = (reference.losses_at(state).sum().item() for state in (before, after))
    change = last - first
    assert step.loss_before == pytest.approx(first, rel=1e-6)
    assert step.loss_after == pytest.approx(last, rel=1e-6)
    assert step.loss_after - step.loss_before == pytest.approx(step.lca + step.residual, abs=1e-12)
    assert step.residual == pytest.approx(change - lca, abs=tolerance * abs(change) + 1e-6)


def train_resnet(steps: int, **options) -> tuple[lcascope.Scope, list, ResNet, list, list]:
    model = ResNet()
    inputs, labels = images(70)
    held_out = batches_of(*images(30), 16)
    # The last batch is smaller than the others.
    batches = batches_of(inputs, labels, 32)
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    record = []
    with lcascope.watch(
        model,
        optimizer,
        data=batches,
        loss=F.cross_entropy,
        held_out=held_out,
        output="run.h5",
        quiet=True,
        **options,
    ) as scope:
        for step in range(steps):
            before = parameters_of(model)
            x, y = batches[step % 2]
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            record.append((before, parameters_of(model), scope.last))
    return scope, record, model, batches, held_out


def test_resnet_by_layer_and_by_class(lcascope_says):
    scope, record, model, batches, held_out = train_resnet(5, by_class=True, lca_test=True)
    assert scope.status == "finished"
    reference = Reference(model, cross_entropy(batches))
    held_out_reference = Reference(model, cross_entropy(held_out))
    classes = [Reference(model, cross_entropy(batches, only)) for only in range(5)]
    with h5py.File("run.h5") as file:
        class_layer = file["lca/class_layer"][:]
        layers = [name.decode() for name in file["layout/layer/name"][:]]
        class_losses = file["loss/train_class"][:]
    for index, (before, after, step) in enumerate(record):
        assert step.segments >= 2
        expected = by_layer(reference.allocate(before, after, step.segments))
        assert largest_difference(step.layers, expected) < 1e-4
        assert step.loss_before == pytest.approx(reference.at(before)[0], abs=1e-6)
        assert step.loss_after == pytest.approx(reference.at(after)[0], abs=1e-6)
        assert step.loss_after - step.loss_before == pytest.approx(step.lca + step.residual, abs=1e-12)
        expected = by_layer(held_out_reference.allocate(before, after, step.segments))
        assert largest_difference(step.held_out_layers, expected) < 1e-4
        for own, one in enumerate(classes):
            expected = by_layer(one.allocate(before, after, step.segments))
            got = dict(zip(layers, class_layer[index, own].tolist(), strict=True))
            assert largest_difference(got, expected) < 1e-4
            share = sum(int((labels == own).sum()) for _, labels in batches) / 70
            assert class_losses[index, own] * share == pytest.approx(one.at(before)[0], abs=1e-6)
    assert "ok" in lcascope_says("verify", "run.h5")


@pytest.mark.long
@pytest.mark.parametrize(
    ("activation", "precision", "tolerance"),
    [(F.gelu, "model", 1e-5), (F.relu, "float64", 1e-5), (F.relu, "model", 2e-3)],
    ids=["gelu", "relu-float64", "relu"],
)
def test_resnet18_by_layer_and_by_class(lcascope_says, activation: Activation, precision: str, tolerance: float):
    """The whole depth of ResNet-18: 17 convolutions on the way and 3 beside it, 20 batch norms, and the last layer.

    In float32, a ReLU whose input is 0 up to rounding may be on where it is off in float64. One such input moves a
    layer's allocation by up to 1e-3 of the largest, in PyTorch alone as well; there are a few at each point. Without
    them, because the activation is smooth or the model is evaluated in float64, the agreement is better.
    """
    model = ResNet((16, 32, 64, 128), classes=3, activation=activation)
    inputs, labels = images(14, 3, 32)
    batches = batches_of(inputs, labels, 8)
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)

    def losses_of_classes(module: nn.Module) -> Tensor:
        """The part of each class in the mean over all examples."""
        out = torch.zeros(3, dtype=torch.float64)
        for x, y in batches:
            out = out.index_add(0, y, F.cross_entropy(module(x.double()), y, reduction="none"))
        return out / len(labels)

    reference = Reference(model, losses_of_classes)
    record = []
    with lcascope.watch(
        model,
        optimizer,
        data=batches,
        loss=F.cross_entropy,
        precision=precision,
        by_class=True,
        integrator="simpson",
        output="run.h5",
        quiet=True,
    ) as scope:
        for step in range(5):
            before = parameters_of(model)
            x, y = batches[step % 2]
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            record.append((before, parameters_of(model), scope.last))
    with h5py.File("run.h5") as file:
        class_layer = file["lca/class_layer"][:]
        layers = [name.decode() for name in file["layout/layer/name"][:]]
    convolutions = sum(isinstance(module, nn.Conv2d) for module in model.modules())
    assert (convolutions, len(layers)) == (20, 20 + 20 + 1)
    for index, (before, after, step) in enumerate(record):
        allocations = [by_layer(one) for one in reference.allocate_each(before, after, step.segments)]
        whole = {layer: sum(one[layer] for one in allocations) for layer in layers}
        assert largest_difference(step.layers, whole) < tolerance
        for own, expected in enumerate(allocations):
            got = dict(zip(layers, class_layer[index, own].tolist(), strict=True))
            assert largest_difference(got, expected) < tolerance
        closes(step, reference, before, after, sum(whole.values()), tolerance)
    lcascope_says("verify", "run.h5")


def test_batch_norm_by_running_statistics():
    model = ResNet()
    batches = batches_of(*images(40), 16)
    with torch.no_grad():
        model(batches[0][0])
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    reference = Reference(model, cross_entropy(batches), batch_statistics=False)
    with lcascope.watch(
        model, optimizer, data=batches, loss=F.cross_entropy, batch_norm="running", output="run.h5", quiet=True
    ) as scope:
        for x, y in batches:
            before = parameters_of(model)
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            # The running statistics have changed, those of the evaluated loss are of the beginning.
            expected = by_layer(reference.allocate(before, parameters_of(model), scope.last.segments))
            assert largest_difference(scope.last.layers, expected) < 1e-4
    with h5py.File("run.h5") as file:
        assert "running" in file.attrs["device"]


@pytest.mark.parametrize(
    ("width", "depth", "length"), [(16, 2, 12), pytest.param(64, 4, 32, marks=pytest.mark.long)], ids=["tiny", "small"]
)
def test_gpt_with_tied_embedding_and_autocast(lcascope_says, width: int, depth: int, length: int):
    """The user's steps are in bfloat16; what is explained is the loss in float32."""
    model = GPT(length=length, width=width, depth=depth)
    batches = list(tokens(44, length + 1).split(16))
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)

    def loss(module: nn.Module) -> Tensor:
        return sum(next_token_loss(module, batch) * len(batch) for batch in batches) / 44

    reference = Reference(model, loss)
    with lcascope.watch(model, optimizer, data=batches, loss=next_token_loss, output="run.h5", quiet=True) as scope:
        for step in range(6):
            before = parameters_of(model)
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16):
                value = next_token_loss(model, batches[step % 2])
            value.backward()
            optimizer.step()
            assert scope.last.step == step + 1
            after = parameters_of(model)
            expected = by_layer(reference.allocate(before, after, scope.last.segments))
            assert "lm_head" not in expected and "wte" in expected
            assert largest_difference(scope.last.layers, expected) < 1e-4
            closes(scope.last, reference, before, after, sum(expected.values()))
    lcascope_says("verify", "run.h5")


def test_every_covers_several_optimizer_steps(capfd: pytest.CaptureFixture[str]):
    model = ResNet(dropout=0.0)
    batches = batches_of(*images(32), 16)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    reference = Reference(model, cross_entropy(batches))
    before = parameters_of(model)
    with lcascope.watch(
        model, optimizer, data=batches, loss=F.cross_entropy, every=3, output="run.h5", quiet=True
    ) as scope:
        for step in range(8):
            x, y = batches[step % 2]
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            if step % 3 == 2:
                assert scope.last.step == (step + 1) // 3
                after = parameters_of(model)
                expected = by_layer(reference.allocate(before, after, scope.last.segments))
                assert largest_difference(scope.last.layers, expected) < 1e-4
                before = after
    assert scope.last.step == 2
    assert "the last 2 optimizer steps are not recorded (every=3)" in capfd.readouterr().out


def test_units_and_single_parameters_are_where_they_belong():
    """A transposed convolution, whose units are on axis 1, by every parameter."""
    model = nn.Sequential(nn.ConvTranspose2d(2, 3, 2), nn.Flatten(), nn.Linear(27, 4))
    inputs, labels = torch.randn(20, 2, 2, 2), torch.arange(20) % 4
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    reference = Reference(model, cross_entropy([(inputs, labels)]))
    before = parameters_of(model)
    with lcascope.watch(
        model, optimizer, data=(inputs, labels), loss=F.cross_entropy, record_params=1, output="run.h5", quiet=True
    ) as scope:
        F.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
        segments = scope.last.segments
    expected = reference.allocate(before, parameters_of(model), segments)
    kernel = expected["0.weight"].transpose(0, 1)
    flat = [kernel, expected["0.bias"], expected["2.weight"], expected["2.bias"]]
    with h5py.File("run.h5") as file:
        got = file["lca/param"][0]
        units = file["lca/unit"][0]
        assert file["layout/tensor/shape"][0].tolist() == [3, 2, 2, 2]
    flat_array = torch.cat([part.flatten() for part in flat]).numpy()
    np.testing.assert_allclose(got, flat_array, atol=1e-4 * np.abs(flat_array).max())
    per_unit = torch.cat([kernel.sum((1, 2, 3)) + flat[1], flat[2].sum(1) + flat[3]]).numpy()
    np.testing.assert_allclose(units, per_unit, atol=1e-4 * np.abs(per_unit).max())


def test_losses_of_each_example_and_means_are_the_same(folder: Path):
    inputs, labels = images(50)
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 5))
    runs = []
    for loss in (
        F.cross_entropy,
        nn.CrossEntropyLoss(reduction="none"),
        lambda output, target: F.cross_entropy(output, target),
        lambda model, batch: F.cross_entropy(model(batch[0]), batch[1]),
    ):
        own = nn.Sequential(nn.Flatten(), nn.Linear(192, 5))
        own.load_state_dict(model.state_dict())
        optimizer = torch.optim.SGD(own.parameters(), 0.1)
        with lcascope.watch(
            own, optimizer, data=(inputs, labels), batch_size=16, loss=loss, output=f"{len(runs)}.h5", quiet=True
        ) as scope:
            F.cross_entropy(own(inputs), labels).backward()
            optimizer.step()
        runs.append(scope.last)
    for run in runs[1:]:
        assert run.loss_before == pytest.approx(runs[0].loss_before, rel=1e-6)
        assert run.lca == pytest.approx(runs[0].lca, rel=1e-5)
    assert 0 <= runs[0].accuracy <= 1 and np.isnan(runs[3].accuracy)
    assert runs[0].accuracy == pytest.approx((own(inputs).argmax(1) == labels).float().mean().item())


def test_groups_take_the_place_of_classes():
    model = nn.Linear(3, 1)
    inputs = torch.randn(30, 3)
    target = inputs.sum(1, keepdim=True)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    groups = [index % 3 for index in range(30)]
    with lcascope.watch(
        model,
        optimizer,
        data=(inputs, target),
        batch_size=8,
        loss=lambda output, target: (output - target).square(),
        groups=groups,
        by_class=True,
        output="run.h5",
        quiet=True,
    ) as scope:
        (model(inputs) - target).square().mean().backward()
        optimizer.step()
    with h5py.File("run.h5") as file:
        by_class = file["lca/class_layer"][0].sum(1)
        losses = file["loss/train_class"][1]
        assert file["data/train_class_examples"][:].tolist() == [10, 10, 10]
    assert by_class.sum() == pytest.approx(scope.last.lca, rel=1e-5)
    errors = (model(inputs) - target).square().detach().numpy()[:, 0]
    np.testing.assert_allclose(losses, [errors[group::3].mean() for group in range(3)], rtol=1e-5)
