"""What is refused, and with which words."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from models import images
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import lcascope

INPUTS, LABELS = torch.randn(20, 6), torch.arange(20) % 3


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3))


def watch(model: nn.Module | None = None, optimizer: Any = None, **arguments: Any) -> lcascope.Scope:
    arguments = {
        "data": (INPUTS, LABELS),
        "loss": F.cross_entropy,
        "output": "run.h5",
        "force": True,
        "quiet": True,
        **arguments,
    }
    return lcascope.watch(model or net(), optimizer, **arguments)


class Dropping(nn.Module):
    """Dropout that does not know of the evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(F.dropout(x, 0.5, training=True))


class Augmented(Dataset):
    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return INPUTS[index] + torch.randn(6), int(LABELS[index])


@pytest.mark.parametrize(
    "arguments",
    [
        {"model": Dropping()},
        {"data": Augmented(), "batch_size": 10, "keep": False},
        {
            "data": [0],
            "loss": lambda model, batch: F.cross_entropy(
                model(INPUTS[(rows := torch.randperm(20)[:9])]), LABELS[rows]
            ),
            "data_of": torch.zeros(1),
        },
    ],
    ids=["dropout", "augmentation", "shuffled"],
)
def test_a_loss_that_is_not_a_function_is_refused_with_the_causes(arguments: dict[str, Any]):
    arguments = dict(arguments)
    if "data_of" in arguments:
        arguments["data"] = [arguments.pop("data_of")]
    model = arguments.get("model") or net()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(lcascope.Error) as raised:
        watch(**arguments)
    said = str(raised.value)
    assert "not a fixed function of the parameters" in said
    assert all(cause in said for cause in ("random order", "augmentation", "dropout"))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_what_is_read_once_is_a_function():
    """A loader that shuffles and augments is read once, in its dataset's order."""
    loader = DataLoader(Augmented(), 7, shuffle=True)
    with watch(data=loader) as scope:
        assert scope.moved().lca == 0
    loader = DataLoader(TensorDataset(INPUTS, LABELS), 7, shuffle=True)
    with watch(data=loader, keep=False) as scope:
        assert scope.moved().lca == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"data": [INPUTS]}, "A batch of data is a Tensor and not a pair"),
        ({"data": []}, "data has no examples"),
        ({"data": 3}, "data is a int: give a list of batches, a DataLoader"),
        ({"data": TensorDataset(INPUTS, LABELS)}, "give batch_size too"),
        ({"data": [(INPUTS, LABELS)], "batch_size": 3}, "data has batches already"),
        ({"data": iter([(INPUTS, LABELS)]), "keep": False}, "can be read only once"),
        ({"data": [{"a": 1}]}, "has no tensor whose first axis counts"),
        ({"batch_norm": "eval"}, 'it is "batch" or "running"'),
        ({"precision": "double"}, 'it is "model" or "float64"'),
        ({"every": 0}, "every=0"),
        ({"loss": lambda output, target: 0.5}, "loss returned a float"),
        ({"loss": lambda output, target: output.sum(0)}, r"loss returned the shape \[3\] for a batch of 20"),
        ({"loss": nn.CrossEntropyLoss(reduction="sum")}, "adds its examples up"),
        ({"loss": lambda output, target: output.detach().mean()}, "does not depend on any trainable parameter"),
        ({"by_class": True, "data": (INPUTS, INPUTS[:, :3]), "loss": F.mse_loss}, "by_class: the targets are not cl"),
        (
            {"by_class": True, "loss": nn.CrossEntropyLoss(weight=torch.ones(3))},
            "by_class: loss returns the mean of a batch",
        ),
        ({"groups": [0, 1]}, "groups"),
        ({"groups": lambda batch: batch[1] - 1}, "whole numbers from 0"),
        ({"classes": ["one", "two"]}, r"classes has 2 names, but there are examples of class 2 \(from 0\)"),
        ({"lca_test": True}, "held-out"),
        ({"tolerance": -1.0}, "tolerance"),
        ({"resume": "there.h5"}, "output or resume"),
        ({"resume": "there.h5", "output": None, "force": None}, "there.h5"),
        ({"output": "no/such\0name"}, "name"),
        ({"optimizer": object()}, "object is no torch.optim.Optimizer"),
        ({"model": lambda x: x}, "model is a function: give a torch.nn.Module"),
        ({"model": nn.Linear(6, 3, device="meta")}, "weight is on the device meta and has no values"),
        ({"loss": nn.CrossEntropyLoss}, r"loss is the class CrossEntropyLoss: give an instance, CrossEntropyLoss\(\)"),
        ({"loss": "cross_entropy"}, "loss is a str: give a function"),
        ({"data": (INPUTS[:0], LABELS[:0])}, "data has no examples"),
        ({"data": iter([])}, "data has no examples: it is an iterator, which has been read before"),
        ({"batch_size": 0}, "batch_size=0: a batch has at least one example"),
        ({"integrator": "simson"}, "^unknown integrator `simson`"),
        ({"min_segments": 3}, "^`min_segments` 3: must be a power of two"),
        ({"model": nn.ReLU()}, "ReLU has no parameters that require a gradient"),
    ],
)
def test_what_is_refused(arguments: dict[str, Any], said: str):
    with pytest.raises((lcascope.Error, ValueError), match=said):
        watch(**arguments)


