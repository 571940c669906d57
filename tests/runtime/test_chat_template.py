import pytest

from tapeout.errors import InputError
from tapeout.runtime.chat_template import ChatTemplate

MESSAGES = [
    {"role": "system", "content": "Be <brief> & kind: é"},
    {"role": "user", "content": "hi", "name": None},
    {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f"}}]},
]
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
TEMPLATES = [
    "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}{{ eos_token}}",
    "{% for m in messages %}\n    {%- if m.tool_calls %}\n    {{ m.tool_calls | tojson }}\n"
    "    {%- else %}\n    {{ m['content'] | trim }}\n    {%- endif %}\n{% endfor %}\n",
    "{% if tools %}{{ tools | tojson(indent=2) }}{% endif %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}",
    "{% set ns = namespace(n=0) %}{% for m in messages %}{% if m.role == 'user' %}{% continue %}"
    "{% endif %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}",
    "{% for m in messages %}{% generation %}{{ m.role }}{% endgeneration %}{% endfor %}",
    "{{ messages[0]['content'] }}{{ enable_thinking }}{{ documents is none }}",
]


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("tools", [None, TOOLS])
@pytest.mark.parametrize("add_generation_prompt", [False, True])
def test_a_chat_becomes_the_text_that_transformers_makes_of_it(
    template, tools, add_generation_prompt
):
    from transformers.utils.chat_template_utils import render_jinja_template

    kept = [{k: v for k, v in m.items() if v is not None} for m in MESSAGES]
    tokens = {"bos_token": "<s>", "eos_token": "</s>"}
    options = {"tools": tools, "add_generation_prompt": add_generation_prompt}
    [wanted], _ = render_jinja_template(
        [kept], chat_template=template, enable_thinking=False, **options, **tokens
    )
    found = ChatTemplate(template, tokens).render(MESSAGES, enable_thinking=False, **options)
    assert found == wanted


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{% if %}", "cannot be read"),
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ messages.append(1) }}", "unsafe|not safely callable"),
        ("{% for i in range(10**9) %}{% endfor %}", "(?i)range too big"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{% set ns = namespace(__x__=1) %}", "cannot have the name"),
    ],
)
def test_a_template_that_fails_or_reaches_out_is_an_input_error(template, message):
    with pytest.raises(InputError, match=message):
        ChatTemplate(template, {}).render(MESSAGES)


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([], "is empty"),
        (None, "messages=None is not a list"),
        ("hi", "messages=hi is not a list"),
        ([{"content": "x"}], "is not a dict with a 'role'"),
        (["x"], "is not a dict with a 'role'"),
        ([{"role": "user", "content": object()}], "messages: .* not JSON serializable"),
    ],
)
def test_a_chat_that_is_none_is_refused(messages, message):
    with pytest.raises(InputError, match=message):
        ChatTemplate("x", {}).render(messages)


def test_tools_that_are_no_list_are_refused():
    for tools in (True, 3, {"type": "function"}):
        with pytest.raises(InputError, match="tools=.* is not a list"):
            ChatTemplate("x", {}).render(MESSAGES, tools=tools)
