"""Llama with a fusion broken on purpose: what transformers computes is changed, not our passes."""

import torch
from models import save_tiny
from torch import nn
from transformers.models.llama import modeling_llama

from tapeout.frontend.checkpoint import Checkpoint


class ScaledLinear(nn.Linear):
    """Its result is halved: a consumer between the product and who else reads it."""

    def forward(self, x):
        return super().forward(x) * 0.5


class WideLinear(nn.Linear):
    """It computes in fp32, whatever the model's type is."""

    def forward(self, x):
        return nn.functional.linear(x.float(), self.weight.float()).to(x.dtype)


def _with_projection(name, kind):
    """LlamaAttention whose projection of that name is of another class."""
    init = modeling_llama.LlamaAttention.__init__

    def changed(self, *arguments, **options):
        init(self, *arguments, **options)
        getattr(self, name).__class__ = kind

    return {"LlamaAttention.__init__": changed}


def _mlp_with_residual(self, x):
    return self.down_proj(self.act_fn(self.gate_proj(x)) * self.up_proj(x)) + x


def _turn_back(x):
    half = x.shape[-1] // 2
    return torch.cat((x[..., half:], -x[..., :half]), dim=-1)


PLANTED = {
    "q is scaled": _with_projection("q_proj", ScaledLinear),
    "k is in fp32": _with_projection("k_proj", WideLinear),
    "a norm is read twice": {"LlamaMLP.forward": _mlp_with_residual},
    "rope turns back": {"rotate_half": _turn_back},
}
"""What of `modeling_llama` is something else, by what that is."""


def plant(what, monkeypatch):
    """Llamas are broken in that way as long as the monkeypatch lasts."""
    for name, value in PLANTED[what].items():
        monkeypatch.setattr(f"{modeling_llama.__name__}.{name}", value)


def planted_checkpoint(what, folder, monkeypatch):
    """A tiny Llama in bf16 as a checkpoint, which is broken in that way."""
    save_tiny("llama", folder, torch.bfloat16)
    plant(what, monkeypatch)
    return Checkpoint.open(folder)
