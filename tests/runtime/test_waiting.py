import numpy as np
import pytest

from tapeout.runtime.request import Request
from tapeout.runtime.waiting import Tenants, Waiting, WaitingQueue


@pytest.fixture
def tenants():
    return Tenants()


@pytest.fixture
def queue(tenants):
    return WaitingQueue(tenants)


def add(queue, tenants, order, tenant="", preempted=False, **fields):
    prompt = np.array([1, 2, 3], np.int32)
    request = Request(
        request_id=str(order), prompt_token_ids=prompt, max_tokens=1, tenant=tenant, **fields
    )
    tenants.enter(tenant)
    entry = Waiting(request, order, 0.0, prompt, [], was_preempted=preempted)
    queue.push(entry)
    return entry


def drain(queue):
    order = []
    while (entry := queue.peek()) is not None:
        order.append(queue.remove(entry.request.request_id).order)
    return order


def test_first_come_first_served(queue, tenants):
    for i in range(5):
        add(queue, tenants, i)
    assert queue.num_tokens == 15 and len(queue) == 5
    assert drain(queue) == [0, 1, 2, 3, 4]
    assert queue.num_tokens == 0


def test_a_lower_number_is_a_better_priority(queue, tenants):
    for i, priority in enumerate([3, -2, 0, 3]):
        add(queue, tenants, i, priority=priority)
    assert drain(queue) == [1, 2, 0, 3]


def test_preempted_ones_go_before_new_ones_of_their_priority_oldest_first(queue, tenants):
    add(queue, tenants, 1)
    add(queue, tenants, 9, preempted=True)
    add(queue, tenants, 4, preempted=True)
    add(queue, tenants, 5, priority=-1)
    assert drain(queue) == [5, 4, 9, 1]


def test_the_tenant_that_was_served_least_is_next(queue, tenants):
    for i, tenant in enumerate("aabb"):
        add(queue, tenants, i, tenant)
    tenants.charge(np.array([tenants.index("a")]), np.array([5]))
    assert queue.peek().order == 2
    tenants.charge(np.array([tenants.index("b")] * 2), np.array([3, 3]))
    assert queue.peek().order == 0


def test_a_tenant_that_comes_later_starts_level_with_the_least_served(tenants):
    tenants.enter("a")
    tenants.enter("b")
    tenants.charge(np.array([0, 1]), np.array([7, 4]))
    tenants.enter("c")
    assert tenants.service("c") == 4
    tenants.leave("b")
    tenants.enter("b")
    assert tenants.service("b") == 4


def test_tenants_that_left_leave_nothing_behind(tenants):
    for i in range(1000):
        tenants.enter(f"{i}")
        tenants.enter(f"{i}")
        tenants.leave(f"{i}")
        tenants.leave(f"{i}")
    assert len(tenants) == 0 and len(tenants._service) == 1


def test_an_entry_can_be_put_back_where_it_was(queue, tenants):
    for i in range(3):
        add(queue, tenants, i)
    queue.push(queue.remove("0"), first=True)
    assert "1" in queue and "7" not in queue
    assert drain(queue) == [0, 1, 2]


def test_the_queue_keeps_nothing_of_those_that_left(queue, tenants):
    for i in range(100):
        add(queue, tenants, i, tenant=str(i % 7), priority=i % 5)
        queue.remove(str(i))
    assert not queue._levels and not queue._entries
