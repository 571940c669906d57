"""The products of an artifact on this machine's CPU, and the ways to cut their work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..artifact import Artifact, evaluate
from ..artifact.tuning_table import Configuration, Device, Key
from ..codegen.calls import region_calls
from ..codegen.cpp.choices import BUCKETS, Bucket, bucket_of, candidates, default_configuration
from ..codegen.packing import pack_weights
from ..codegen.tuned_kernels import tuned_in
from ..codegen.tuning_key import key_of
from ..errors import TapeoutError
from ..ir.graph import Module
from ..ir.parser import parse_module
from ..runtime.device_limits import DeviceLimits
from ..runtime.executor import TARGET, Executor
from ..runtime.frame import Frame
from ..runtime.load import open_model
from ..runtime.player import PlayerLibrary
from ..runtime.predict import bounds_of, predict_launches
from .cpu_probe import CpuProbe, cpu_name
from .cpu_steps import LIMITS, plan_steps
from .cpu_variants import Product, Variants
from .cpu_whole_steps import WholeSteps
from .space import Times, Work


class CpuVariant(NamedTuple):
    """One of the variants of a library."""

    library: Variants
    number: int


class _Place(NamedTuple):
    """Where a work is: the product, and the step of its bucket."""

    product: Product
    bucket: Bucket
    frame: Frame
    least_s: float  # of a launch


class CpuSpace:
    """See `Space`. Loads the model, for as long as it is not closed."""

    candidates_a_turn, turns_ahead, expected_turn_s = 8, 1, 5.0

    def __init__(self, model: Path, num_threads: int | None = None) -> None:
        self._loaded = open_model(model, LIMITS, num_threads=num_threads)
        executor = self._loaded.executor
        assert isinstance(executor, Executor), "an artifact that runs on the CPU here"
        self._executor = executor
        self._artifact = Artifact.open(self._loaded.folder, verify_weights=False)
        target = self._artifact.manifest.targets[TARGET]
        assert target.player is not None, "a CPU has a player"
        self._library = PlayerLibrary(self._artifact.file_path(target.player))
        self._probe = CpuProbe(self._library, executor.level, executor.num_threads)
        self.memory_bytes_per_s = self._probe.bytes_per_s(target.weights.total_bytes)
        flops_per_s = self._probe.flops_per_s()
        self._limits = DeviceLimits(self.memory_bytes_per_s, flops_per_s, num_multiprocessors=None)
        self.device = Device(name=cpu_name(), arch=executor.level, num_units=executor.num_threads)
        self._module = parse_module(self._artifact.read("graph.ir").decode())
        self._launches = self._artifact.tape(TARGET, "step").launches
        self._frames = plan_steps(self._loaded)
        tuned = tuned_in(self._artifact, TARGET, executor.level)
        self._own = {key: found.configuration for key, found in tuned.items()}
        self._steps = WholeSteps(self._artifact, self._module, executor, self._library, self._own)
        self._places: dict[Key, _Place] = {}
        self._open: list[Variants] = []

    def works(self) -> list[Work]:
        """Every product in every bucket that a step has it in."""
        found: dict[Key, Work] = {}
        for product in _products(self._artifact, self._module):
            for bucket in BUCKETS:
                work = self._work(product, bucket)
                if work is not None and work.key not in found:
                    found[work.key] = work
        total = sum(work.share for work in found.values())
        return [work._replace(share=work.share / total) for work in found.values()]

    def candidates(self, work: Work) -> list[Configuration]:
        """Every way to cut the work: all give the same bits."""
        return list(candidates(self._places[work.key].bucket))

    def compile(
        self, work: Work, configurations: Sequence[Configuration]
    ) -> list[Future[CpuVariant]]:
        """One library of all, done when this returns: compiling takes the cores that times need."""
        futures: list[Future[CpuVariant]] = [Future() for _ in configurations]
        try:
            product = self._places[work.key].product
            library = Variants(product, work.key, configurations, self._executor, self._library)
        except TapeoutError as error:
            for future in futures:
                future.set_exception(error)
            return futures
        self._open.append(library)
        while len(self._open) > 2:
            self._open.pop(0).close()
        for number, future in enumerate(futures):
            future.set_result(CpuVariant(library, number))
        return futures

    def wrong(self, work: Work, built: CpuVariant) -> str | None:
        """Compares bits with the artifact's own choice, in the bucket's largest step and least."""
        place = self._places[work.key]
        for rows in {_least_rows(place.bucket), place.frame.dims[0]}:
            dims = (rows, rows, rows, 1)
            wanted, found = (built.library.output(number, dims) for number in (0, built.number))
            if not np.array_equal(wanted, found):
                count = int((wanted != found).sum())
                return f"{count} of {len(wanted)} bytes differ in a step of {rows} rows"
        return None

    def times(self, work: Work, first: CpuVariant, second: CpuVariant, num_pairs: int) -> Times:
        """Seconds of a launch, in the step of the bucket."""
        dims = self._places[work.key].frame.dims
        return first.library.times(first.number, second.number, dims, num_pairs)

    def least_s(self, work: Work) -> float | None:
        """By the limits that were measured."""
        return self._places[work.key].least_s

    def step_times(self, steps: str, chosen: Mapping[Key, Configuration], num_pairs: int) -> Times:
        """Steps of a bucket, up to their logits."""
        return self._steps.times(self._frames[steps], chosen, num_pairs)

    def check_alive(self) -> None:
        """A variant that fails has not run."""

    def close(self) -> None:
        """Unloads the model and all libraries."""
        for library in self._open:
            library.close()
        self._steps.close()
        self._probe.close()
        self._executor.close()

    def _work(self, product: Product, bucket: Bucket) -> Work | None:
        """None where the step of the bucket has other rows for the product."""
        frame = self._frames[bucket.name]
        sizes = dict(zip("TSRP", frame.dims, strict=True)) | {"": 1}
        if bucket_of(evaluate(product.launches[0].scalars[0], sizes)) != bucket:
            return None
        key = key_of(product.function, bucket.name, True)
        manifest = self._artifact.manifest
        step = (self._launches, manifest.targets[TARGET], frame, self._limits, manifest.model.dtype)
        bounds, times_s = bounds_of(*step), predict_launches(*step)
        kernel = product.launches[0].kernel
        own = [place for place, one in enumerate(self._launches) if one.kernel == kernel]
        num_bytes = bounds[own[0]].memory_s * self._limits.bytes_per_s
        rate = self._probe.bytes_per_s(round(num_bytes * len(own)))  # as far away as they are timed
        least_s = max(num_bytes / rate, bounds[own[0]].flops_s)
        self._places.setdefault(key, _Place(product, bucket, frame, least_s))
        share = sum(times_s[place] for place in own) / sum(times_s)
        name = f"{product.function.name} {bucket.name}"
        return Work(key, name, share, self._own.get(key) or default_configuration(bucket))


def _products(artifact: Artifact, module: Module) -> Iterator[Product]:
    """The kernels of a step that are products, once each."""
    _, packed = pack_weights(module)
    weights = {call.region.name: call for call in region_calls(module)}
    launches = artifact.tape(TARGET, "step").launches
    for kernel in artifact.manifest.targets[TARGET].kernels:
        own = [launch for launch in launches if launch.kernel == kernel.name]
        if kernel.anchor == "linear" and own:
            call = weights[kernel.region]
            pairs = zip(call.region.params, call.weights, strict=True)
            names = frozenset(param.name for param, weight in pairs if weight in packed)
            yield Product(call.region, names, own)


def _least_rows(bucket: Bucket) -> int:
    before = BUCKETS[: BUCKETS.index(bucket)]
    return 1 + max((earlier.max_rows or 0 for earlier in before), default=0)
