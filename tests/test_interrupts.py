import os
import signal
import threading
import time

import pytest
from fake_model import reference

from tapeout import LLM, SamplingParams
from tapeout.interrupts import in_threads, uninterrupted
from tapeout.runtime.generation import Generation


@pytest.fixture(autouse=True)
def _interrupts_arrive():
    """A shell starts what runs in the background with interrupts ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def test_an_interrupt_comes_when_the_block_is_done():
    done = []
    with pytest.raises(KeyboardInterrupt), uninterrupted():
        interrupt()
        done.append("all of it")
    assert done
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_can_be_let_in_before_the_block_is_done():
    with pytest.raises(KeyboardInterrupt), uninterrupted() as let_in:
        let_in()
        interrupt()
        let_in()
        pytest.fail("it waited")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_interrupt_does_not_wait():
    with pytest.raises(KeyboardInterrupt), uninterrupted():
        interrupt()
        interrupt()
        pytest.fail("it waited")


def test_an_error_in_the_block_puts_the_handler_back():
    with pytest.raises(ValueError, match="mine"), uninterrupted():
        raise ValueError("mine")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_another_thread_is_not_interrupted_anyway():
    done = []

    def work():
        with uninterrupted():
            done.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [signal.default_int_handler]


def test_what_threads_give_is_in_order_and_an_error_ends_it():
    assert in_threads(lambda n: n * n, range(50), 4) == [n * n for n in range(50)]
    assert in_threads(len, [], 4) == []
    begun = []

    def fails(number):
        begun.append(number)
        time.sleep(0.01)
        raise ValueError(number)

    with pytest.raises(ValueError, match="0"):
        in_threads(fails, range(1000), 2)
    assert len(begun) < 100


def test_an_interrupt_ends_threads_at_any_moment_and_leaves_none_behind():
    num_threads, num_begun = threading.active_count(), []
    for delay in range(40):
        timer = threading.Timer(0.0002 * delay, interrupt)
        with pytest.raises(KeyboardInterrupt):
            timer.start()
            in_threads(lambda n: (num_begun.append(n), time.sleep(0.001)), range(5000), 2)
        timer.join()
        assert threading.active_count() == num_threads
    assert len(num_begun) < 40 * 400


# One that comes in the callback of a weak reference is dropped by Python, which warns of it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_batch_interrupted_at_any_moment_leaves_a_model_that_works(fake):
    llm = LLM(fake, max_num_seqs=4, num_threads=1)
    params = SamplingParams(temperature=0, max_tokens=100, ignore_eos=True)
    num_interrupted = 0
    for delay in range(30):
        timer = threading.Timer(0.0005 * delay, interrupt)
        try:
            timer.start()
            llm.generate([{"prompt_token_ids": [9]}] * 40, params, use_tqdm=False)
            timer.join()
        except KeyboardInterrupt:
            num_interrupted += 1
    [out] = llm.generate({"prompt_token_ids": [5]}, params, use_tqdm=False)
    assert out.outputs[0].token_ids == reference([5], 100)
    assert llm.engine.num_unfinished == 0 and llm.engine.is_idle
    assert num_interrupted > 10


def test_an_interrupt_while_requests_are_queued_leaves_none_of_them_behind(fake, monkeypatch):
    llm = LLM(fake, max_num_seqs=4, num_threads=1)
    start = Generation.start

    def interrupted_start(generation, seeds, now_s):
        if generation.request_id == "3":
            interrupt()
        return start(generation, seeds, now_s)

    monkeypatch.setattr(Generation, "start", interrupted_start)
    params = SamplingParams(temperature=0, max_tokens=5, ignore_eos=True)
    with pytest.raises(KeyboardInterrupt):
        llm.generate([{"prompt_token_ids": [9]}] * 6, params, use_tqdm=False)
    assert llm.engine.num_unfinished == 0 and llm.engine.is_idle
    [out] = llm.generate({"prompt_token_ids": [5]}, params, use_tqdm=False)
    assert out.outputs[0].token_ids == reference([5], 5)
