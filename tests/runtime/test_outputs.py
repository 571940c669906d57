from tapeout import CompletionOutput, Logprob, RequestOutput


def delta(text, token_ids, index=0, **fields):
    logprobs = [{t: Logprob(-1.0, 1, None)} for t in token_ids]
    return CompletionOutput(index, text, token_ids, logprobs=logprobs, **fields)


def output(*completions, finished=False, **fields):
    return RequestOutput("r", "p", [1], list(completions), finished, **fields)


def test_two_deltas_are_one():
    joined = output(delta("a", [1])).extended(
        output(delta("b", [2, 3], finish_reason="stop"), finished=True)
    )
    [completion] = joined.outputs
    assert (completion.text, completion.token_ids, completion.finish_reason) == (
        "ab",
        [1, 2, 3],
        "stop",
    )
    assert [list(entries) for entries in completion.logprobs] == [[1], [2], [3]]
    assert joined.finished


def test_deltas_of_different_completions_stand_side_by_side():
    joined = output(delta("b", [2], index=1)).extended(output(delta("a", [1], index=0)))
    assert [(c.index, c.text) for c in joined.outputs] == [(0, "a"), (1, "b")]


def test_the_logprobs_of_a_prompt_are_not_lost():
    first = output(delta("a", [1]), prompt_logprobs=[None])
    assert first.extended(output(delta("b", [2]))).prompt_logprobs == [None]
