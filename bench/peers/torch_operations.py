"""The operations of operations.cpp and the model of vae.h, in PyTorch, for every peer that uses it."""

import torch
import torch.nn.functional as F

OPERATIONS = {
    "add": lambda x, y: x + y,
    "mul": lambda x, y: x * y,
    "relu": lambda x: torch.relu(x),
    "exp": lambda x: torch.exp(x),
    "sigmoid": lambda x: torch.sigmoid(x),
    "tanh": lambda x: torch.tanh(x),
    "gelu": lambda x: F.gelu(x),
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "gelu_sigmoid": lambda x: x * torch.sigmoid(1.702 * x),
    "softmax": lambda x: torch.softmax(x, -1),
    "log_softmax": lambda x: torch.log_softmax(x, -1),
    "cross_entropy": lambda x, y: F.cross_entropy(x, y),
    "sum_all": lambda x: x.sum(),
    "sum_last": lambda x: x.sum(-1),
    "sum_first": lambda x: x.sum(0),
    "mean_last": lambda x: x.mean(-1),
    "max_last": lambda x: x.amax(-1),  # like ours it shares the gradient among equals
    "copy": lambda x: x.clone(),
    "transpose": lambda x: x.t().contiguous(),
    "embedding": lambda x, y: F.embedding(y, x),
}


def vae_loss(p: dict[str, torch.Tensor], x: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    def linear(layer: str, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, p[f"{layer}.weight"], p[f"{layer}.bias"])

    h = torch.relu(linear("encode", x))
    mean, log_variance = linear("to_mean", h), linear("to_log_variance", h)
    z = mean + noise * torch.exp(0.5 * log_variance)
    logits = linear("to_pixels", torch.relu(linear("decode", z)))
    kl = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum()
    loss = F.binary_cross_entropy_with_logits(logits, x, reduction="sum") + kl
    return loss / x.size(0)
