#!/usr/bin/python3
"""Golden numbers for tests/model/test_golden.c from an independent GPT-2 of two blocks: writes
gpt2.json, gpt2_weights.safetensors and gpt2_gradient.safetensors beside this script (golden.py
says what is in them). Their shape has six sizes and no style: such files exist and must load.
"""
import math

import torch
import torch.nn.functional as F

import golden

linear = F.linear  # make_bf16.py puts another one here
SHAPE = {"vocab": 31, "context": 12, "width": 16, "layers": 2, "heads": 2, "hidden": 64}


def tensor_shapes():
    c, f = SHAPE["width"], SHAPE["hidden"]
    shapes = {"token_embedding": (SHAPE["vocab"], c), "position_embedding": (SHAPE["context"], c)}
    for i in range(SHAPE["layers"]):
        b = f"block.{i}."
        shapes |= {b + "attention.norm": (2, c), b + "attention.qkv": (3 * c, c),
                   b + "attention.qkv_bias": (3 * c,), b + "attention.out": (c, c),
                   b + "attention.out_bias": (c,), b + "mlp.norm": (2, c),
                   b + "mlp.up": (f, c), b + "mlp.up_bias": (f,),
                   b + "mlp.down": (c, f), b + "mlp.down_bias": (c,)}
    return shapes | {"final_norm": (2, c)}


def norm(x, w):
    return F.layer_norm(x, x.shape[-1:], w[0], w[1], eps=1e-5)


def attention(x, p, b):
    t, c = x.shape
    heads, d = SHAPE["heads"], c // SHAPE["heads"]
    qkv = linear(x, p[b + "qkv"], p[b + "qkv_bias"])
    q, k, v = qkv.view(t, 3, heads, d).permute(1, 2, 0, 3)
    scores = q @ k.transpose(-1, -2) / math.sqrt(d)
    scores = scores.masked_fill(torch.ones(t, t, dtype=torch.bool).triu(1), -math.inf)
    out = (scores.softmax(-1) @ v).transpose(0, 1).reshape(t, c)
    return linear(out, p[b + "out"], p[b + "out_bias"])


def logits(p, tokens):
    x = p["token_embedding"][tokens] + p["position_embedding"][: len(tokens)]
    for i in range(SHAPE["layers"]):
        a, m = f"block.{i}.attention.", f"block.{i}.mlp."
        x = x + attention(norm(x, p[a + "norm"]), p, a)
        up = linear(norm(x, p[m + "norm"]), p[m + "up"], p[m + "up_bias"])
        x = x + linear(F.gelu(up, approximate="tanh"), p[m + "down"], p[m + "down_bias"])
    return linear(norm(x, p["final_norm"]), p["token_embedding"])


if __name__ == "__main__":
    golden.write("gpt2", SHAPE, tensor_shapes(), logits)
