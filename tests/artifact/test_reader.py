import os
import re
from hashlib import sha256

import msgspec
import numpy as np
import pytest
from small_artifact import STEP, TENSORS, tensor_bytes, write_small_artifact

from tapeout import settings
from tapeout.artifact import Artifact, encode
from tapeout.artifact.digests import CHUNK_BYTES, Digest, combine, digest_of
from tapeout.artifact.schema import SCHEMA_VERSION, Launch, SlotBuffer, Tape, evaluate
from tapeout.errors import ArtifactError


@pytest.fixture
def path(tmp_path):
    return write_small_artifact(tmp_path / "m.tapeout")


def edit_manifest(path, edit):
    """Changes the manifest as a program would, digest included."""
    data = msgspec.json.decode((path / "manifest.json").read_bytes())
    edit(data)
    text = msgspec.json.encode(data)
    (path / "manifest.json").write_bytes(text)
    (path / "manifest.digest").write_text(digest_of(text) + "\n")


def test_weights_are_read_only_aligned_views_of_the_files(path):
    artifact = Artifact.open(path)
    for spec in TENSORS:
        weight = artifact.weight("cpu", spec.name)
        assert weight.tobytes() == tensor_bytes(spec, "new")
        assert weight.ctypes.data % 64 == 0
        assert not weight.flags.writeable and not weight.flags.owndata


def test_a_tape_comes_back_as_it_was_written(path):
    assert Artifact.open(path).tape("cpu", "step") == STEP


def test_an_expression_is_evaluated_at_the_sizes_of_a_step():
    sizes = {"T": 10, "S": 5, "R": 3, "P": 7}
    assert evaluate({"": 64, "R": 4, "T": 2}, sizes) == 96
    assert evaluate({"SP": 4}, sizes) == 140
    assert evaluate({}, sizes) == 0


def test_weights_outlive_the_artifact_object(path):
    weight = Artifact.open(path).weight("cpu", "table")
    assert weight.tobytes() == tensor_bytes(TENSORS[0], "new")


def test_a_missing_file_is_refused_by_name(path):
    (path / "graph.ir").unlink()
    with pytest.raises(ArtifactError, match=r"graph\.ir: file: found nothing, wanted a file"):
        Artifact.open(path)


@pytest.mark.parametrize(("found", "shown"), [("0" * 64, "0" * 64), ("", "nothing")])
def test_the_digests_of_a_manifest_are_shown_as_texts(path, found, shown):
    (path / "manifest.digest").write_text(found)
    with pytest.raises(ArtifactError, match=f"digest: found [0-9a-f]{{64}}, wanted {shown};"):
        Artifact.open(path)


@pytest.mark.parametrize("name", ["extra", "kernels/extra.so", "weights/.hidden"])
def test_an_extra_file_is_refused_by_name(path, name):
    (path / name).write_text("")
    with pytest.raises(ArtifactError, match=f"{re.escape(name)}: .* extra file, .*; remove it"):
        Artifact.open(path)


def test_an_extra_folder_is_refused(path):
    (path / "kernels" / "gpu").mkdir()
    with pytest.raises(ArtifactError, match="kernels/gpu"):
        Artifact.open(path)


@pytest.mark.parametrize("name", ["graph.ir", "manifest.json", "weights"])
def test_a_link_is_refused_even_to_the_right_bytes(path, name):
    (path / name).rename(path.parent / "elsewhere")
    (path / name).symlink_to(path.parent / "elsewhere")
    with pytest.raises(ArtifactError, match=name):
        Artifact.open(path)


def test_a_pipe_in_the_place_of_a_file_is_refused_without_waiting(path):
    (path / "graph.ir").unlink()
    os.mkfifo(path / "graph.ir")
    with pytest.raises(ArtifactError, match=r"graph\.ir"):
        Artifact.open(path)


def test_a_size_is_checked_before_a_digest(path):
    with (path / "tapes/cpu/step.json").open("ab") as file:
        file.write(b" ")
    size = (path / "tapes/cpu/step.json").stat().st_size
    with pytest.raises(ArtifactError, match=f"bytes: found {size}, wanted {size - 1}"):
        Artifact.open(path)


@pytest.mark.parametrize("number_of_threads", ["1", "3"])
def test_a_digest_names_found_and_wanted(path, number_of_threads):
    data = (path / "graph.ir").read_bytes()
    (path / "graph.ir").write_bytes(data[::-1])
    wanted = f"digest: found {digest_of(data[::-1])}, wanted {digest_of(data)}"
    with settings.NUM_THREADS.override(number_of_threads):
        with pytest.raises(ArtifactError, match=wanted):
            Artifact.open(path)


