from tapeout.codegen.build import describe_target
from tapeout.codegen.packing import pack_weights
from tapeout.codegen.program import compile_program
from tapeout.ir.parser import parse_module

MODULE = """
module level=region {cache_groups = [["full", 4, 1, 8, 8, f32, none]]}
weight @embed f32[40, 8] = checkpoint("embed")
weight @norm f32[8] = checkpoint("norm")
weight @a.w f32[8, 8] for 2 = checkpoint("layers.{2*i}.w")
weight @b.w f32[8, 8] for 2 = checkpoint("layers.{2*i+1}.w")

entry @step(%token_table: i32[L], %token_places: i32[T], %positions: i32[T],
            %sequence_ids: i32[T], %logit_rows: i32[R],
            %cache_full: state[], %block_table_full: i32[S, P]) {
  %table: f32[40, 8] = weight() {dtype = f32, name = "embed", shape = [40, 8]}
  %h: f32[T, 8] = region(%table, %token_table, %token_places) {function = "embed_tokens"}
  %y: f32[T, 8], %c: state[] = repeat(%h, %cache_full, %positions, %sequence_ids, %block_table_full)
    {carried = 2, count = 2, index = [<2*i>, <2*i+1>], pattern = ["layer", "layer"],
     weights = [["a.w"], ["b.w"]]}
  %last: f32[R, 8] = region(%y, %logit_rows) {function = "take_rows"}
  %logits: f32[R, 40] = region(%last, %table) {function = "head"}
  return %logits, %c
}

func @layer(%h: f32[T, 8], %cache: state[], %positions: i32[T], %sequence_ids: i32[T],
            %table: i32[S, P], %w: f32[8, 8]) {
  %x: f32[T, 8] = region(%h, %w) {function = "project"}
  %new: state[] = region(%x, %cache, %positions, %sequence_ids, %table)
    {function = "write", layer = <i>}
  %y: f32[T, 1, 8] = region(%x, %new, %positions, %sequence_ids, %table)
    {function = "attend", layer = <i>}
  %z: f32[T, 8] = region(%y, %w) {function = "project_heads"}
  return %z, %new
}

entry @sample(%logits: f32[R, 40], %sample_slots: i32[R], %temperature: f32[N], %seeds: i64[N],
              %sample_positions: i64[R], %targets: i32[R], %token_table: i32[L],
              %sample_places: i32[R]) {
  %tokens: i32[R], %new: i32[L] = region(%logits, %sample_slots, %temperature, %seeds,
    %sample_positions, %targets, %token_table, %sample_places) {function = "draw"}
  return %tokens, %new
}

func @embed_tokens(%table: f32[40, 8], %tokens: i32[L], %places: i32[T]) {anchor = "rows"} {
  %rows: i32[T] = gather_rows(%tokens, %places)
  %x: f32[T, 8] = gather_rows(%table, %rows)
  return %x
}

func @take_rows(%table: f32[T, 8], %rows: i32[R]) {anchor = "rows"} {
  %x: f32[R, 8] = gather_rows(%table, %rows)
  return %x
}

func @head(%x: f32[R, 8], %w: f32[40, 8]) {anchor = "linear"} {
  %y: f32[R, 40] = linear(%x, %w)
  return %y
}

func @project(%x: f32[T, 8], %w: f32[8, 8]) {anchor = "linear"} {
  %y: f32[T, 8] = linear(%x, %w)
  return %y
}

func @project_heads(%x: f32[T, 1, 8], %w: f32[8, 8]) {anchor = "linear"} {
  %f: f32[T, 8] = reshape(%x) {shape = [<T>, 8]}
  %y: f32[T, 8] = linear(%f, %w)
  return %y
}

func @write(%x: f32[T, 8], %cache: state[], %positions: i32[T], %sequence_ids: i32[T],
            %table: i32[S, P]) {anchor = "rows"} {
  %k: f32[T, 1, 8] = reshape(%x) {shape = [<T>, 1, 8]}
  %new: state[] = kv_write(%cache, %k, %k, %positions, %sequence_ids, %table)
    {group = "full", layer = <i>}
  return %new
}

func @attend(%x: f32[T, 8], %cache: state[], %positions: i32[T], %sequence_ids: i32[T],
             %table: i32[S, P]) {anchor = "attention"} {
  %q: f32[T, 1, 8] = reshape(%x) {shape = [<T>, 1, 8]}
  %y: f32[T, 1, 8] = paged_attention(%q, %cache, %positions, %sequence_ids, %table)
    {group = "full", layer = <i>, num_key_heads = 1, scale = 1.0, value_dim = 8}
  return %y
}

func @draw(%logits: f32[R, 40], %sample_slots: i32[R], %temperature: f32[N], %seeds: i64[N],
           %sample_positions: i64[R], %targets: i32[R], %token_table: i32[L],
           %sample_places: i32[R]) {anchor = "sample"} {
  %tokens: i32[R] = sample(%logits, %logits, %sample_slots, %temperature, %seeds,
    %sample_positions, %targets)
  %new: i32[L] = write_tokens(%token_table, %tokens, %targets, %sample_places)
  return %tokens, %new
}
"""


