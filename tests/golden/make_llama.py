#!/usr/bin/python3
"""Golden numbers for tests/model/test_golden.c from an independent Llama of two blocks with
grouped heads, an output matrix of its own, and, as Qwen2 has them, biases of queries, keys and
values: writes llama.json, llama_weights.safetensors and llama_gradient.safetensors beside this
script (golden.py says what is in them).

Rotary positions and the sharing of heads are written as the model code of the field writes
them (rotate_half, repeat_interleave), not as the engine does.
"""
import math

import torch
import torch.nn.functional as F

import golden

SHAPE = {"vocab": 31, "context": 12, "width": 24, "layers": 2, "heads": 6, "kv_heads": 2,
         "hidden": 40, "tied": False, "norm": "rmsnorm", "position": "rotary", "mlp": "swiglu",
         "bias": "qkv", "norm_epsilon": 1e-5, "rope_base": 10000.0}
HEADS, KV_HEADS, SIZE = SHAPE["heads"], SHAPE["kv_heads"], SHAPE["width"] // SHAPE["heads"]


def tensor_shapes():
    c, f, qkv = SHAPE["width"], SHAPE["hidden"], (HEADS + 2 * KV_HEADS) * SIZE
    shapes = {"token_embedding": (SHAPE["vocab"], c)}
    for i in range(SHAPE["layers"]):
        b = f"block.{i}."
        shapes |= {b + "attention.norm": (c,), b + "attention.qkv": (qkv, c),
                   b + "attention.qkv_bias": (qkv,), b + "attention.out": (c, c),
                   b + "mlp.norm": (c,), b + "mlp.gate": (f, c), b + "mlp.up": (f, c),
                   b + "mlp.down": (c, f)}
    return shapes | {"final_norm": (c,), "output": (SHAPE["vocab"], c)}


def norm(x, w):
    return w * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + SHAPE["norm_epsilon"])


def rotate_half(x):
    low, high = x.chunk(2, dim=-1)
    return torch.cat((-high, low), dim=-1)


def rotary(x):
    """x (heads, tokens, size)."""
    inverse = SHAPE["rope_base"] ** (-torch.arange(0, SIZE, 2, dtype=torch.double) / SIZE)
    angles = torch.outer(torch.arange(x.shape[1], dtype=torch.double), inverse)
    angles = torch.cat((angles, angles), dim=-1)
    return x * angles.cos() + rotate_half(x) * angles.sin()


def attention(x, p, b):
    t, c = x.shape
    qkv = F.linear(x, p[b + "qkv"], p[b + "qkv_bias"])
    q, k, v = (part.view(t, -1, SIZE).transpose(0, 1) for part in
               qkv.split([HEADS * SIZE, KV_HEADS * SIZE, KV_HEADS * SIZE], dim=-1))
    q, k = rotary(q), rotary(k)
    k, v = (x.repeat_interleave(HEADS // KV_HEADS, dim=0) for x in (k, v))
    scores = q @ k.transpose(-1, -2) / math.sqrt(SIZE)
    scores = scores.masked_fill(torch.ones(t, t, dtype=torch.bool).triu(1), -math.inf)
    return F.linear((scores.softmax(-1) @ v).transpose(0, 1).reshape(t, c), p[b + "out"])


def logits(p, tokens):
    x = p["token_embedding"][tokens]
    for i in range(SHAPE["layers"]):
        a, m = f"block.{i}.attention.", f"block.{i}.mlp."
        x = x + attention(norm(x, p[a + "norm"]), p, a)
        h = norm(x, p[m + "norm"])
        x = x + F.linear(F.silu(F.linear(h, p[m + "gate"])) * F.linear(h, p[m + "up"]),
                         p[m + "down"])
    return F.linear(norm(x, p["final_norm"]), p["output"])


golden.write("llama", SHAPE, tensor_shapes(), logits)
