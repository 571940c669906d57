import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapeout.runtime.frame import Logprobs, StepResult
from tapeout.runtime.request import Finished, Progress, StepReport, Times
from tapeout.runtime.wire import decode, encode
from tapeout.serve.frames import MAX_MESSAGE_BYTES, FrameReader, Update, framed
from tapeout.serve.reports import split_report


@given(st.lists(st.binary(max_size=40), max_size=8), st.lists(st.integers(0, 300), max_size=9))
def test_messages_arrive_however_the_bytes_are_cut(messages, cuts):
    data = b"".join(map(framed, messages))
    ends = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    reader = FrameReader()
    parts = [data[start:end] for start, end in zip(ends, ends[1:], strict=False)]
    assert [message for part in parts for message in reader.feed(part)] == messages


def test_a_length_beyond_all_measure_is_refused():
    with pytest.raises(ValueError, match="bytes"):
        list(FrameReader().feed((MAX_MESSAGE_BYTES + 1).to_bytes(4, "little")))


def report_of(names):
    """Two rows of a prompt for the first, then one each."""
    progress = [Progress(names[0], 0, 2, True)]
    progress += [Progress(name, 2 + i, 1, False) for i, name in enumerate(names)]
    num_rows = len(names) + 2
    rows = np.arange(num_rows, dtype=np.int32)
    floats, tops = rows.astype(np.float32), np.arange(num_rows * 3).reshape(num_rows, 3)
    logprobs = Logprobs(floats, rows, tops.astype(np.int32), tops.astype(np.float32))
    finished = [Finished(name, [1], "stop", 1, Times(0, 1, 2), 0) for name in names[::2]]
    return StepReport(tuple(progress), tuple(finished), StepResult(7, rows * 10, logprobs))


def test_each_front_gets_its_rows_and_no_others():
    names = ["a", "b", "c", "d", "e"]
    owners = {"a": 0, "b": 1, "c": 0, "d": 1}  # nobody has e any more
    parts = split_report(report_of(names), owners)
    assert parts.keys() == {0, 1}
    for front, rows in {0: [0, 1, 2, 4], 1: [3, 5]}.items():
        part = decode(encode(Update(parts[front], None)), Update).report
        assert part.result.token_ids.tolist() == [10 * row for row in rows]
        assert part.result.logprobs.ranks.tolist() == rows
        assert part.result.logprobs.top_token_ids[:, 0].tolist() == [3 * row for row in rows]
        first_rows = [p.first_row for p in part.progress]
        assert first_rows == sorted(first_rows) and sum(p.num_rows for p in part.progress) == len(
            rows
        )
        assert {end.request_id for end in part.finished} == ({"a", "c"} if front == 0 else set())


def test_whoever_has_nothing_in_a_step_is_told_nothing():
    assert split_report(StepReport((), (), None), {"a": 0}) == {}
