"""Regions of routed experts, with random weights."""

import torch

TEXT = """
func @mix(%x: {d}[T, {h}], %indices: i32[T, {k}], %weights: {d}[T, {k}], %up: {d}[{e}, {u}, {h}],
          %down: {d}[{e}, {h}, {i}]{biases}) {{anchor = "experts"}} {{
  %y: {d}[T, {h}] = experts(%x, %indices, %weights, %up, %down{names})
    {{activation = "{activation}", gated = {gated}}}
  return %y
}}"""
BIASES = ", %up_bias: {d}[{e}, {u}], %down_bias: {d}[{e}, {h}]"
SILU = "(a / (1.0 + exp(-a))) * b"
CLAMPED = "(min(max(b, -7.0), 7.0) + 1.0) * (min(a, 7.0) / (1.0 + exp(-1.702 * min(a, 7.0))))"
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


class Experts:
    """An experts region with random weights."""

    def __init__(self, d="f32", h=72, i=40, e=6, k=2, **options):
        self.d, self.h, self.e, self.k = DTYPES[d], h, e, k
        self.text = self.text_of(d, h, i, e, k, **options)
        u = 2 * i if options.get("gated", True) else i
        torch.manual_seed(0)
        biases = [(e, u), (e, h)] if options.get("biases") else []
        shapes = [(e, u, h), (e, h, i), *biases]
        self.weights = [(torch.randn(*s) / s[-1] ** 0.5).to(self.d) for s in shapes]

    @staticmethod
    def text_of(d, h, i, e, k, activation=SILU, biases=False, gated=True):
        """The region's IR."""
        sizes = {"d": d, "h": h, "i": i, "e": e, "k": k, "u": 2 * i if gated else i}
        return TEXT.format(
            **sizes,
            activation=activation,
            gated=str(gated).lower(),
            biases=BIASES.format(**sizes) if biases else "",
            names=", %up_bias, %down_bias" if biases else "",
        )

    def arguments(self, tokens, choices=None):
        """Operands of a step; each token's choices are random ones, or those given."""
        torch.manual_seed(tokens)
        if choices is None:
            choices = [torch.randperm(self.e)[: self.k].tolist() for _ in range(tokens)]
        indices = torch.tensor(choices).int()
        x, shares = torch.randn(tokens, self.h), torch.rand(tokens, self.k)
        return [x.to(self.d), indices, shares.to(self.d), *self.weights]
