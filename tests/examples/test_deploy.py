"""What is given for operators speaks of options, routes and metrics that there are."""

import configparser
import json
import re
import shlex
from pathlib import Path

import httpx
import pytest
import yaml
from server import serving

from tapeout.serve.options import list_options, make_options, read_config

DEPLOY = Path(__file__).parents[2] / "examples" / "deploy"
OPTIONS = {f"--{option.name.replace('_', '-')}" for option in list_options()} | {"--config"}


@pytest.fixture(scope="module")
def server(nano):
    with serving(nano, "--config", str(DEPLOY / "serve.toml"), "--host", "127.0.0.1") as running:
        body = {"prompt": "one two", "max_tokens": 4, "stream": True}
        httpx.post(f"{running.url}/v1/completions", json=body)
        yield running


def test_the_config_file_is_one():
    assert make_options(read_config(DEPLOY / "serve.toml")).num_fronts == 2


def test_the_manifest_probes_routes_that_there_are_and_gives_time_to_drain(server):
    deployment, service = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())
    pod = deployment["spec"]["template"]["spec"]
    [container] = pod["containers"]
    for probe in ("livenessProbe", "readinessProbe"):
        path = container[probe]["httpGet"]["path"]
        assert httpx.get(server.url + path).status_code == 200
    options = dict(arg.split("=") for arg in container["args"])
    assert options.keys() <= OPTIONS
    assert pod["terminationGracePeriodSeconds"] > float(options["--drain-timeout-s"]) + 5
    assert service["spec"]["selector"] == deployment["spec"]["template"]["metadata"]["labels"]


def test_the_units_and_the_images_commands_are_ours():
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    unit.read(DEPLOY / "tapeout.service")
    _, *command = shlex.split(unit["Service"]["ExecStart"])
    [entry] = re.findall(r"^ENTRYPOINT (.*)$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    for words in (command, json.loads(entry)[1:]):
        assert words[0] == "serve"
        assert {word for word in words if word.startswith("--")} <= OPTIONS


def test_the_dashboard_shows_metrics_that_there_are(server):
    dashboard = json.loads((DEPLOY / "grafana.json").read_text())
    asked = {
        name
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for name in re.findall(r"tapeout:\w+", target["expr"])
    }
    told = httpx.get(f"{server.url}/metrics").text
    assert [name for name in sorted(asked) if f"\n{name}" not in told] == []
    assert len(asked) > 10
