import threading
import time

import pytest

from tapeout.runtime.grammars.deep_stack import on_deep_stack


def test_what_is_raised_and_what_is_given_comes_back():
    assert on_deep_stack(lambda: threading.current_thread().name, 5.0) == "tapeout-grammar"
    with pytest.raises(ZeroDivisionError):
        on_deep_stack(lambda: 1 // 0, 5.0)


def test_what_takes_too_long_is_left_to_itself():
    started_s = time.perf_counter()
    with pytest.raises(TimeoutError):
        on_deep_stack(lambda: time.sleep(1), 0.01)
    assert time.perf_counter() - started_s < 0.9


def test_other_threads_keep_their_stacks():
    before = threading.stack_size()
    on_deep_stack(lambda: None, 5.0)
    assert threading.stack_size() == before
