"""Small models of the kinds that people train, and data for them."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Activation = Callable[[Tensor], Tensor]


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, activation: Activation) -> None:
        super().__init__()
        self.activation = activation
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(self.activation(self.bn1(self.conv1(x)))))
        return self.activation(out + self.downsample(x))


class ResNet(nn.Module):
    """A ResNet of ResNet-18's kind, with `widths` in place of 64, 128, 256, 512: with four of them, its 18 layers."""

    def __init__(
        self,
        widths: tuple[int, ...] = (4, 8),
        blocks: int = 2,
        classes: int = 5,
        dropout: float = 0.1,
        activation: Activation = F.relu,
    ) -> None:
        super().__init__()
        self.activation = activation
        self.conv1 = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        layers = []
        inputs = widths[0]
        for index, width in enumerate(widths):
            for block in range(blocks):
                layers.append(Block(inputs, width, 2 if index > 0 and block == 0 else 1, activation))
                inputs = width
        self.layers = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layers(self.activation(self.bn1(self.conv1(x))))
        return self.fc(self.dropout(x.mean((2, 3))))


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.c_attn = nn.Linear(width, 3 * width)
        self.c_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        q, k, v = (part.view(batch, length, self.heads, -1).transpose(1, 2) for part in self.c_attn(x).split(width, 2))
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
        mask = torch.ones(length, length, dtype=torch.bool, device=x.device).tril()
        out = scores.masked_fill(~mask, -math.inf).softmax(-1) @ v
        return self.c_proj(out.transpose(1, 2).reshape(batch, length, width))


class TransformerBlock(nn.Module):
    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.dropout(self.attn(self.ln_1(x)))
        return x + self.dropout(self.mlp(self.ln_2(x)))


class GPT(nn.Module):
    """A small GPT; the embedding of the tokens is also the last layer's weight."""

    def __init__(self, vocabulary: int = 31, length: int = 12, width: int = 16, heads: int = 4, depth: int = 2):
        super().__init__()
        self.wte = nn.Embedding(vocabulary, width)
        self.wpe = nn.Embedding(length, width)
        self.h = nn.ModuleList(TransformerBlock(width, heads, 0.1) for _ in range(depth))
        self.ln_f = nn.LayerNorm(width)
        self.lm_head = nn.Linear(width, vocabulary, bias=False)
        self.lm_head.weight = self.wte.weight
        for embedding in (self.wte, self.wpe):
            nn.init.normal_(embedding.weight, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1], device=tokens.device))
        for block in self.h:
            x = block(x)
        return self.lm_head(self.ln_f(x))


def next_token_loss(model: nn.Module, tokens: Tensor) -> Tensor:
    """The mean cross-entropy of every next token."""
    logits = model(tokens[:, :-1])
    return F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())


def images(count: int, classes: int = 5, size: int = 8) -> tuple[Tensor, Tensor]:
    """Noise with a bright column that tells the class."""
    labels = torch.arange(count) * 7 % classes
    inputs = torch.randn(count, 3, size, size)
    inputs[torch.arange(count), :, :, labels] += 1.5
    return inputs, labels


def tokens(count: int, length: int = 13, vocabulary: int = 31) -> Tensor:
    """Sequences in which each token is the sum of the two before, more or less."""
    out = torch.randint(0, vocabulary, (count, length))
    for index in range(2, length):
        out[:, index] = (out[:, index - 1] + out[:, index - 2] + torch.randint(0, 2, (count,))) % vocabulary
    return out
