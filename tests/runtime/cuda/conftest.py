"""Every test of the executor runs on the fake driver, and with `-m gpu` on a real one."""

from cuda_models import driver, fake_cuda, model, real_cuda

__all__ = ["driver", "fake_cuda", "model", "real_cuda"]
