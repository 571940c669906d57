import json

from click.testing import CliRunner

from tapeout.cli import main
from tapeout.runtime import bench_startup

LOAD = ["opening", "context", "memory", "weights", "kernels", "graphs", "engine", "tokenizer"]


def test_a_start_on_a_gpu_has_its_own_parts_and_the_memory_that_it_took(fake_cuda, monkeypatch):
    folder, driver = fake_cuda
    use = f"from tapeout.runtime.cuda import device\ndevice.LIBCUDA = {driver._name!r}\n"
    monkeypatch.setattr(bench_startup, "_CODE", use + bench_startup._CODE)
    arguments = ["bench", "startup", str(folder), "--repeats", "1"]
    result = CliRunner().invoke(main, [*arguments, "--json"])
    report = json.loads(result.stdout)
    assert report["target"] == "cuda:sm_90" and list(report["median"]["load_s"]) == LOAD
    names = ["context", "planned", "kernels, graphs and rounding"]
    assert list(report["device_bytes"]) == names
    assert "memory of the device: context " in CliRunner().invoke(main, arguments).stdout
