import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from fake_cuda_model import build_fake_cuda
from fake_model import build_fake, make_tokenizer, reference

from tapeout.artifact import choices
from tapeout.artifact.choices import KernelChoice
from tapeout.artifact.tuning_table import Key
from tapeout.cli import main
from tapeout.errors import InputError
from tapeout.runtime.choose_target import describe_devices
from tapeout.settings import CPU_LEVELS


@pytest.fixture(scope="module")
def fake(tmp_path_factory):
    return str(build_fake(tmp_path_factory.mktemp("fake") / "fake.tapeout"))


@pytest.fixture(scope="module")
def fake_cuda(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fake_cuda")
    return str(build_fake_cuda(folder / "fake.tapeout", b"", batch_invariant=False))


@pytest.fixture
def checkpoint(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    return str(tmp_path)


@pytest.fixture
def compiler(monkeypatch, fake):
    """Stands where the compiler does; gives what it was asked for."""
    asked = {}

    def compile_model(checkpoint, output, **options):
        asked.update(options, checkpoint=checkpoint)
        options["progress"]("kernels", 1, 2)
        if options["dtype"] == "int3":
            raise InputError("dtype='int3'\ncannot be compiled")
        return build_fake(output)

    names = SimpleNamespace(compile_model=compile_model)
    monkeypatch.setitem(sys.modules, "tapeout.api", names)
    return asked


def invoke(*arguments, exit_code=0, **options):
    result = CliRunner().invoke(main, [str(a) for a in arguments], **options)
    assert result.exit_code == exit_code, result.output
    return result


def test_compile_gives_the_artifact_and_its_size(compiler, checkpoint, tmp_path):
    output = tmp_path / "out.tapeout"
    options = ["-o", output, "--cpu-level", "x86-64-v3", "--dtype", "bfloat16", "--json"]
    report = json.loads(invoke("compile", checkpoint, *options).stdout)
    assert report["artifact"] == str(output)
    assert report["bytes"] == sum(f.stat().st_size for f in output.rglob("*") if f.is_file())
    assert (compiler["cpu_levels"], compiler["dtype"]) == (["x86-64-v3"], "bfloat16")
    assert compiler["batch_invariant"] is False and report["runs_on"] == "x86-64 CPUs with AVX2"


@pytest.mark.parametrize(
    ("levels", "said"),
    [
        ((*CPU_LEVELS[::-1],), "AVX2"),
        (CPU_LEVELS[1:2], "AVX-512"),
        (CPU_LEVELS[2:], "AVX-512, and its products of bf16"),
    ],
)
def test_compile_says_what_cpu_the_least_of_its_levels_needs(levels, said):
    assert describe_devices("cpu", levels) == f"x86-64 CPUs with {said}"


def test_compile_takes_batch_invariance_and_the_artifact_tells(
    compiler, checkpoint, fake, tmp_path
):
    invoke("compile", checkpoint, "-o", tmp_path / "out.tapeout", "--batch-invariant")
    assert compiler["batch_invariant"] is True
    assert json.loads(invoke("inspect", fake, "--json").stdout)["targets"]["cpu"]["batch_invariant"]


def test_compile_with_a_table_tells_how_many_kernels_are_in_it(
    compiler, checkpoint, tmp_path, monkeypatch
):
    output = ["-o", tmp_path / "out.tapeout"]
    said = "of its kernels and shapes are in the table h200; rules configure"
    assert f"none {said} all" in invoke("compile", checkpoint, *output, "--tuning", "h200").stdout
    assert "in the table" not in invoke("compile", checkpoint, *output).stdout
    key = Key(kernel="linear", shape=(64,), dtype="bf16", steps="rows1", batch_invariant=True)
    found = [KernelChoice(kernels=[], key=key, configuration={}, origin="table H200")]
    monkeypatch.setattr(choices, "read_choices", lambda *_: found)
    assert (
        f"1 {said} the others" in invoke("compile", checkpoint, *output, "--tuning", "h200").stdout
    )
    assert json.loads(invoke("compile", checkpoint, *output, "--json").stdout)["num_tuned"] == 1


def test_an_error_is_one_line_and_exit_code_2(compiler, checkpoint):
    result = invoke("compile", checkpoint, "--dtype", "int3", "-o", "x", exit_code=2)
    assert result.stderr == "Error: dtype='int3' cannot be compiled\n"
    result = invoke("run", checkpoint + "/none", "hello", exit_code=2)
    assert result.stderr.count("\n") == 1 and "is no model" in result.stderr


def test_run_streams_the_text_and_reports_the_speed(fake):
    result = invoke("run", fake, "the cat", "--raw", "--max-tokens", 9)
    whole = json.loads(invoke("run", fake, "the cat", "--raw", "--max-tokens", 9, "--json").stdout)
    assert result.stdout == whole["text"] + "\n"
    assert "9 tokens in" in result.stderr and "tokens/s" in result.stderr
    assert len(whole["token_ids"]) == 9 and whole["finish_reason"] == "length"


def test_run_uses_the_chat_template_where_there_is_one(fake):
    chat = json.loads(invoke("run", fake, "cat", "--json", "--max-tokens", 1).stdout)
    raw = json.loads(
        invoke("run", fake, "<user>cat<a>", "--raw", "--json", "--max-tokens", 1).stdout
    )
    assert chat["token_ids"] == raw["token_ids"]


def test_run_reads_the_prompt_from_the_input(fake):
    options = ("--raw", "--json", "--max-tokens", 4)
    read = json.loads(invoke("run", fake, "-", *options, input="the cat").stdout)
    given = json.loads(invoke("run", fake, "the cat", *options).stdout)
    assert read["token_ids"] == given["token_ids"]


def test_an_input_that_is_no_text_is_refused_in_one_line(fake):
    result = invoke("run", fake, "-", "--raw", input=b"\xff\xfe", exit_code=2)
    assert "is not valid text" in result.stderr and result.stderr.count("\n") == 1


def test_run_with_a_seed_says_the_same_again(fake):
    options = ("--raw", "--json", "--temperature", 1, "--seed", 3, "--max-tokens", 5)
    first, second = (json.loads(invoke("run", fake, "a", *options).stdout) for _ in range(2))
    assert first["token_ids"] == second["token_ids"]
    assert first["token_ids"] == reference(make_tokenizer().encode("a").ids, 5, seed=3)


def test_inspect_says_what_is_inside(fake):
    summary = json.loads(invoke("inspect", fake, "--json").stdout)
    target = summary["targets"]["cpu"]
    assert summary["model"]["architecture"] == "FakeForCausalLM"
    assert (target["launches"], target["levels"]) == ({"step": 3, "sample": 2}, ["x86-64-v3"])
    assert "FakeForCausalLM" in invoke("inspect", fake).stdout


def test_inspect_writes_a_page_and_says_where(fake, tmp_path):
    page = tmp_path / "report.html"
    assert invoke("inspect", fake, "--html", page).stdout == f"{page}: the report of {fake}\n"
    assert "FakeForCausalLM" in page.read_text()
    assert json.loads(invoke("inspect", fake, "--html", page, "--json").stdout)["files"]


def test_an_interruption_has_a_code_of_its_own(fake, monkeypatch):
    def interrupted(artifact):
        raise KeyboardInterrupt

    monkeypatch.setattr("tapeout.inspection.facts.facts_of", interrupted)
    assert "interrupted" in invoke("inspect", fake, exit_code=130).stderr


_INTERRUPTED_IMPORT = """
import sys

class Interruption:
    def find_spec(self, name, *_):
        if name == "tapeout.cli_bench":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interruption())
import tapeout.cli
"""


def test_an_interruption_while_the_commands_are_imported_ends_without_a_traceback():
    command = [sys.executable, "-c", _INTERRUPTED_IMPORT]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (130, "")


def test_an_interruption_while_the_command_line_is_read_has_the_same_code(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(main, "parse_args", interrupted)
    assert "interrupted" in invoke("--version", exit_code=130).stderr


def test_inspect_writes_no_page_of_what_is_no_artifact(tmp_path):
    page = tmp_path / "report.html"
    invoke("inspect", tmp_path / "none", "--html", page, exit_code=2)
    assert not page.exists()


def test_a_page_that_cannot_be_written_is_the_users_error(fake, tmp_path):
    page = tmp_path / "none" / "report.html"
    error = invoke("inspect", fake, "--html", page, exit_code=2).stderr
    assert str(page) in error and "use a folder that is writable" in error


def test_an_artifact_is_not_compiled_again(fake, tmp_path):
    pytest.importorskip("torch")
    error = invoke("compile", fake, "-o", tmp_path / "x", exit_code=2).stderr
    assert "is an artifact already; give the checkpoint" in error


@pytest.mark.parametrize("command", ["compile", "plan"])
def test_without_torch_a_checkpoint_is_refused_in_one_line(command, checkpoint, monkeypatch):
    for name in [n for n in sys.modules if n.split(".")[0] == "torch" or n == "tapeout.api"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    result = invoke(command, checkpoint, exit_code=2)
    assert "needs torch" in result.stderr and "tapeout[compile]" in result.stderr


def test_without_torch_tuning_is_refused_in_one_line(fake, monkeypatch):
    for name in [n for n in sys.modules if n.startswith(("torch", "tapeout.tuning"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    error = invoke("tune", fake, exit_code=2).stderr
    assert "tuning needs torch" in error and "tapeout[compile]" in error


def test_help_loads_nothing_heavy():
    code = "import sys, tapeout.cli; print('numpy' in sys.modules, 'rich' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
