"""What a benchmark needs of the machine."""

import torch


def require_gpu() -> None:
    """Ends a benchmark, before it does anything, where there is no GPU."""
    if not torch.cuda.is_available():
        raise SystemExit("there is no GPU here; this bench needs one")
