import logging

import pytest

from tapeout import LLM, SamplingParams


@pytest.fixture(autouse=True)
def no_handlers_left():
    yield
    for topic in ("schedule", "requests"):
        logging.getLogger(f"tapeout.{topic}").handlers.clear()


def said(fake, capsys, monkeypatch, topics):
    monkeypatch.setenv("TAPEOUT_DEBUG", topics)
    llm = LLM(fake, num_threads=1)
    llm.generate("the secret cat", SamplingParams(max_tokens=2, ignore_eos=True), use_tqdm=False)
    return capsys.readouterr().err.splitlines()


def test_the_schedule_is_one_line_a_step(fake, capsys, monkeypatch):
    lines = said(fake, capsys, monkeypatch, "schedule")
    assert len(lines) == 4
    assert lines[1].startswith("tapeout.schedule: T=1 S=1 R=1 P=1, 0 waiting, 0 preempted")
    assert all("idle" in line for line in lines[2:])  # while the two steps report


def test_requests_are_named_and_never_quoted(fake, capsys, monkeypatch):
    lines = said(fake, capsys, monkeypatch, "requests")
    assert lines[0].startswith("tapeout.requests: 0 arrives, ")
    assert lines[1] == "tapeout.requests: 0/0 ends after 2 tokens: length"
    assert "secret" not in "".join(lines)


def test_by_default_nothing_is_said(fake, capsys, monkeypatch):
    assert said(fake, capsys, monkeypatch, "") == []
