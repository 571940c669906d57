"""The kernels of an artifact on the GPU at hand, and their other configurations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path

from ..artifact import Artifact
from ..artifact.tuning_table import Configuration, Device, Key
from ..codegen.triton.choice import fields_of, legal_candidates
from ..codegen.triton.targets import TARGETS
from ..runtime.choose_target import choose_target
from ..runtime.cuda.executor import CudaExecutor
from ..runtime.load import open_model
from .gpu_costs import GpuCosts
from .gpu_measures import GpuMeasures
from .gpu_steps import StepFrames, limits_for
from .gpu_variants import TURNS_AHEAD, GpuCompiler, GpuVariant
from .gpu_works import GpuWork, GpuWorks
from .space import Times, Work


class GpuSpace:
    """See `Space`. Loads the model, for as long as it is not closed."""

    candidates_a_turn, turns_ahead, expected_turn_s = 8, TURNS_AHEAD, 1.0

    def __init__(self, model: Path) -> None:
        artifact = Artifact.open(model, verify_weights=False)
        self._target_name, device = choose_target(artifact)
        assert device is not None, "an artifact that runs on a GPU here"
        facts = device.facts
        device.close()
        self.device = Device(
            name=facts.name, arch=f"sm_{facts.capability}", num_units=facts.num_multiprocessors
        )
        self._works = GpuWorks(artifact, self._target_name)
        longest = artifact.manifest.model.max_position_embeddings
        loaded = open_model(model, limits_for(self._works.target, longest))
        assert isinstance(loaded.executor, CudaExecutor)
        self._executor = loaded.executor
        self._frames = StepFrames(loaded.plan, artifact.manifest.model.vocab_size)
        self._frames.fill(self._executor)
        self._measures = GpuMeasures(artifact, self._works, self._executor, self._frames)
        assert self._works.target.player is not None, "what was loaded has a player"
        player = artifact.file_path(self._works.target.player)
        self._compiler = GpuCompiler(self._target_name, player, self._executor)
        self._costs = GpuCosts(self._works, self._frames, facts.name, artifact.manifest.model.dtype)
        limits = self._costs.limits
        self.memory_bytes_per_s = limits.bytes_per_s if limits else None
        self._changed: tuple[Mapping[Key, Configuration], list[tuple[GpuWork, GpuVariant]]] | None
        self._changed = None

    def works(self) -> list[Work]:
        """Every region that has a choice, for each size of step; all steps count the same."""
        shares = self._costs.shares()
        return [
            Work(key, work.region.name, shares[key], fields_of(choice.chosen))
            for key, work in self._works.by_key.items()
            if (choice := work.region.choice) is not None
        ]

    def candidates(self, work: Work) -> list[Configuration]:
        """What its kernels can have and a GPU of this kind holds, the artifact's own first."""
        choice = self._works.by_key[work.key].region.choice
        assert choice is not None, "a work has a choice"
        found = [choice.chosen, *legal_candidates(choice.problem, TARGETS[self._target_name])]
        return [fields_of(one) for one in dict.fromkeys(found)]

    def compile(
        self, work: Work, configurations: Sequence[Configuration]
    ) -> list[Future[GpuVariant]]:
        """Variants, compiled by other processes while those before are timed."""
        found, belongs_to = self._works.by_key[work.key], self._compiler.new_round()
        return [
            self._compiler.compile(found, one, f"variant{number}", belongs_to)
            for number, one in enumerate(configurations)
        ]

    def wrong(self, work: Work, built: GpuVariant) -> str | None:
        """Against the artifact's own kernels, after the launches before them."""
        return self._measures.wrong(self._works.by_key[work.key], built)

    def times(self, work: Work, first: GpuVariant, second: GpuVariant, num_pairs: int) -> Times:
        """Seconds of a call; weights and pages are those of all layers in turn."""
        found = self._works.by_key[work.key]
        expected_s = self._costs.expected_s(found)
        return self._measures.times(found, first, second, num_pairs, expected_s)

    def least_s(self, work: Work) -> float | None:
        """By the card's data sheet."""
        return self._costs.least_s(self._works.by_key[work.key])

    def step_times(self, steps: str, chosen: Mapping[Key, Configuration], num_pairs: int) -> Times:
        """Whole steps up to their logits."""
        if self._changed is None or self._changed[0] != chosen:
            belongs_to, variants = self._compiler.new_round(), []
            for number, (key, configuration) in enumerate(chosen.items()):
                work = self._works.by_key[key]
                name = f"variant{number}"
                made = self._compiler.compile(work, configuration, name, belongs_to)
                variants.append((work, made.result()))
            self._changed = dict(chosen), variants
        return self._measures.step_times(self._changed[1], num_pairs)

    def check_alive(self) -> None:
        """An address that does not exist, and its like, end the context for all that comes."""
        with self._executor.device.doing("a variant has ended the search, run again it goes on"):
            self._executor.device.synchronize()

    def close(self) -> None:
        """Ends the workers, and unloads the model and all variants."""
        self._compiler.close()
        self._executor.close()
