import httpx


def post(server, path, **fields):
    answer = httpx.post(f"{server.url}{path}", json=fields)
    return answer.json() if answer.status_code == 200 else answer


def test_a_text_is_cut_into_tokens_and_joined_again(server, offline):
    ids = offline.get_tokenizer().encode("What is 3 + 4?")
    found = post(server, "/tokenize", prompt="What is 3 + 4?", return_token_strs=True)
    assert found["tokens"] == ids and found["count"] == len(ids)
    assert "".join(found["token_strs"]) == "What is 3 + 4?" and found["max_model_len"] == 2048
    assert post(server, "/detokenize", tokens=ids) == {"prompt": "What is 3 + 4?"}


def test_a_chat_is_cut_as_its_template_says(server, offline):
    messages = [{"role": "user", "content": "hello"}]
    ids = offline.render_chat(messages).token_ids.tolist()
    assert post(server, "/tokenize", messages=messages)["tokens"] == ids
    shorter = post(server, "/tokenize", messages=messages, add_generation_prompt=False)["tokens"]
    assert shorter == ids[: len(shorter)] and len(shorter) < len(ids)


def test_a_text_longer_than_the_model_takes_is_counted(server):
    assert post(server, "/tokenize", prompt="a b " * 5000)["count"] > 2048


def test_what_cannot_be_used_is_refused(server):
    assert post(server, "/tokenize").status_code == 400
    assert post(server, "/tokenize", prompt="a", model="other").status_code == 404
    assert "vocabulary" in post(server, "/detokenize", tokens=[99999]).json()["error"]["message"]
    assert post(server, "/detokenize", tokens=[-1]).status_code == 400
