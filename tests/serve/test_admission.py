import pytest

from tapeout.serve.admission import Admission
from tapeout.serve.api_errors import ApiError
from tapeout.serve.options import ServeOptions


def admission_of(clock=lambda: 0.0, **options):
    admission = Admission(ServeOptions(**{"max_num_waiting": 4} | options), clock)
    admission.num_slots = 2
    return admission


def test_as_many_come_in_as_run_and_wait():
    admission = admission_of()
    inside = [admission.enter(2, 10) for _ in range(3)]
    with pytest.raises(ApiError, match="max_num_waiting=4") as caught:
        admission.enter(1, 10)
    assert caught.value.status == 503
    inside[0].leave()
    admission.enter(2, 10)


def test_fronts_share_the_queue():
    admission = admission_of(num_fronts=3)
    admission.enter(2, 1)
    with pytest.raises(ApiError):
        admission.enter(1, 1)


def test_prompts_are_bounded_but_one_alone_is_let_in():
    admission = admission_of(max_prompt_tokens=100)
    admission.enter(1, 500).leave()
    admission.enter(1, 60)
    with pytest.raises(ApiError, match="max_prompt_tokens=100"):
        admission.enter(1, 41)
    admission.enter(1, 40)


def test_when_to_come_again_follows_from_how_fast_others_leave():
    now_s = 0.0
    admission = admission_of(lambda: now_s, max_num_waiting=1000)
    for _ in range(200):
        inside = admission.enter(1, 1)
        now_s += 0.1
        inside.leave()
    admission.enter(1002, 1)
    for count, wanted_s in [(1, 1), (50, 5), (900, 60)]:
        with pytest.raises(ApiError) as caught:
            admission.check_room(count, 1)
        assert caught.value.retry_after_s == pytest.approx(wanted_s, abs=1)


def test_a_key_has_only_so_many_requests_at_a_time():
    admission = admission_of(max_requests_per_key=2)
    leave = admission.enter_key("a")
    admission.enter_key("a")
    with pytest.raises(ApiError, match="max_requests_per_key=2") as caught:
        admission.enter_key("a")
    assert caught.value.status == 429
    admission.enter_key("b")
    leave()
    admission.enter_key("a")
