"""The deployment examples, as far as a machine without Docker and Kubernetes can hold them."""

import json
import re
import shlex
import shutil
import subprocess
import tomllib

import httpx
import pytest
import yaml
from server import serving
from source_tree import ROOT

from tapeout.cli import main
from tapeout.serve.options import make_options, read_config

FOLDER = ROOT / "examples" / "deploy"
DOCKERFILE = (FOLDER / "Dockerfile").read_text()
SERVICE = (FOLDER / "tapeout.service").read_text()
DEPLOYMENT, KUBERNETES_SERVICE = yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text())
POD = DEPLOYMENT["spec"]["template"]["spec"]
[CONTAINER] = POD["containers"]
DASHBOARD = json.loads((FOLDER / "grafana.json").read_text())


@pytest.fixture(scope="module")
def server(nano):
    with serving(nano, "--config", str(FOLDER / "serve.toml"), "--host", "127.0.0.1") as running:
        body = {"prompt": "a", "max_tokens": 3}
        httpx.post(f"{running.url}/v1/completions", json=body).raise_for_status()
        yield running


def serve_options(arguments):
    """What the command line makes of its arguments; it ends at those that it does not know."""
    command = main.commands["serve"]
    return command.make_context("serve", list(arguments)).params


def docker(instruction):
    """The arguments of every such instruction, lines joined."""
    joined = DOCKERFILE.replace("\\\n", " ")
    return re.findall(rf"^{instruction} (.*)$", joined, re.MULTILINE)


# ---- Docker ----


def test_the_image_starts_a_command_that_exists():
    [entry], [arguments] = docker("ENTRYPOINT"), docker("CMD")
    assert json.loads(entry) == ["tapeout", "serve"]
    options = serve_options(json.loads(arguments))
    assert options["host"] == "0.0.0.0"
    assert docker("EXPOSE") == [str(options["port"])]


def test_the_image_is_the_runtime_alone():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert re.findall(r"tapeout-\*\.whl\)\[(\w+)\]", DOCKERFILE) == ["serve"]
    assert "serve" in extras
    assert not [package for package in extras["serve"] if re.match("torch|transformers", package)]


def test_the_image_leaves_out_only_what_is_no_part_of_the_package():
    ignored = (FOLDER / "Dockerfile.dockerignore").read_text().split()
    packages = {f.name for f in ROOT.iterdir() if (f / "__init__.py").exists()}
    assert not packages & set(ignored)
    kept = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (ROOT / kept["readme"]).exists() and kept["readme"] not in ignored


def test_the_health_check_asks_a_route_that_is_there(server):
    [(port, path)] = re.findall(r"http://127\.0\.0\.1:(\d+)(/\w+)", docker("HEALTHCHECK")[0])
    assert [port] == docker("EXPOSE")
    assert httpx.get(server.url + path).status_code == 200


# ---- Kubernetes ----


def test_the_pod_starts_with_options_that_exist():
    options = serve_options(CONTAINER["args"])
    [port] = CONTAINER["ports"]
    assert port["containerPort"] == options["port"]
    assert KUBERNETES_SERVICE["spec"]["ports"][0]["targetPort"] == port["name"]
    assert KUBERNETES_SERVICE["spec"]["selector"] == DEPLOYMENT["spec"]["selector"]["matchLabels"]


def test_the_pod_has_the_time_to_drain():
    options = serve_options(CONTAINER["args"])
    assert POD["terminationGracePeriodSeconds"] > options["drain_timeout_s"] + 5


@pytest.mark.parametrize("name", ["startupProbe", "livenessProbe"])
def test_a_probe_asks_a_route_that_needs_no_key(server, name):
    probe = CONTAINER[name]["httpGet"]
    assert probe["path"] == "/live" and probe["port"] == CONTAINER["ports"][0]["name"]
    assert httpx.get(server.url + probe["path"]).status_code == 200


def test_the_readiness_probe_runs_and_brings_its_key(nano, tmp_path):
    keys = tmp_path / "keys.txt"
    keys.write_text("first\nsecond\n")
    python, flag, code = CONTAINER["readinessProbe"]["exec"]["command"]
    with serving(nano, "--num-threads", "1", "--api-key-file", str(keys)) as server:
        code = code.replace("http://127.0.0.1:8000", server.url).replace("/keys/", f"{tmp_path}/")
        command = [shutil.which(python) or "python3", flag, code]
        assert subprocess.run(command, timeout=20).returncode == 0
        keys.write_text("other\n")
        assert subprocess.run(command, timeout=20, stderr=subprocess.PIPE).returncode != 0


def test_every_volume_is_mounted_and_every_mount_is_a_volume():
    mounts = {mount["name"]: mount["mountPath"] for mount in CONTAINER["volumeMounts"]}
    assert mounts.keys() == {volume["name"] for volume in POD["volumes"]}
    options = serve_options(CONTAINER["args"])
    assert str(options["model"]) == mounts["model"]
    assert str(options["api_key_file"]).startswith(mounts["keys"])
    assert mounts["scratch"] == "/tmp"  # the root is read-only


# ---- systemd ----


def service_values(name):
    return re.findall(rf"^{name}=(.*)$", SERVICE, re.MULTILINE)


def test_the_unit_starts_a_command_that_exists():
    [command] = service_values("ExecStart")
    program, subcommand, *arguments = shlex.split(command)
    assert program.endswith("/tapeout") and subcommand == "serve"
    assert serve_options(arguments)["config"].name == "serve.toml"
    drain_timeout_s = make_options(read_config(FOLDER / "serve.toml")).drain_timeout_s
    assert int(service_values("TimeoutStopSec")[0]) > drain_timeout_s + 5


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze is installed")
    path = tmp_path / "tapeout.service"  # its program is not installed here
    path.write_text(SERVICE.replace(shlex.split(service_values("ExecStart")[0])[0], "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(path)], capture_output=True, text=True, timeout=30
    )
    told = [line for line in done.stderr.splitlines() if "tapeout.service" in line]
    assert told == []


# ---- Grafana ----


def expressions():
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def test_every_metric_of_a_panel_is_there(server):
    text = httpx.get(f"{server.url}/metrics").text
    there = set(re.findall(r"^(tapeout:\w+)", text, re.MULTILINE))
    named = {name for text in expressions() for name in re.findall(r"tapeout:\w+", text)}
    assert len(named) > 15 and named <= there


def test_counters_are_read_as_rates_and_histograms_as_quantiles():
    for text in expressions():
        for name in re.findall(r"(tapeout:\w+_total)", text):
            assert re.search(rf"(rate|increase)\({name}\[", text)
        for name in re.findall(r"(tapeout:\w+_bucket)", text):
            assert text.startswith("histogram_quantile(") and f"sum by (le) (rate({name}" in text


def test_panels_do_not_lie_on_each_other():
    taken = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken and all(x < 24 for x, _ in cells)
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
