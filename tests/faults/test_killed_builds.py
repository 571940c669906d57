"""Builds killed at random moments: the artifact is the old one or a new whole one."""

import os
import random
import signal
import time
from contextlib import contextmanager

import pytest
from small_artifact import label_of, write_small_artifact

NUM_KILLS = 60


def build_for_ever(path, number):
    """Runs in a child process until it is killed."""
    try:
        while True:
            write_small_artifact(path, f"label {number}")
            number += 1
    finally:
        os._exit(1)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_build_killed_at_random_leaves_a_whole_artifact(tmp_path):
    random.seed(0)
    path = write_small_artifact(tmp_path / "m", "label -1")
    replaced, litter, before = 0, 0, "label -1"
    for kill in range(NUM_KILLS):
        child = os.fork()
        if not child:
            build_for_ever(path, kill * 1000)
        time.sleep(random.uniform(0.0, 0.06))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL
        found = label_of(path)
        replaced += found != before
        before = found
        litter += len(os.listdir(tmp_path)) > 1
    assert replaced and litter, "no kill came at an interesting moment"
    write_small_artifact(path, "last")
    assert label_of(path) == "last"
    assert os.listdir(tmp_path) == ["m"]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_an_artifact_can_be_opened_at_every_instant_of_its_replacement(tmp_path):
    path = write_small_artifact(tmp_path / "m", "label -1")
    with builders(path, 1):
        assert len({label_of(path) for _ in range(100)}) > 1


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_builders_of_one_artifact_at_the_same_time_leave_one_whole(tmp_path):
    path = write_small_artifact(tmp_path / "m", "label -1")
    with builders(path, 3):
        labels = {label_of(path) for _ in range(100)}
    winners = {int(label.split()[1]) // 10**6 for label in labels} - {-1}
    assert len(winners) > 1
    write_small_artifact(path, "last")
    assert os.listdir(tmp_path) == ["m"]


@contextmanager
def builders(path, number):
    """Processes that replace the artifact all the time until the block ends."""
    children = []
    for builder in range(number):
        child = os.fork()
        if not child:
            build_for_ever(path, builder * 10**6)
        children.append(child)
    try:
        yield
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
