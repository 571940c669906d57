from tapeout.runtime.cpu_limits import measure_cpu


def test_a_cpu_is_measured_unless_it_is_told_what_it_reads():
    found = measure_cpu()
    assert 1e8 < found.bytes_per_s < 1e13 and 1e8 < found.flops_per_s["f32"] < 1e15
    assert found.num_multiprocessors is None
    assert measure_cpu(5e10).bytes_per_s == 5e10
