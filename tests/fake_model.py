"""A whole artifact whose model is a page of C, fake_model.c: the runtime's tests need no compiler.

The next token is a hash of what the cache pages hold, read through the block table, in two layers
of one cache group. So a page that is stale, foreign or unwritten changes a token. The chosen
token's logit is 1 and all others 0, before masks and edits; other settings but temperature and
seed change nothing.
"""

import subprocess
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from tapeout.artifact import (
    ArtifactWriter,
    CacheBuffer,
    CacheGroup,
    Input,
    InputBuffer,
    Kernel,
    Launch,
    Manifest,
    Model,
    Slot,
    SlotBuffer,
    Tape,
    Target,
    TensorSpec,
    WeightBuffer,
    encode,
)

ROOT = Path(__file__).parent.parent
KERNELS, PLAYER = ROOT / "tests" / "fake_model.c", ROOT / "codegen" / "player" / "player.c"
VOCAB, CONTEXT, EOS, PAGE = 320, 256, 0, 16
NAN_TOKEN = VOCAB - 1  # every row that can see it is not finite; the model itself never says it
SALT = 77
CHAT = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    "{% if tools %}{{ tools | tojson }}{% endif %}{% if add_generation_prompt %}<a>{% endif %}"
)
STEP = Tape(
    launches=[
        *(
            Launch(
                kernel="write_tags",
                buffers=[
                    InputBuffer("token_table"),
                    InputBuffer("token_places"),
                    InputBuffer("positions"),
                    InputBuffer("sequence_ids"),
                    InputBuffer("block_table_full"),
                    CacheBuffer("full", layer),
                    WeightBuffer("salt"),
                ],
                scalars=[{"T": 1}, {"P": 1}, {"": layer}],
            )
            for layer in range(2)
        ),
        Launch(
            kernel="hash_pages",
            buffers=[
                InputBuffer("logit_rows"),
                InputBuffer("positions"),
                InputBuffer("sequence_ids"),
                InputBuffer("block_table_full"),
                CacheBuffer("full", 0),
                CacheBuffer("full", 1),
                SlotBuffer(1),
            ],
            scalars=[{"R": 1}, {"P": 1}],
        ),
    ]
)
CHOICE_INPUTS = ("temperature", "seeds", "sample_slots", "sample_positions", "sample_places")
EDIT_INPUTS = ("num_edits", "edit_tokens", "edit_values", "edit_ends", "edit_prefix_starts")
SLOTS = {"sampled": 0, "logits": 1, "chosen_logprobs": 2, "ranks": 3}
SLOTS |= {"top_token_ids": 4, "top_logprobs": 5}
SAMPLE = Tape(
    launches=[
        Launch(
            kernel="choose",
            buffers=[
                InputBuffer("token_table"),
                *(InputBuffer(name) for name in (*CHOICE_INPUTS, "targets")),
                SlotBuffer(SLOTS["logits"]),
                *(InputBuffer(name) for name in (*EDIT_INPUTS, "edit_prefixes")),
                InputBuffer("has_mask"),
                InputBuffer("masks"),
                SlotBuffer(SLOTS["sampled"]),
            ],
            scalars=[{"R": 1}],
        ),
        Launch(
            kernel="report",
            buffers=[SlotBuffer(slot) for slot in (1, 0, 2, 3, 4, 5)],
            scalars=[{"R": 1}],
        ),
    ]
)
INPUTS = [
    ("token_table", "i32", {"L": 4}),
    ("token_places", "i32", {"T": 4}),
    ("positions", "i32", {"T": 4}),
    ("sequence_ids", "i32", {"T": 4}),
    ("query_start", "i32", {"": 4, "S": 4}),
    ("context_lengths", "i32", {"S": 4}),
    ("logit_rows", "i32", {"R": 4}),
    ("sample_slots", "i32", {"R": 4}),
    ("sample_positions", "i64", {"R": 8}),
    ("sample_places", "i32", {"R": 4}),
    ("targets", "i32", {"R": 4}),
    ("seeds", "i64", {"N": 8}),
    *((name, "f32", {"N": 4}) for name in ("temperature", "top_p", "min_p")),
    *((f"{kind}_penalty", "f32", {"N": 4}) for kind in ("repetition", "presence", "frequency")),
    *((name, "i32", {"N": 4}) for name in ("top_k", "num_prompt_tokens", "num_edits", "has_mask")),
    *((name, "i32", {"N": 4}) for name in ("num_logprobs", "num_prompt_logprobs")),
    ("edit_tokens", "i32", {"N": 4 * 1024}),
    ("edit_values", "f32", {"N": 4 * 1024}),
    ("edit_ends", "i32", {"N": 4 * 1024}),
    ("edit_prefix_starts", "i32", {"N": 4 * 1025}),
    ("edit_prefixes", "i32", {"N": 4 * 2048}),
    ("masks", "i32", {"N": VOCAB // 8}),
    ("block_table_full", "i32", {"SP": 4}),
]


def reference(prompt, num_tokens, seed=None) -> list[int]:
    """What the model says to a prompt that is alone in the world; greedy if there is no seed."""
    known = list(prompt)
    for _ in range(num_tokens):
        value = 14695981039346656037
        for position, token_id in enumerate(known):
            for layer in range(2):
                value = _fold(value, token_id * (SALT + layer) + position)
        token_id = value % NAN_TOKEN
        if seed is not None:
            token_id = _fold(_fold(token_id + 1, seed % 2**64), len(known)) % NAN_TOKEN
        known.append(token_id)
    return known[len(prompt) :]


def build_fake(
    path: Path, eos_token_ids=(EOS,), levels=("x86-64-v3",), with_tokenizer=True
) -> Path:
    """Writes the artifact."""
    with ArtifactWriter(path) as writer:
        for level in levels:
            writer.add_bytes(f"kernels/cpu/{level}.so", _compiled(path.parent, KERNELS))
        writer.add_bytes("player/player.so", _compiled(path.parent, PLAYER))
        writer.add_bytes("tapes/cpu/step.json", encode(STEP))
        writer.add_bytes("tapes/cpu/sample.json", encode(SAMPLE))
        if with_tokenizer:
            writer.add_bytes("tokenizer.json", make_tokenizer().to_str().encode())
            writer.add_bytes("tokenizer_config.json", b'{"eos_token": "<eos>", "bos_token": null}')
            writer.add_bytes("chat_template.jinja", CHAT.encode())
        weights = writer.weights("cpu", [TensorSpec("salt", "I64", (1,))])
        weights.add("salt", np.array([SALT], np.int64).tobytes())
        target = _target(weights.finish(), levels)
        model = Model(
            architecture="FakeForCausalLM",
            dtype="f32",
            vocab_size=VOCAB,
            max_position_embeddings=CONTEXT,
            eos_token_ids=list(eos_token_ids),
            bos_token_id=None,
        )
        return writer.commit(Manifest(tool={}, model=model, targets={"cpu": target}))


def make_tokenizer() -> Tokenizer:
    """Bytes, some words, and `<eos>` as id 0; every id of the model has a text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB,
        special_tokens=["<eos>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["the cat sat on the mat and all was well again"], trainer)
    return tokenizer


def _target(weights, levels) -> Target:
    row_bytes = {"logits": 4 * VOCAB, "top_token_ids": 4 * 20, "top_logprobs": 4 * 20}
    sizes = [[{"R": row_bytes.get(name, 4)}, {"": 8}] for name in SLOTS]
    kernels = ("write_tags", "hash_pages", "choose", "report")
    return Target(
        batch_invariant=True,
        levels={level: f"kernels/cpu/{level}.so" for level in levels},
        player="player/player.so",
        inputs=[Input(name=name, dtype=dtype, bytes=size) for name, dtype, size in INPUTS],
        slots=[Slot(bytes=size) for size in sizes],
        outputs=SLOTS,
        cache_groups=[
            CacheGroup(
                name="full", layers=2, page_size_tokens=PAGE, page_bytes_per_layer=128, window=None
            )
        ],
        tapes={"step": "tapes/cpu/step.json", "sample": "tapes/cpu/sample.json"},
        weights=weights,
        kernels=[Kernel(name=n, region=n, anchor="rows", math="", source="") for n in kernels],
    )


def _compiled(folder: Path, source: Path) -> bytes:
    library, kit = folder / "library.so", ROOT / "codegen" / "cpp" / "kit"
    command = ["gcc", "-O1", "-shared", "-fPIC", "-pthread", f"-I{kit}", source, "-o", library]
    subprocess.run([*command, "-ldl", "-lm"], check=True)
    return library.read_bytes()


def _fold(value, item) -> int:
    return (value ^ item) * 1099511628211 % 2**64
