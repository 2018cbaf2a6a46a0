"""What make_gpt2.py and make_llama.py share: a ragged batch, the losses and gradients of a
model on it, ten AdamW steps, and the files that hold them.

Models run in double precision on weights that are exact in single, and every sequence runs
by itself, so nothing is padded. Needs PyTorch; the JSON file names the version that was used.
"""
import json
import pathlib
import struct

import torch
import torch.nn.functional as F

HERE = pathlib.Path(__file__).parent
LENGTHS = [7, 12, 1, 5, 9]
ADAMW = {"lr": 1e-2, "beta1": 0.9, "beta2": 0.99, "epsilon": 1e-8, "decay": 0.1, "clip": 1.0}
STEPS = 10


def initial_weights(shapes):
    """Normal, of deviation 0.2; the scale of a norm, its first row, around 1."""
    weights = {}
    for name, shape in shapes.items():
        w = 0.2 * torch.randn(shape)
        if name.endswith("norm"):
            w.view(-1, shape[-1])[0] += 1.0
        weights[name] = w.double().requires_grad_()
    return weights


def batch(vocab):
    tokens = [torch.randint(vocab, (n,)) for n in LENGTHS]
    weights = []
    for i, n in enumerate(LENGTHS):
        w = torch.ones(n, dtype=torch.double)
        w[0] = 0
        w[2::3] = 0.5 if i % 2 else 0.0
        weights.append(w)
    return tokens, weights


def nll(logits, tokens, weights):
    """Weighted sum of the NLL of tokens 1.. given those before."""
    if len(tokens) == 1:
        return torch.zeros((), dtype=torch.double)
    losses = F.cross_entropy(logits(tokens[:-1]), tokens[1:], reduction="none")
    return (losses * weights[1:]).sum()


def save(name, shape, tensors):
    """The safetensors format by hand, so that nothing but PyTorch is needed."""
    shape = json.dumps(shape, separators=(",", ":"))
    header, data = {"__metadata__": {"shape": shape}}, b""
    for key in sorted(tensors):  # another order than the engine's, on purpose
        raw = struct.pack(f"<{tensors[key].numel()}f", *tensors[key].flatten().tolist())
        header[key] = {"dtype": "F32", "shape": list(tensors[key].shape),
                       "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (HERE / name).write_bytes(struct.pack("<Q", len(text)) + text + data)


def write(name, shape, tensor_shapes, logits):
    """name.json, name_weights.safetensors and name_gradient.safetensors; logits(p, tokens)
    is the model with parameters p on one sequence."""
    torch.manual_seed(0)
    p = initial_weights(tensor_shapes)
    tokens, weights = batch(shape["vocab"])
    total = sum(w.sum().item() for w in weights)
    save(f"{name}_weights.safetensors", shape, p)

    optimizer = torch.optim.AdamW(p.values(), lr=ADAMW["lr"], eps=ADAMW["epsilon"],
                                  betas=(ADAMW["beta1"], ADAMW["beta2"]),
                                  weight_decay=ADAMW["decay"])
    losses, norms, sequences = [], [], None
    for step in range(STEPS):
        n = [nll(lambda x: logits(p, x), t, w) for t, w in zip(tokens, weights)]
        loss = sum(n) / total
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            sequences = [x.item() for x in n]
            save(f"{name}_gradient.safetensors", shape, {k: v.grad for k, v in p.items()})
        losses.append(loss.item())
        norms.append(torch.nn.utils.clip_grad_norm_(p.values(), ADAMW["clip"]).item())
        optimizer.step()

    golden = {"torch": torch.__version__, "shape": shape, "adamw": ADAMW,
              "tokens": [t.tolist() for t in tokens], "weights": [w.tolist() for w in weights],
              "sequences": sequences, "losses": losses, "gradient_norms": norms}
    (HERE / f"{name}.json").write_text(json.dumps(golden, indent=1) + "\n")