def program():
    module = parse_module(MODULE)
    return module, compile_program(module, pack_weights(module)[1])


def buffers(launches, kind):
    return [tuple(b[1:]) for launch in launches for b in launch["buffers"] if b[0] == kind]


def test_a_layer_is_unrolled_once_for_each_member_of_its_weights():
    _, made = program()
    step = made.tapes["step"]
    assert len(step) == 1 + 4 * 4 + 2
    weights = list(dict.fromkeys(name for (name,) in buffers(step, "weight")))
    assert weights == ["embed", "a.w/0", "b.w/0", "a.w/1", "b.w/1"]


def test_each_call_works_on_its_own_layer_of_the_cache():
    _, made = program()
    places = buffers(made.tapes["step"], "cache")
    assert places == [("full", layer) for layer in range(4) for _ in ("write", "attend")]


def test_equal_kernels_are_compiled_once():
    module, made = program()
    calls = {launch["kernel"] for launch in made.tapes["step"]}
    assert {region.name for region in made.regions} == calls | {"tapeout_draw"}
    regions = sum("anchor" in function.attrs for function in module.functions.values())
    assert len(made.regions) <= regions


def test_a_tied_table_is_stored_once_and_read_packed_by_the_embedding():
    module, made = program()
    stored, packed = pack_weights(module)
    assert packed == {"embed", "a.w", "b.w"} and len(stored) == len(module.weights)
    embed = next(region for region in made.regions if "embed_tokens" in region.name)
    assert "load_row" in embed.source


def test_the_logits_outlive_the_step_and_are_what_is_sampled_from():
    _, made = program()
    slot = made.outputs["logits"]
    assert made.tapes["step"][-1]["buffers"][-1] == ["slot", slot]
    assert made.tapes["sample"][0]["buffers"][0] == ["slot", slot]
    users = [
        i for i, launch in enumerate(made.tapes["step"]) if ["slot", slot] in launch["buffers"]
    ]
    assert users == [len(made.tapes["step"]) - 1]


def test_a_target_is_described_without_a_compiler_or_weights():
    module, made = program()
    target, tapes = describe_target(module)
    assert target.weights.tensors["embed"].bytes == 48 * 8 * 4  # three blocks of 16 rows
    assert target.weights.tensors["a.w/1"].bytes == 16 * 8 * 4
    assert [group.page_bytes_per_layer for group in target.cache_groups] == [16 * 16 * 4]
    inputs = {entry.name: entry.bytes for entry in target.inputs}
    assert inputs.keys() >= {"token_places", "query_start", "block_table_full", "targets"}
    assert inputs["token_table"] == {"L": 4} and inputs["seeds"] == {"N": 8}
    assert "logits" not in inputs and target.slots == made.slots
    assert tapes.keys() == target.tapes.keys() == {"step", "sample"}
    kernels = [launch["kernel"] for launch in made.tapes["step"]]
    assert [launch.kernel for launch in tapes["step"].launches] == kernels


def test_a_table_that_a_region_writes_stays_where_it_is():
    _, made = program()
    assert ["input", "token_table"] in made.tapes["step"][0]["buffers"]
    assert ["input", "token_table"] in made.tapes["sample"][0]["buffers"]
    assert set(made.outputs) == {"logits", "sampled"}
