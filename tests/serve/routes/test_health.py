import re

import httpx


def test_a_server_that_runs_is_live_and_ready(server):
    for path in ("/live", "/ready", "/health"):
        assert httpx.get(server.url + path).status_code == 200
    assert httpx.get(f"{server.url}/version").json()["version"]


def test_a_request_is_seen_in_the_metrics(server, client):
    before = values(server)
    client.completions.create(model="nano", prompt="one two three", max_tokens=7, temperature=0)
    after = values(server)
    grown = {name: after[name] - before.get(name, 0) for name in after}
    assert grown["tapeout:prompt_tokens_total"] == 8
    assert grown["tapeout:generation_tokens_total"] == 7
    assert grown["tapeout:time_to_first_token_seconds_count"] == 1
    assert grown["tapeout:e2e_request_latency_seconds_count"] == 1
    assert grown['tapeout:request_success_total{finished_reason="length"}'] == 1
    assert after["tapeout:num_requests_running"] == after["tapeout:num_requests_waiting"] == 0
    assert 0 <= after["tapeout:kv_cache_usage_perc"] <= 1
    assert after['tapeout:startup_seconds{phase="load"}'] > 0


def values(server):
    text = httpx.get(f"{server.url}/metrics").text
    return {name: float(value) for name, value in re.findall(r"^([^#]\S*) (\S+)$", text, re.M)}
