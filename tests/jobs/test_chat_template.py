"""Whether a chat template gives here, without transformers, the very text and tokens that it gives on the machine."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from jobs.chat_template import ChatTemplate, TemplateRefused, find
from jobs.qlora.template import ids_of, pairs

BASE = Path(__file__).parents[2] / "examples" / "base"
FAMILIES = {
    "chatml": (
        "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' "
        "+ '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    "mistral": (
        "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('Conversation roles must alternate') }}{% endif %}{% if message['role'] == 'user' %}"
        "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% else %}{{ ' ' + message['content'] + eos_token}}"
        "{% endif %}{% endfor %}"
    ),
    "llama3": (
        "{%- set ns = namespace(first=true) -%}\n{{- bos_token }}\n{%- for message in messages %}\n    {{- "
        "'<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' "
        "}}\n    {%- set ns.first = false %}\n{%- endfor %}\n{%- if add_generation_prompt %}\n    {{- "
        "'<|start_header_id|>assistant<|end_header_id|>\n\n' }}\n{%- endif %}\n"
    ),
    "gemma": (
        "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
        "{% endif %}{% for message in messages %}\n    {% if message['role'] == 'assistant' %}\n"
        "        {% set role = 'model' %}\n    {% else %}\n        {% set role = message['role'] %}\n    {% endif %}\n"
        "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}"
    ),
    "all of it": (
        "{%- for message in messages %}{% if loop.index > 50 %}{% break %}{% endif %}{{ message | tojson(indent=2) }}"
        "{% if message.role == 'assistant' %}{% generation %}{{ message.content }}{{ eos_token }}{% endgeneration %}"
        "{% endif %}{%- endfor %}{{ strftime_now('%Y') }}{{ dict(a=1).a }}{% if tools is none %}-{% endif %}"
        "{{ 'ab' * 3 }}{{ pad_token }}{{ sep_token }}"
    ),
}


def texts(seed: int) -> list[tuple[tuple[str, str], ...]]:
    """Conversations with all that trips a template: spaces at the ends, quotes, line breaks, other scripts, marks."""
    dice = random.Random(seed)
    pieces = [
        "Hello",
        " two  spaces ",
        "line\nbreak\n",
        '"quoted"',
        "{{ braces }}",
        "ü ß 请",
        "<b>",
        "a'b",
        "\tx",
        "</s>",
    ]

    def text() -> str:
        return "".join(dice.choice(pieces) for _ in range(dice.randint(1, 6)))

    chats = []
    for _ in range(12):
        turns = [role for _ in range(dice.randint(1, 3)) for role in ("user", "assistant")]
        if dice.random() < 0.3:
            turns = ["system", *turns]
        chats.append(tuple((role, text()) for role in turns))
    return chats


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """A tokenizer of transformers, as loaded from a folder, with a template of ours."""
    from transformers import AutoTokenizer  # seconds of import: only these tests need it

    def loaded(template: str) -> Any:
        folder = tmp_path_factory.mktemp("model")
        for name in ("tokenizer.json", "tokenizer_config.json", "config.json"):
            (folder / name).write_bytes((BASE / name).read_bytes())
        (folder / "chat_template.jinja").write_text(template)
        return AutoTokenizer.from_pretrained(str(folder))

    return loaded


def ours(template: str) -> ChatTemplate:
    files = {"chat_template.jinja": template.encode(), "tokenizer_config.json": None, "special_tokens_map.json": None}
    files["tokenizer_config.json"] = (BASE / "tokenizer_config.json").read_bytes()
    found = find(lambda name: files[name])
    assert found is not None
    return found


@pytest.mark.parametrize("family", ["base", *FAMILIES])
def test_text_and_tokens_are_those_of_transformers_and_of_the_job(family: str, theirs: Callable[[str], Any]) -> None:
    template = (BASE / "chat_template.jinja").read_text() if family == "base" else FAMILIES[family]
    machine, laptop = theirs(template), ours(template)
    tokenizer = Tokenizer.from_file(str(BASE / "tokenizer.json"))
    compared = 0
    for chat in texts(3):
        for pair in pairs(chat):
            asked = machine.apply_chat_template(pair["prompt"], add_generation_prompt=True, tokenize=False)
            trained = machine.apply_chat_template(pair["prompt"] + pair["completion"], tokenize=False)
            prompt, whole = laptop.rendered(pair)
            assert (prompt, whole) == (asked, trained)
            ids = tuple(tokenizer.encode(text, add_special_tokens=False).ids for text in (prompt, whole))
            assert ids == ids_of(machine, pair)
            compared += 1
    assert compared > 15


def test_a_template_refuses_in_its_own_words() -> None:
    with pytest.raises(TemplateRefused, match="Conversation roles must alternate"):
        ours(FAMILIES["mistral"]).render([{"role": "assistant", "content": "a"}])
    with pytest.raises(TemplateRefused, match=r"chat_template\.jinja cannot be read"):
        ours("{% for %}").render([])
    with pytest.raises(TemplateRefused, match="TypeError"):
        ours("{{ 1 + 'a' }}").render([])


@pytest.mark.parametrize(
    "hostile",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{{ 'a' * 10000000 }}",
        "{{ 10 ** 10000000 }}",
        "{{ messages.__init__.__globals__ }}",
        "{% for i in range(10000000) %}{% endfor %}",
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% macro f(n) %}{% if n %}" + "{{ f(n - 1) }}" * 300 + "{% endif %}{% endmacro %}{{ f(20) }}",
    ],
)
def test_a_template_is_a_strangers_program_and_gets_nowhere(hostile: str) -> None:
    with pytest.raises(TemplateRefused):
        ours(hostile).render([{"role": "user", "content": "a"}])


def test_a_loop_knows_its_place_though_its_turns_are_counted() -> None:
    template = ours("{% for one in messages %}{{ loop.index }} of {{ loop.length }}{{ '.' if loop.last }} {% endfor %}")
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    for _ in range(3):
        assert template.render(turns) == "1 of 2 2 of 2. "


def test_the_template_is_looked_for_where_transformers_looks() -> None:
    config = {
        "chat_template": [
            {"name": "tool_use", "template": "tools"},
            {"name": "default", "template": "{{ bos_token }}d"},
        ],
        "bos_token": {"__type": "AddedToken", "content": "<s>", "lstrip": False},
        "eos_token": None,
        "added_tokens_decoder": {},
    }

    def read(**files: object) -> ChatTemplate | None:
        named = {name.replace("__", "."): json.dumps(one).encode() for name, one in files.items() if one is not None}
        if isinstance(files.get("chat_template__jinja"), str):
            named["chat_template.jinja"] = str(files["chat_template__jinja"]).encode()
        return find(named.get)

    listed = read(tokenizer_config__json=config)
    assert listed is not None
    assert listed.render([]) == "<s>d"
    assert listed.tokens == {"bos_token": "<s>"}
    own = read(tokenizer_config__json=config, chat_template__jinja="own {{ eos_token }}")
    assert own is not None
    assert (own.render([]), own.source) == ("own ", "chat_template.jinja")
    older = read(
        tokenizer_config__json={"chat_template": "{{ eos_token }}"}, special_tokens_map__json={"eos_token": "E"}
    )
    assert older is not None
    assert older.render([]) == "E"
    assert read(tokenizer_config__json={"bos_token": "<s>"}) is None
    assert read() is None
    with pytest.raises(TemplateRefused, match="none is the default: rag, tool_use"):
        read(tokenizer_config__json={"chat_template": [{"name": "tool_use", "template": "a"}, {"name": "rag"}]})