def test_weights_may_be_verified_later_but_nothing_else(path):
    weights = path / Artifact.open(path).manifest.targets["cpu"].weights.tensors["table"].file
    text = weights.read_bytes()
    weights.write_bytes(text[:-1] + bytes([text[-1] ^ 1]))
    artifact = Artifact.open(path, verify_weights=False)
    with pytest.raises(ArtifactError, match=f"{weights.name}: digest"):
        artifact.verify_weights("cpu")
    (path / "graph.ir").write_bytes(artifact.read("graph.ir")[::-1])
    with pytest.raises(ArtifactError, match=r"graph\.ir: digest"):
        Artifact.open(path, verify_weights=False)


def test_the_chunks_of_a_file_give_its_digest(path):
    artifact = Artifact.open(path)
    digests = [sha256(chunk).digest() for chunk in artifact.chunks("graph.ir")]
    artifact.check_chunks("graph.ir", digests)
    with pytest.raises(ArtifactError, match=r"graph\.ir: digest"):
        artifact.check_chunks("graph.ir", [*digests, digests[0]])


@pytest.mark.parametrize("version", [0, SCHEMA_VERSION + 1])
def test_another_schema_version_is_refused_naming_both(path, version):
    edit_manifest(path, lambda data: data.update(schema=version, field_of_the_future=1))
    with pytest.raises(ArtifactError, match=f"schema: found {version}, wanted {SCHEMA_VERSION}"):
        Artifact.open(path)


WRONG = {
    "an unknown field": lambda data: data["model"].update(surprise=1),
    "a missing field": lambda data: data["model"].pop("vocab_size"),
    "a type that no model has": lambda data: data["model"].update(dtype="f31"),
    "no place for an answer": lambda data: data["model"].update(max_position_embeddings=1),
    "no target": lambda data: data["targets"].clear(),
    "a negative size": lambda data: data["targets"]["cpu"]["weights"].update(total_bytes=-1),
    "a wrong total": lambda data: data["targets"]["cpu"]["weights"].update(total_bytes=1),
    "a slot that is not there": lambda data: data["targets"]["cpu"]["outputs"].update(logits=1),
    "an unknown symbol": lambda data: data["targets"]["cpu"]["inputs"][0].update(bytes={"Q": 1}),
    "a tape not listed": lambda data: data["targets"]["cpu"]["tapes"].update(step="tapes/no"),
    "a weight beyond its file": lambda data: tensor(data).update(offset=1 << 40),
    "a weight off the border": lambda data: tensor(data).update(offset=65),
    "a weight in no file": lambda data: tensor(data).update(file="weights/none"),
    "a path outside": lambda data: data["files"].update({"../x": {"bytes": 0, "digest": ""}}),
    "a cubin not listed": lambda data: kernel(data).update(cubin=cubin("kernels/none.cubin")),
    "a text of machine code not listed": lambda data: kernel(data).update(
        cubin=cubin("graph.ir") | {"assembly": "kernels/none.ptx.gz"}
    ),
    "pages of no tokens": lambda data: data["targets"]["cpu"]["cache_groups"][0].update(
        page_size_tokens=0
    ),
    "a choice of no experts": lambda data: kernel(data).update(routing=[0, 0]),
    "an operand of no kind": lambda data: kernel(data).update(operands=[["local", 0]]),
    "no object": lambda data: data.update(files=[]),
}


def tensor(data):
    return data["targets"]["cpu"]["weights"]["tensors"]["table"]


def kernel(data):
    return data["targets"]["cpu"]["kernels"][0]


def cubin(file):
    counts = {"num_warps": 4, "shared_bytes": 0, "registers": 64, "local_bytes": 0}
    return {"file": file, "assembly": file, "entry": "embed"} | counts


def test_a_manifest_may_say_how_a_kernel_runs_on_a_gpu(path):
    edit_manifest(path, lambda data: kernel(data).update(cubin=cubin("graph.ir")))
    [found] = Artifact.open(path).manifest.targets["cpu"].kernels
    assert found.cubin.entry == "embed" and found.cubin.num_warps == 4


@pytest.mark.parametrize("edit", WRONG.values(), ids=WRONG)
def test_a_manifest_that_lies_is_refused_even_with_a_right_digest(path, edit):
    edit_manifest(path, edit)
    with pytest.raises(ArtifactError):
        Artifact.open(path)


@pytest.mark.parametrize("vocab_size", [0, 4, 6, 1 << 40])
def test_a_vocabulary_that_is_not_that_of_the_logits_is_refused_naming_both(path, vocab_size):
    edit_manifest(path, lambda data: data["model"].update(vocab_size=vocab_size))
    wanted = rf"model\.vocab_size: found {vocab_size}, wanted 5, as targets\.cpu\.outputs\.logits"
    with pytest.raises(ArtifactError, match=f"{wanted} has in a row; build the artifact again"):
        Artifact.open(path)


