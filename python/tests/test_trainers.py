"""Lightning's and Hugging Face's trainers, by the optimizer's hooks alone and by the callbacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import lightning
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

import lcascope
import lcascope.lightning
import lcascope.transformers

INPUTS, LABELS = torch.randn(24, 6), torch.arange(24) % 3


class Classifier(lightning.LightningModule):
    def __init__(self, failing: int = -1) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))
        self.failing = failing
        self.scope: lcascope.Scope | None = None
        self.watched = False

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        if index == self.failing:
            raise ValueError("a bad batch")
        loss = F.cross_entropy(self(batch[0]), batch[1])
        self.log("loss", loss)
        return loss

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), 0.01)
        if self.watched:
            self.scope = lcascope.watch(
                self, optimizer, data=(INPUTS, LABELS), loss=F.cross_entropy, output="hooks.h5", quiet=True
            )
        return {"optimizer": optimizer, "lr_scheduler": torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)}


def lightning_trainer(**arguments: Any) -> lightning.Trainer:
    return lightning.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **arguments,
    )


def loader() -> DataLoader:
    return DataLoader(TensorDataset(INPUTS, LABELS), 8)


def steps_in(path: str) -> int:
    with h5py.File(path) as file:
        assert file["state/status"][0] == 1
        return int(file["state/committed"][0])


def test_lightning_by_hooks_alone():
    weights = []
    for watched in (False, True):
        torch.manual_seed(0)
        model = Classifier()
        model.watched = watched
        lightning_trainer().fit(model, loader())
        weights.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))
    assert torch.equal(*weights)
    model.scope.close()
    assert steps_in("hooks.h5") == 3
    assert list(model.scope.last.layers) == ["net.0", "net.1", "net.4"]


def test_lightning_callback_with_accumulated_gradients():
    watching = lcascope.lightning.Watch(
        data=(INPUTS, LABELS), loss=F.cross_entropy, output="callback.h5", quiet=True, batch_size=8
    )
    lightning_trainer(callbacks=[watching], accumulate_grad_batches=2, precision="bf16-mixed").fit(
        Classifier(), loader()
    )
    assert watching.scope.status == "finished" and steps_in("callback.h5") == 2


def test_lightning_that_fails():
    watching = lcascope.lightning.Watch(data=(INPUTS, LABELS), loss=F.cross_entropy, output="run.h5", quiet=True)
    with pytest.raises(ValueError, match="a bad batch"):
        lightning_trainer(callbacks=[watching]).fit(Classifier(failing=2), loader())
    assert watching.scope.status == "failed" and watching.scope.last.step == 2
    with h5py.File("run.h5") as file:
        assert "a bad batch" in file["state/message"][0].decode()


def test_lightning_ends_when_the_run_is_stopped(lcascope_says):
    watching = lcascope.lightning.Watch(data=(INPUTS, LABELS), loss=F.cross_entropy, output="run.h5", quiet=True)

    class Stopping(lightning.Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            if watching.scope.last.step == 1:
                lcascope_says("stop", "run.h5")

    trainer = lightning_trainer(callbacks=[Stopping(), watching])
    trainer.fit_loop.max_epochs = 10_000
    trainer.fit(Classifier(), loader())
    assert watching.scope.status == "stopped" and trainer.current_epoch < 9_000


class Sequences(Dataset):
    """Sequences of tokens as Hugging Face's Trainer takes them."""

    def __init__(self, count: int) -> None:
        self.tokens = torch.randint(0, 40, (count, 10), generator=torch.Generator().manual_seed(count))

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"input_ids": self.tokens[index], "labels": self.tokens[index]}


def gpt() -> GPT2LMHeadModel:
    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(vocab_size=40, n_positions=10, n_embd=16, n_layer=1, n_head=2))


def hugging_face_arguments(**arguments: Any) -> TrainingArguments:
    return TrainingArguments(
        "out",
        max_steps=3,
        per_device_train_batch_size=4,
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        **arguments,
    )


def flat(model: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def test_hugging_face_callback(lcascope_says):
    plain = gpt()
    Trainer(plain, hugging_face_arguments(), train_dataset=Sequences(16)).train()
    model = gpt()
    watching = lcascope.transformers.Watch(
        data=Sequences(12), held_out=Sequences(4), output="run.h5", quiet=True, units={"*.c_attn": 6}
    )
    Trainer(model, hugging_face_arguments(), train_dataset=Sequences(16), callbacks=[watching]).train()
    assert torch.equal(flat(plain), flat(model))
    scope = watching.scope
    assert scope.status == "finished" and scope.last.step == 3 and steps_in("run.h5") == 3
    model.eval()
    with torch.no_grad():
        tokens = Sequences(12).tokens
        assert scope.last.loss_after == pytest.approx(model(tokens, labels=tokens).loss.item(), rel=1e-5)
    assert "transformer.h.0.attn.c_attn" in scope.last.layers and "lm_head" not in scope.last.layers
    with h5py.File("run.h5") as file:
        names = [name.decode() for name in file["layout/layer/name"][:]]
        assert file["layout/layer/units"][names.index("transformer.h.0.attn.c_attn")] == 6
        assert file["layout/layer/units"][names.index("transformer.h.0.mlp.c_fc")] == 64
        assert file["step/learning_rate"][:].tolist() == pytest.approx([5e-5, 5e-5 * 2 / 3, 5e-5 / 3])
    lcascope_says("verify", "run.h5")


def test_hugging_face_by_hooks_alone():
    model = gpt()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    data = [{"input_ids": batch, "labels": batch} for batch in Sequences(12).tokens.split(5)]
    with lcascope.watch(
        model, optimizer, data=data, loss=lambda model, batch: model(**batch).loss, output="run.h5", quiet=True
    ) as scope:
        Trainer(
            model,
            hugging_face_arguments(gradient_accumulation_steps=2),
            train_dataset=Sequences(16),
            optimizers=(optimizer, None),
        ).train()
    assert scope.last.step == 3 and Path("run.h5").exists()
