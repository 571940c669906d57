"""A whole artifact whose model is twenty lines of C: the runtime's tests need no compiler.

The next token is a hash of what the cache pages hold, read through the block table, in two layers
of one cache group. So a page that is stale, foreign or unwritten changes a token.
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
VOCAB, CONTEXT, EOS, PAGE = 320, 256, 0, 16
SALT = 77
CHAT = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    "{% if tools %}{{ tools | tojson }}{% endif %}{% if add_generation_prompt %}<a>{% endif %}"
)
KERNELS = r"""
#include <string.h>
#include "tapeout_abi.h"
#define PAGE 16
enum { VOCAB = 320 };
static int64_t next_unit(const tapeout_launch *l) {
    return __atomic_fetch_add(l->ticket, 1, __ATOMIC_RELAXED);
}
static uint64_t fold(uint64_t h, uint64_t v) { return (h ^ v) * 1099511628211ull; }

/* token_ids, positions, sequence_ids, block_table, cache, weight; scalars: T, P, layer */
void write_tags(const tapeout_launch *l, int num_workers) {
    const int32_t *token_ids = l->buffers[0], *positions = l->buffers[1];
    const int32_t *sequence_ids = l->buffers[2], *table = l->buffers[3];
    int64_t *cache = l->buffers[4], salt = *(const int64_t *)l->buffers[5];
    int64_t width = l->scalars[1], layer = l->scalars[2];
    for (int64_t t; (t = next_unit(l)) < l->scalars[0];) {
        int32_t page = table[sequence_ids[t] * width + positions[t] / PAGE];
        cache[page * PAGE + positions[t] % PAGE] = token_ids[t] * (salt + layer) + positions[t];
    }
}

/* logit_rows, positions, sequence_ids, block_table, cache 0, cache 1, logits; scalars: R, P */
void hash_pages(const tapeout_launch *l, int num_workers) {
    const int32_t *logit_rows = l->buffers[0], *positions = l->buffers[1];
    const int32_t *sequence_ids = l->buffers[2], *table = l->buffers[3];
    const int64_t *caches[2] = {l->buffers[4], l->buffers[5]};
    for (int64_t row; (row = next_unit(l)) < l->scalars[0];) {
        int32_t t = logit_rows[row];
        uint64_t hash = 14695981039346656037ull;
        for (int32_t p = 0; p <= positions[t]; p++) {
            int64_t page = table[sequence_ids[t] * l->scalars[1] + p / PAGE];
            for (int i = 0; i < 2; i++) hash = fold(hash, caches[i][page * PAGE + p % PAGE]);
        }
        float *logits = (float *)l->buffers[6] + row * VOCAB;
        memset(logits, 0, VOCAB * sizeof *logits);
        logits[hash % VOCAB] = 1;
    }
}

/* logits, temperature, seeds, sample_positions, sampled; scalars: R */
void choose(const tapeout_launch *l, int num_workers) {
    const float *temperature = l->buffers[1];
    const int64_t *seeds = l->buffers[2], *positions = l->buffers[3];
    for (int64_t row; (row = next_unit(l)) < l->scalars[0];) {
        const float *logits = (const float *)l->buffers[0] + row * VOCAB;
        int32_t best = 0;
        for (int32_t i = 1; i < VOCAB; i++) best = logits[i] > logits[best] ? i : best;
        if (temperature[row] > 0) best = fold(fold(best + 1, seeds[row]), positions[row]) % VOCAB;
        ((int32_t *)l->buffers[4])[row] = best;
    }
}
"""
STEP = Tape(
    launches=[
        *(
            Launch(
                kernel="write_tags",
                buffers=[
                    InputBuffer("token_ids"),
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
SAMPLE = Tape(
    launches=[
        Launch(
            kernel="choose",
            buffers=[
                SlotBuffer(1),
                InputBuffer("temperature"),
                InputBuffer("seeds"),
                InputBuffer("sample_positions"),
                SlotBuffer(0),
            ],
            scalars=[{"R": 1}],
        )
    ]
)
INPUTS = [
    ("token_ids", "i32", {"T": 4}),
    ("positions", "i32", {"T": 4}),
    ("sequence_ids", "i32", {"T": 4}),
    ("query_start", "i32", {"": 4, "S": 4}),
    ("context_lengths", "i32", {"S": 4}),
    ("logit_rows", "i32", {"R": 4}),
    ("temperature", "f32", {"R": 4}),
    ("seeds", "i64", {"R": 8}),
    ("sample_positions", "i64", {"R": 8}),
]


def reference(prompt, num_tokens, seed=None) -> list[int]:
    """What the model says to a prompt that is alone in the world; greedy if there is no seed."""
    known = list(prompt)
    for _ in range(num_tokens):
        value = 14695981039346656037
        for position, token_id in enumerate(known):
            for layer in range(2):
                value = _fold(value, token_id * (SALT + layer) + position)
        token_id = value % VOCAB
        if seed is not None:
            token_id = _fold(_fold(token_id + 1, seed % 2**64), len(known)) % VOCAB
        known.append(token_id)
    return known[len(prompt) :]


def build_fake(path: Path, eos_token_ids=(EOS,), levels=("x86-64-v3",)) -> Path:
    """Writes the artifact."""
    with ArtifactWriter(path) as writer:
        for level in levels:
            writer.add_bytes(f"kernels/cpu/{level}.so", _compiled(path.parent, KERNELS))
        player = (ROOT / "codegen" / "player" / "player.c").read_text()
        writer.add_bytes("player/player.so", _compiled(path.parent, player))
        writer.add_bytes("tapes/cpu/step.json", encode(STEP))
        writer.add_bytes("tapes/cpu/sample.json", encode(SAMPLE))
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
    inputs = [Input(name=name, dtype=dtype, bytes=size) for name, dtype, size in INPUTS]
    table = Input(name="block_table_full", dtype="i32", bytes={"SP": 4})
    kernels = ("write_tags", "hash_pages", "choose")
    return Target(
        levels={level: f"kernels/cpu/{level}.so" for level in levels},
        player="player/player.so",
        inputs=[*inputs, table],
        slots=[Slot(bytes=[{"R": 4}, {"": 8}]), Slot(bytes=[{"R": 4 * VOCAB}])],
        outputs={"logits": 1, "sampled": 0},
        cache_groups=[
            CacheGroup(
                name="full", layers=2, page_size_tokens=PAGE, page_bytes_per_layer=128, window=None
            )
        ],
        tapes={"step": "tapes/cpu/step.json", "sample": "tapes/cpu/sample.json"},
        weights=weights,
        kernels=[Kernel(name=n, region=n, anchor="rows", math="", source="") for n in kernels],
    )


def _compiled(folder: Path, source: str) -> bytes:
    path, library = folder / "source.c", folder / "library.so"
    path.write_text(source)
    kit = ROOT / "codegen" / "cpp" / "kit"
    command = ["gcc", "-O1", "-shared", "-fPIC", "-pthread", f"-I{kit}", path, "-o", library]
    subprocess.run([*command, "-ldl"], check=True)
    return library.read_bytes()


def _fold(value, item) -> int:
    return (value ^ item) * 1099511628211 % 2**64
