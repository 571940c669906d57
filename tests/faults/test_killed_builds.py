"""Builds killed at random moments: the artifact is the old one or a new whole one."""

import os
import random
import signal
import time
from contextlib import contextmanager

import pytest
from small_artifact import label_of, write_small_artifact

NUM_KILLS = 40
LABELS_EACH = 10**6


def build_for_ever(path, number, built=None):
    """Runs in a child process until it is killed; writes a byte to `built` after each build."""
    try:
        while True:
            write_small_artifact(path, f"label {number}")
            number += 1
            if built is not None:
                os.write(built, b".")
    finally:
        os._exit(1)


def kill_after(path, number, num_builds, delay_s):
    """Starts a builder, lets it finish some builds, and kills it a little later."""
    reading, built = os.pipe()
    child = os.fork()
    if not child:
        build_for_ever(path, number, built)
    os.close(built)
    for _ in range(num_builds):
        assert os.read(reading, 1) == b"."
    time.sleep(delay_s)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    os.close(reading)
    assert os.WTERMSIG(status) == signal.SIGKILL


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_build_killed_at_random_leaves_a_whole_artifact(tmp_path):
    random.seed(0)
    path = tmp_path / "m"
    begin = time.monotonic()
    for _ in range(5):
        write_small_artifact(path, "label -1")
    build_s = (time.monotonic() - begin) / 5
    replaced, litter, before = 0, 0, "label -1"
    for kill in range(NUM_KILLS):
        kill_after(path, kill * 1000, random.randrange(3), random.uniform(0, build_s))
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
        assert open_until(path, lambda labels: len(labels) > 3)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_builders_of_one_artifact_at_the_same_time_leave_one_whole(tmp_path):
    path = write_small_artifact(tmp_path / "m", "label -1")
    with builders(path, 3):
        assert open_until(path, lambda labels: len(set(map(builder_of, labels))) > 2)
    write_small_artifact(path, "last")
    assert os.listdir(tmp_path) == ["m"]


def builder_of(label):
    """Which of the builders wrote the artifact; -1 for what was there before them."""
    return int(label.split()[1]) // LABELS_EACH


def open_until(path, enough, deadline_s=60):
    """Opens the artifact 50 times or more, until it has seen enough; whether it has."""
    labels, end = [], time.monotonic() + deadline_s
    while time.monotonic() < end:
        labels.append(label_of(path))
        if len(labels) >= 50 and enough(set(labels)):
            return True
    return False


@contextmanager
def builders(path, number):
    """Processes that replace the artifact all the time until the block ends."""
    children = []
    for builder in range(number):
        child = os.fork()
        if not child:
            build_for_ever(path, builder * LABELS_EACH)
        children.append(child)
    try:
        yield
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