@pytest.mark.parametrize("token_id", [-1, 5, 1 << 40])
def test_an_end_of_sequence_outside_of_the_vocabulary_is_refused(path, token_id):
    edit_manifest(path, lambda data: data["model"].update(eos_token_ids=[2, token_id]))
    wanted = rf"eos_token_ids: found {token_id}, wanted ids from 0 to 4; build"
    with pytest.raises(ArtifactError, match=wanted):
        Artifact.open(path)


WRONG_LAUNCHES = {
    "kernel": Launch(kernel="none", buffers=[], scalars=[]),
    "buffers": Launch(kernel="embed", buffers=[SlotBuffer(1)], scalars=[]),
    "scalars": Launch(kernel="embed", buffers=[], scalars=[{"Q": 1}]),
}


def replace_tape(path, *launches):
    tape = encode(Tape(launches=launches))
    (path / "tapes/cpu/step.json").write_bytes(tape)
    entry = {"bytes": len(tape), "digest": digest_of(tape)}
    edit_manifest(path, lambda data: data["files"].update({"tapes/cpu/step.json": entry}))


@pytest.mark.parametrize("field", WRONG_LAUNCHES)
def test_a_tape_that_names_what_is_not_there_is_refused(path, field):
    replace_tape(path, WRONG_LAUNCHES[field])
    artifact = Artifact.open(path)
    with pytest.raises(ArtifactError, match=rf"step\.json: launches\[0\]\.{field}"):
        artifact.tape("cpu", "step")


def test_a_launch_has_as_many_buffers_as_its_kernel_has_operands(path):
    edit_manifest(path, lambda data: kernel(data).update(operands=[["input", "ids"]]))
    replace_tape(path, Launch(kernel="embed", buffers=[SlotBuffer(0)], scalars=[]))
    assert Artifact.open(path).tape("cpu", "step").launches
    replace_tape(path, Launch(kernel="embed", buffers=[SlotBuffer(0)] * 2, scalars=[]))
    with pytest.raises(ArtifactError, match=r"buffers: found 2, wanted 1, as embed has operands"):
        Artifact.open(path).tape("cpu", "step")


def test_no_folder_is_refused_by_name(tmp_path):
    with pytest.raises(ArtifactError, match=r"none: folder: found nothing, wanted an artifact"):
        Artifact.open(tmp_path / "none")


def test_a_file_is_refused_as_one(path):
    with pytest.raises(ArtifactError, match=r"json: folder: found a file, wanted an artifact"):
        Artifact.open(path / "manifest.json")


def test_a_checkpoint_is_refused_with_what_makes_an_artifact_of_it(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"no manifest\.json, .* compile a checkpoint into one"):
        Artifact.open(tmp_path)


def test_a_file_replaced_after_opening_is_not_handed_to_a_loader(path):
    artifact = Artifact.open(path)
    assert artifact.file_path("player/player.so") == path / "player/player.so"
    write_small_artifact(path, "other")
    with pytest.raises(ArtifactError, match="found another file, wanted the one verified"):
        artifact.file_path("player/player.so")
    assert artifact.read("graph.ir") == b"module of new\n"


def test_a_file_that_is_not_listed_is_not_read(path):
    with pytest.raises(ArtifactError, match=r"no manifest\.json"):
        Artifact.open(path).read("manifest.json")


def test_a_digest_does_not_depend_on_the_pieces_that_data_comes_in():
    data = memoryview(bytes(range(256)) * (5 * CHUNK_BYTES // 256 + 1))
    digest, sizes, rest = Digest(), [7, CHUNK_BYTES, 3 * CHUNK_BYTES, CHUNK_BYTES - 8], data
    for size in [*sizes, len(data)]:
        digest.update(rest[:size])
        rest = rest[size:]
    assert digest.hexdigest() == digest_of(data)


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, 2 * CHUNK_BYTES + 7])
def test_a_digest_does_not_depend_on_the_pieces_it_was_fed(size):
    data = np.random.default_rng(size).bytes(size)
    digest = Digest()
    for start in range(0, size, 1_000_003):
        digest.update(memoryview(data)[start : start + 1_000_003])
    chunks = [data[start : start + CHUNK_BYTES] for start in range(0, size, CHUNK_BYTES)]
    from hashlib import sha256

    assert digest.hexdigest() == digest_of(data)
    assert digest_of(data) == combine([sha256(chunk).digest() for chunk in chunks])
