"""IR texts of regions that several tests compile; ``d`` is the type of floats."""

LINEAR = """
func @linear_add(%x: {d}[T, {k}], %w: {d}[{n}, {k}], %b: {d}[{n}], %r: {d}[T, {n}])
    {{anchor = "linear"}} {{
  %y: {d}[T, {n}] = linear(%x, %w, %b)
  %z: {d}[T, {n}] = add(%r, %y)
  return %z
}}
"""
GATED = """
func @gated(%x: {d}[T, {k}], %w: {d}[{n}, {k}], %v: {d}[{n}, {k}]) {{anchor = "linear"}} {{
  %g: {d}[T, {n}] = linear(%x, %w)
  %s: {d}[T, {n}] = silu(%g)
  %u: {d}[T, {n}] = linear(%x, %v)
  %y: {d}[T, {n}] = mul(%s, %u)
  return %y
}}
"""
WRITE = """
func @write(%cache: state[], %k: {d}[T, {hk}, {dim}], %v: {d}[T, {hk}, {dv}], %positions: i32[T],
            %sequence_ids: i32[T], %table: i32[S, P]) {{anchor = "rows"}} {{
  %new: state[] = kv_write(%cache, %k, %v, %positions, %sequence_ids, %table)
    {{group = "full", layer = 0}}
  return %new
}}
"""
ATTEND = """
func @attend(%q: {d}[T, {h}, {dim}], %cache: state[], %positions: i32[T], %sequence_ids: i32[T],
             %table: i32[S, P]{sinks}) {{anchor = "attention"}} {{
  %y: {d}[T, {h}, {dv}] = paged_attention(%q, %cache, %positions, %sequence_ids, %table{use})
    {{group = "full", layer = 0, num_key_heads = {hk}, scale = {scale}, value_dim = {dv}{options}}}
  return %y
}}
"""
