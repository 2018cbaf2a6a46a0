#!/usr/bin/python3
"""Golden numbers for tests/model/test_golden.c, from an independent implementation.

A GPT-2-shaped model of two blocks in PyTorch, run in double precision on weights that are
exact in single: loss, summed NLL per sequence, gradients, and the loss before each of ten
AdamW steps with gradient clipping. Every sequence runs by itself, so nothing is padded.

    make_gpt2.py            writes gpt2.json, gpt2_weights.safetensors and
                            gpt2_gradient.safetensors beside this script

Needs PyTorch; the stored files were made with the version named in gpt2.json.
"""
import json
import math
import pathlib
import struct

import torch
import torch.nn.functional as F

HERE = pathlib.Path(__file__).parent
SHAPE = {"vocab": 31, "context": 12, "width": 16, "layers": 2, "heads": 2, "hidden": 64}
LENGTHS = [7, 12, 1, 5, 9]
ADAMW = {"lr": 1e-2, "beta1": 0.9, "beta2": 0.99, "epsilon": 1e-8, "decay": 0.1, "clip": 1.0}
STEPS = 10


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


def initial_weights():
    weights = {}
    for name, shape in tensor_shapes().items():
        w = 0.2 * torch.randn(shape)
        if name.endswith("norm"):
            w[0] += 1.0
        weights[name] = w.double().requires_grad_()
    return weights


def norm(x, w):
    return F.layer_norm(x, x.shape[-1:], w[0], w[1], eps=1e-5)


def attention(x, p, b):
    t, c = x.shape
    heads, d = SHAPE["heads"], c // SHAPE["heads"]
    qkv = F.linear(x, p[b + "qkv"], p[b + "qkv_bias"])
    q, k, v = qkv.view(t, 3, heads, d).permute(1, 2, 0, 3)
    scores = q @ k.transpose(-1, -2) / math.sqrt(d)
    scores = scores.masked_fill(torch.ones(t, t, dtype=torch.bool).triu(1), -math.inf)
    out = (scores.softmax(-1) @ v).transpose(0, 1).reshape(t, c)
    return F.linear(out, p[b + "out"], p[b + "out_bias"])


def logits(p, tokens):
    x = p["token_embedding"][tokens] + p["position_embedding"][: len(tokens)]
    for i in range(SHAPE["layers"]):
        a, m = f"block.{i}.attention.", f"block.{i}.mlp."
        x = x + attention(norm(x, p[a + "norm"]), p, a)
        up = F.linear(norm(x, p[m + "norm"]), p[m + "up"], p[m + "up_bias"])
        x = x + F.linear(F.gelu(up, approximate="tanh"), p[m + "down"], p[m + "down_bias"])
    return norm(x, p["final_norm"]) @ p["token_embedding"].T


def nll(p, tokens, weights):
    """Weighted sum of the NLL of tokens 1.. given those before."""
    losses = F.cross_entropy(logits(p, tokens[:-1]), tokens[1:], reduction="none")
    return (losses * weights[1:]).sum()


def batch():
    tokens = [torch.randint(SHAPE["vocab"], (n,)) for n in LENGTHS]
    weights = []
    for i, n in enumerate(LENGTHS):
        w = torch.ones(n, dtype=torch.double)
        w[0] = 0
        w[2::3] = 0.5 if i % 2 else 0.0
        weights.append(w)
    return tokens, weights


def sequence_losses(p, tokens, weights):
    return [nll(p, t, w) if len(t) > 1 else torch.zeros((), dtype=torch.double)
            for t, w in zip(tokens, weights)]


def save(name, tensors):
    """The safetensors format by hand, so that nothing but PyTorch is needed."""
    shape = json.dumps(SHAPE, separators=(",", ":"))
    header, data = {"__metadata__": {"shape": shape}}, b""
    for key in sorted(tensors):  # another order than the engine's, on purpose
        raw = struct.pack(f"<{tensors[key].numel()}f", *tensors[key].flatten().tolist())
        header[key] = {"dtype": "F32", "shape": list(tensors[key].shape),
                       "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (HERE / name).write_bytes(struct.pack("<Q", len(text)) + text + data)


def main():
    torch.manual_seed(0)
    p = initial_weights()
    tokens, weights = batch()
    total = sum(w.sum().item() for w in weights)
    save("gpt2_weights.safetensors", p)

    optimizer = torch.optim.AdamW(p.values(), lr=ADAMW["lr"], eps=ADAMW["epsilon"],
                                  betas=(ADAMW["beta1"], ADAMW["beta2"]),
                                  weight_decay=ADAMW["decay"])
    losses, norms, sequences = [], [], None
    for step in range(STEPS):
        n = sequence_losses(p, tokens, weights)
        loss = sum(n) / total
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            sequences = [x.item() for x in n]
            save("gpt2_gradient.safetensors", {k: v.grad for k, v in p.items()})
        losses.append(loss.item())
        norms.append(torch.nn.utils.clip_grad_norm_(p.values(), ADAMW["clip"]).item())
        optimizer.step()

    golden = {"torch": torch.__version__, "shape": SHAPE, "adamw": ADAMW,
              "tokens": [t.tolist() for t in tokens], "weights": [w.tolist() for w in weights],
              "sequences": sequences, "losses": losses, "gradient_norms": norms}
    (HERE / "gpt2.json").write_text(json.dumps(golden, indent=1) + "\n")


main()
