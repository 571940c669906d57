from tapeout.runtime.deadlines import Deadlines


def test_a_deadline_passes_once_and_only_for_who_is_there_with_it():
    deadlines, now = Deadlines(), {"a": 3.0, "b": 5.0, "reused": 9.0}
    for deadline_s, name in ((3.0, "a"), (4.0, "gone"), (4.5, "reused"), (5.0, "b")):
        deadlines.add(deadline_s, name, now.get)
    assert list(deadlines.passed(2.9, now.get)) == []
    assert list(deadlines.passed(3.0, now.get)) == ["a"]
    assert list(deadlines.passed(9.0, now.get)) == ["b"]
    assert list(deadlines.passed(99.0, now.get)) == []


def test_those_that_ended_in_time_do_not_pile_up():
    deadlines = Deadlines()
    for i in range(10_000):
        deadlines.add(1e9 + i, str(i), {str(i): 1e9 + i}.get)
    assert len(deadlines._heap) <= 65
