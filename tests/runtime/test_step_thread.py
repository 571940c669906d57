import os
import signal
import threading

import numpy as np
import pytest

from tapeout.runtime.frame import StepResult
from tapeout.runtime.step_thread import StepError, StepThread


def result_of(step_id):
    return StepResult(step_id, np.zeros(0, np.int32))


@pytest.fixture
def steps():
    """Runs numbers as frames; numbers below zero fail, `gate` holds all back."""
    gate = threading.Event()
    gate.set()

    def run(frame):
        assert gate.wait(10)
        if frame < 0:
            raise ValueError(f"step {frame}")
        return result_of(frame)

    thread = StepThread(run)
    thread.gate = gate
    yield thread
    gate.set()
    thread.close()


def test_results_come_in_the_order_of_the_steps(steps):
    for step_id in range(50):
        steps.submit(step_id)
    assert steps.num_unreported == 50
    assert [steps.wait().step_id for _ in range(50)] == list(range(50))
    assert steps.num_unreported == 0


def test_waiting_for_nothing_is_a_broken_invariant(steps):
    with pytest.raises(AssertionError, match="no step was submitted"):
        steps.wait()


def test_what_went_wrong_is_the_cause_of_the_error(steps):
    steps.submit(-4)
    steps.submit(1)
    for _ in range(3):
        with pytest.raises(StepError, match="step -4") as caught:
            steps.wait()
        assert isinstance(caught.value.__cause__, ValueError)


def test_an_interrupted_wait_may_be_repeated(steps):
    steps.gate.clear()
    steps.submit(7)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyboardInterrupt):
            steps.wait()
    finally:
        signal.signal(signal.SIGALRM, before)
    steps.gate.set()
    assert steps.wait().step_id == 7


def test_a_step_in_whose_thread_it_is_closed_completes():
    def run(frame):
        thread.close()
        return result_of(frame)

    thread = StepThread(run)
    thread.submit(1)
    thread.submit(2)
    assert thread.wait().step_id == 1
    with pytest.raises(StepError, match="closed"):
        thread.wait()
    thread._thread.join(10)
    assert not thread._thread.is_alive()


def test_nothing_is_submitted_after_closing(steps):
    steps.close()
    with pytest.raises(AssertionError, match="closed"):
        steps.submit(1)
    with pytest.raises(StepError, match="closed"):
        steps.wait()


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_fork_of_the_process_is_told_that_no_step_will_run_there(steps):
    child = os.fork()
    if child == 0:
        try:
            steps.submit(0)
        except StepError as error:
            os._exit(0 if "fork" in str(error) else 1)
        os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    steps.submit(0)
    assert steps.wait().step_id == 0
