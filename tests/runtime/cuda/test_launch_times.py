import pytest
from fake_cuda_model import executor_of
from fake_steps import PROMPTS, following, frame_of, last_rows


@pytest.fixture(params=["graphs", "tapes"])
def executor(driver, fake_cuda, request):
    """One whose steps of so many sequences are graphs, and one that has captured none."""
    made = executor_of(fake_cuda[0], capture_s=60.0 if request.param == "graphs" else 0.0)
    yield made
    made.close()


def decode_frame(executor):
    frame = frame_of(PROMPTS, rows=last_rows(PROMPTS))
    executor.run(frame)
    return following(frame, 1)


def test_each_launch_has_the_time_that_it_adds(executor):
    """A block of the fake device takes a millisecond."""
    timed = executor.time_launches(decode_frame(executor))
    found = [(launch.kernel, round(time_s * 1e3)) for launch, time_s in timed]
    writes = [("write_tags", 6)] * 2  # three blocks for each three tokens
    assert found == [*writes, ("hash_pages", 4), ("choose", 4), ("report", 4)]


def test_the_times_of_the_launches_add_up_to_the_steps(executor):
    frame = decode_frame(executor)
    before_s = executor.player_s
    executor.run(frame)
    step_s = executor.player_s - before_s
    assert sum(time_s for _, time_s in executor.time_launches(frame)) == pytest.approx(step_s)


def test_a_step_gives_the_same_after_its_launches_were_timed(executor):
    frame = decode_frame(executor)
    wanted = executor.run(frame).token_ids.tolist()
    executor.time_launches(frame)
    assert executor.run(frame).token_ids.tolist() == wanted


def test_launches_are_not_timed_while_steps_are_in_flight(executor):
    frame = decode_frame(executor)
    executor.submit(frame)
    with pytest.raises(AssertionError, match="in flight"):
        executor.time_launches(frame)
    executor.wait()