def test_an_option_that_does_not_exist_is_named():
    with pytest.raises(TypeError, match="no option 'tolerence'; did you mean 'tolerance'"):
        watch(tolerence=1e-4)


def test_an_existing_file_is_not_overwritten():
    watch().close()
    with pytest.raises(lcascope.Error, match="run.h5 exists: .* overwrite it with `force=True`"):
        watch(force=False)


def test_a_file_is_not_written_twice_at_once():
    """As in a notebook whose cell is run again."""
    scope = watch()
    with pytest.raises(lcascope.Error, match=r"being written.* a run of this process: call `close\(\)`"):
        watch()
    assert scope.moved().step == 1
    scope.close()


def test_a_run_without_steps_leaves_the_older_file():
    scope = watch()
    scope.moved()
    scope.close()
    model = net()
    scope = watch(model, torch.optim.SGD(model.parameters(), 0.1))
    with pytest.warns(UserWarning) as caught:
        scope.close()
    said = [str(warning.message) for warning in caught]
    assert said == [
        "No step was recorded: the optimizer that was given to `watch` has taken none.",
        "the run ended before its first step; run.h5 is unchanged",
    ]
    assert scope.status == "failed" and len(lcascope.Run("run.h5").table("overview")) == 1


def test_an_optimizer_of_another_model_is_noticed():
    with pytest.warns(UserWarning, match="The optimizer has none of the model's parameters"):
        watch(net(), torch.optim.SGD(net().parameters(), 0.1)).close()


def test_parameters_that_the_loss_does_not_reach_are_said_once():
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.Linear(6, 3), nn.Linear(2, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.used(x)

    model = Model()
    with pytest.warns(UserWarning) as caught, watch(model) as scope:
        with torch.no_grad():
            model.unused.weight += 1
            model.used.bias += torch.tensor([0.1, 0.0, 0.0])
        step = scope.moved()
    assert step.layers["unused"] == 0 and step.layers["used"] != 0
    said = [str(warning.message) for warning in caught if "does not depend" in str(warning.message)]
    assert said == ["The loss does not depend on unused.weight, unused.bias: their gradient is taken as 0."]


def test_a_model_that_becomes_another_is_refused():
    model = net()
    model[0].requires_grad_(False)
    scope = watch(model)
    model[0].requires_grad_(True)
    with pytest.raises(lcascope.Error, match="0.weight is trained but was not"):
        scope.moved()
    assert scope.status == "failed"
    scope = watch(model)
    model[2] = nn.Linear(4, 3)
    with pytest.raises(lcascope.Error, match="2.weight is trained but was not|replaced"):
        scope.moved()


def test_a_frozen_parameter_of_the_run_does_not_disturb():
    model = net()
    scope = watch(model)
    model[0].requires_grad_(False)
    with torch.no_grad():
        model[2].bias += 0.1
    step = scope.moved()
    assert step.layers["0"] == 0 and step.layers["2"] != 0 and not model[0].weight.requires_grad
    scope.close()


def test_an_error_of_the_users_loss_is_raised_unchanged_and_the_file_closed(lcascope_says):
    class Mine(Exception):
        pass

    raised = Mine("no batch today")
    calls = []

    def loss(model: nn.Module, batch: Any) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 6:
            raise raised
        return F.cross_entropy(model(batch[0]), batch[1])

    model = net()
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    scope = watch(model, optimizer, loss=loss)
    with pytest.raises(Mine) as caught:
        for _ in range(9):
            F.cross_entropy(model(INPUTS), LABELS).backward()
            optimizer.step()
            after = copy.deepcopy(model.state_dict())
    assert caught.value is raised and scope.stopped and scope.status == "failed"
    said = lcascope_says("info", "run.h5")
    assert "Mine: no batch today" in said and "failed" in said
    assert model.training and all(module.training for module in model.modules())
    # The training can go on, unwatched.
    optimizer.step()
    assert scope.moved() is None
    del after


def test_an_exception_in_the_block_fails_the_run(lcascope_says):
    with pytest.raises(ZeroDivisionError), watch() as scope:
        scope.moved()
        1 / 0  # noqa: B018
    assert scope.status == "failed"
    assert "ZeroDivisionError: division by zero" in lcascope_says("info", "run.h5")
    with pytest.raises(KeyboardInterrupt), watch() as scope:
        scope.moved()
        raise KeyboardInterrupt
    assert scope.status == "stopped"


def test_a_weight_that_is_not_finite_ends_the_run():
    model = net()
    scope = watch(model)
    scope.moved()
    with torch.no_grad():
        model[2].bias[0] = float("nan")
    with pytest.raises(lcascope.Error, match="NaN"):
        scope.moved()
    assert scope.status == "failed" and scope.last.step == 1


def test_where_to_look_is_printed(capsys: pytest.CaptureFixture[str]):
    x, y = images(5)
    with lcascope.watch(
        nn.Sequential(nn.Flatten(), nn.Linear(192, 5)), data=(x, y), loss=F.cross_entropy, output="a run.h5"
    ) as scope:
        assert scope.output.name == "a run.h5"
    assert "lcascope open 'a run.h5'" in capsys.readouterr().out
