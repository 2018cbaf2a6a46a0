#!/usr/bin/env python3
"""A GPT-2 style training step in PyTorch: what `palimpsest bench --peer` compares with.

The program starts this script and talks to it through standard input and output; see
src/bench/peer.h. Model, weights, batches, loss and optimizer are those of the program.
Batches are padded to their longest sequence, as is usual in PyTorch.
"""
import contextlib
import sys
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional

IGNORED = -100  # cross_entropy() leaves such targets out of its mean


class Block(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)

    def attend(self, x, mask):
        n, length, width = x.shape
        q, k, v = (part.view(n, length, self.heads, -1).transpose(1, 2)
                   for part in self.qkv(x).split(width, dim=2))
        if hasattr(functional, "scaled_dot_product_attention"):
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            scores = q @ k.transpose(2, 3) * (width // self.heads) ** -0.5
            y = torch.softmax(scores.masked_fill(mask, float("-inf")), dim=-1) @ v
        return self.out(y.transpose(1, 2).reshape(n, length, width))

    def forward(self, x, mask):
        x = x + self.attend(self.attention_norm(x), mask)
        y = functional.gelu(self.up(self.mlp_norm(x)), approximate="tanh")
        return x + self.down(y)


class Model(nn.Module):
    def __init__(self, vocab, context, width, layers, heads, hidden):
        super().__init__()
        self.token = nn.Embedding(vocab, width)
        self.position = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width, heads, hidden) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        later = torch.ones(context, context, dtype=torch.bool).triu(1)
        self.register_buffer("later", later, persistent=False)

    def forward(self, tokens):
        length = tokens.shape[1]
        x = self.token(tokens) + self.position.weight[:length]
        for block in self.blocks:
            x = block(x, self.later[:length, :length])
        return self.norm(x) @ self.token.weight.T

    def load(self, flat):
        """The program's one buffer has these tensors in this order, without gaps."""
        at = 0
        for parameter in self.parameters():
            size = parameter.numel()
            parameter.data.copy_(flat[at:at + size].view_as(parameter))
            at += size
        assert at == len(flat)


class Trainer:
    def __init__(self, sizes, weights, batches, precision):
        self.model = Model(*sizes)
        self.model.load(weights)
        self.batches, self.precision = batches, precision
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4,
                                           betas=(0.9, 0.99), weight_decay=0.0)

    def step(self, number):
        inputs, targets = self.batches[number % len(self.batches)]
        with (torch.autocast("cpu", dtype=torch.bfloat16) if self.precision == "bf16"
              else contextlib.nullcontext()):
            logits = self.model(inputs)
            loss = functional.cross_entropy(logits.flatten(0, 1).float(),
                                            targets.flatten(), ignore_index=IGNORED)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return loss.item()


def read(dtype, count):
    size = np.dtype(dtype).itemsize * count
    return np.frombuffer(sys.stdin.buffer.read(size), dtype, count)


def read_batch():
    """Tokens to read and tokens to predict, both (sequences, longest - 1)."""
    sequences, = read(np.int32, 1)
    offsets = read(np.int32, sequences + 1)
    tokens = read(np.int32, offsets[-1])
    lengths = np.diff(offsets)
    inputs = torch.zeros(sequences, lengths.max() - 1, dtype=torch.long)
    targets = torch.full_like(inputs, IGNORED)
    for row, (start, length) in enumerate(zip(offsets, lengths)):
        sequence = torch.tensor(tokens[start:start + length], dtype=torch.long)
        inputs[row, :length - 1] = sequence[:-1]
        targets[row, :length - 1] = sequence[1:]
    return inputs, targets


def main():
    print("ready", torch.__version__, flush=True)
    threads, *sizes, batches, count = map(int, sys.stdin.buffer.readline().split())
    torch.set_num_threads(threads)
    batches = [read_batch() for _ in range(batches)]
    weights = torch.tensor(read(np.float32, count))
    trainers = {}
    for line in sys.stdin.buffer:
        precision, first, steps = line.decode().split()
        if precision not in trainers:
            trainers[precision] = Trainer(sizes, weights, batches, precision)
        start = time.perf_counter()
        for number in range(int(first), int(first) + int(steps)):
            loss = trainers[precision].step(number)
        print(time.perf_counter() - start, loss, flush=True)


main()
