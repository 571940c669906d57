import re

import httpx
import pytest
from source_tree import ROOT

FOLDER = ROOT / "serve" / "playground"


def test_the_page_and_each_of_its_files_are_served(server):
    page = httpx.get(server.url)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.text == (FOLDER / "index.html").read_text()
    for path in FOLDER.iterdir():
        answer = httpx.get(f"{server.url}/playground/{path.name}")
        assert answer.status_code == 200 and answer.content == path.read_bytes()
        assert "default-src 'self'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.name)
def test_a_file_names_no_other_server(path):
    links = re.findall(r"(?:src|href|url|import)\W+(https?://[^\"')]+)", path.read_text())
    assert links == []


def test_a_file_that_is_not_the_pages_is_not_found(server):
    for name in ("nothing.js", "..%2fapp.py", "%2e%2e/app.py", "style.css/"):
        answer = httpx.get(f"{server.url}/playground/{name}")
        assert answer.status_code in (307, 404)


def test_the_load_is_told(server, client):
    before = httpx.get(f"{server.url}/playground/load").json()
    client.completions.create(model="nano", prompt="a b c", max_tokens=7, temperature=0)
    after = httpx.get(f"{server.url}/playground/load").json()
    assert after["is_ready"] and after["time_s"] > before["time_s"]
    assert after["load"]["num_tokens"] - before["load"]["num_tokens"] >= 7
    assert after["load"]["max_num_seqs"] == 16 and after["load"]["num_running"] == 0


def test_the_model_is_told(server):
    model = httpx.get(f"{server.url}/playground/model").json()
    assert (model["name"], model["target"], model["max_model_len"]) == ("nano", "cpu", 2048)
    assert sum(section["count"] for section in model["sections"]) == 11
