#!/usr/bin/python3
"""Golden numbers for tests/model/test_golden.c: the GPT-2 of make_gpt2.py with every product of
a linear layer, forward and backward, from factors rounded to bf16; sums and all else as there.
Writes bf16.json, bf16_weights.safetensors and bf16_gradient.safetensors beside this script.
"""
import torch

import golden
import make_gpt2


def rounded(x):
    return x.float().bfloat16().double()


class Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return rounded(x) @ rounded(w).T

    @staticmethod
    def backward(ctx, dy):
        x, w = ctx.saved_tensors
        return rounded(dy) @ rounded(w), rounded(dy).T @ rounded(x)


def linear(x, w, b=0):
    return Product.apply(x, w) + b


make_gpt2.linear = linear
golden.write("bf16", make_gpt2.SHAPE, make_gpt2.tensor_shapes(), make_gpt2.logits)
