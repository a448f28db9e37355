"""Whether rows that the model's own template cannot take are found here, by file and line, before any rent."""

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from jobs.config_values import WorkloadError
from jobs.model_config import Model, find
from jobs.qlora import prepare
from jobs.qlora.dataset.report import Place
from jobs.template_check import Examined, Examiner, examiner
from jobs.tokens import MOST_TOO_LONG
from tests.hub import Repository, open_hub

BASE = Path(__file__).parents[2] / "examples" / "base"
TOKENIZER = (BASE / "tokenizer.json").read_bytes()
TURN = "{{ '<|user|>' if m.role == 'user' else '<|assistant|>' }}{{ m.content }}"
GOOD = "{% for m in messages %}" + TURN + "</s>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"


def model(folder: Path, template: str | None = GOOD, *, tokenizer: bytes | None = TOKENIZER) -> Model:
    folder.mkdir()
    (folder / "config.json").write_bytes((BASE / "config.json").read_bytes())
    (folder / "tokenizer_config.json").write_bytes((BASE / "tokenizer_config.json").read_bytes())
    if tokenizer is not None:
        (folder / "tokenizer.json").write_bytes(tokenizer)
    if template is not None:
        (folder / "chat_template.jinja").write_text(template)
    return find(str(folder), "", folder.parent, environ={}, cache=None)


def rows(path: Path, chats: list[list[tuple[str, str]]]) -> Path:
    """As curation writes them: each says where it stood."""
    documents = [
        {
            "messages": [{"role": role, "content": content} for role, content in chat],
            "source": {"file": "mine.csv", "line": 10 + at},
        }
        for at, chat in enumerate(chats)
    ]
    path.write_text("".join(json.dumps(one) + "\n" for one in documents))
    return path


def chat(question: str = "where is it?", answer: str = "on its way") -> list[tuple[str, str]]:
    return [("user", question), ("assistant", answer)]


def examined(folder: Path, chats: list[list[tuple[str, str]]], template: str = GOOD) -> Examined:
    one = examiner(model(folder / "model", template), environ={}, cache=None)
    return one.examine(rows(folder / "train.jsonl", chats), "train")


def test_good_rows_are_measured_to_the_token_and_nothing_is_found(tmp_path: Path) -> None:
    found = examined(tmp_path, [chat(), [*chat(), *chat("and now?", "here")]])
    assert found.faults == ()
    assert found.whole
    tokenizer = Tokenizer.from_buffer(TOKENIZER)
    whole = "<|user|>where is it?</s><|assistant|>on its way</s>"
    assert found.tally.lengths[0] == len(tokenizer.encode(whole, add_special_tokens=False).ids)
    assert found.tally.lengths[1] == found.tally.lengths[0] < found.tally.lengths[2]
    assert found.tally.are == "counted"


@pytest.mark.parametrize(
    ("template", "code", "detail"),
    [
        ("{{ raise_exception('no such turns') }}", "template-refuses", "no such turns"),
        (GOOD.replace("<|assistant|>{% endif", "<|assistant|>\n{% endif"), "prompt-not-prefix", "in use"),
        (
            GOOD.replace("{{ m.content }}", "{{ m.content if m.role == 'user' }}").replace("</s>", ""),
            "no-target",
            "alone",
        ),
        (GOOD.replace("</s>", ""), "no-end-of-turn", "the row ends with"),
    ],
)
def test_each_way_in_which_a_template_fails_is_told_with_the_row(
    tmp_path: Path, template: str, code: str, detail: str
) -> None:
    found = examined(tmp_path, [chat(f"q{at}") for at in range(5)], template)
    (fault,) = found.faults
    assert (fault.code, fault.count, len(fault.examples)) == (code, 5, 3)
    assert fault.effect == ("kept" if code == "no-end-of-turn" else "stops")
    assert [one.place for one in fault.examples] == [Place("mine.csv", line) for line in (10, 11, 12)]
    assert detail in fault.examples[0].detail
    assert fault.examples[0].text == "q0"


def test_only_the_rows_that_are_refused_are_counted(tmp_path: Path) -> None:
    template = GOOD.replace(
        "{% for m", "{% if messages|length > 2 %}{{ raise_exception('one turn only') }}{% endif %}{% for m"
    )
    found = examined(tmp_path, [chat(), [*chat("a"), *chat("b")], chat("c")], template)
    (fault,) = found.faults
    assert (fault.code, fault.count, fault.examples[0].place.line) == ("template-refuses", 1, 11)
    assert len(found.tally.lengths) == 2


def test_special_tokens_of_this_model_in_the_text_are_told_and_others_are_text(tmp_path: Path) -> None:
    chats = [chat("what is <|user|>?"), chat("and <|im_end|>?"), chat("fine", "done</s>")]
    (fault,) = examined(tmp_path, chats).faults
    assert (fault.code, fault.severity, fault.count) == ("leaked-token", "warning", 2)
    assert [(one.place.line, one.detail) for one in fault.examples] == [
        (10, "<|user|> in the text"),
        (12, "</s> in the text"),
    ]


def test_of_large_data_a_sample_and_every_order_of_roles_is_looked_at(tmp_path: Path) -> None:
    long = "word " * 40
    chats = [chat(f"{at} {long}") for at in range(2_500)]
    chats.insert(1_234, [("system", "be kind"), *chat("short")])
    found = examined(tmp_path, chats)
    assert not found.whole
    assert found.tally.are.startswith("counted on a sample of")
    assert len(found.tally.lengths) == 2_501
    whole = found.longest[0].detail
    assert whole.endswith(" tokens")
    template = GOOD.replace("{% for m", "{% if messages|length > 2 %}{{ raise_exception('odd') }}{% endif %}{% for m")
    chats[77] = [*chat("a"), *chat("b")]
    (tmp_path / "other").mkdir()
    (fault,) = examined(tmp_path / "other", chats, template).faults
    assert (fault.code, fault.examples[0].place.line) == ("template-refuses", 10 + 77)


def test_what_was_found_is_kept_by_its_contents(tmp_path: Path) -> None:
    own = examiner(model(tmp_path / "model"), environ={}, cache=None)
    one = Examiner(template=own.template, tokenizer_json=own.tokenizer_json, folder=tmp_path / "kept")
    path = rows(tmp_path / "train.jsonl", [chat()])
    first = one.examine(path, "train")
    (kept,) = (tmp_path / "kept").iterdir()
    kept.write_text(kept.read_text().replace('"counted"', '"counted before"'))
    assert one.examine(path, "train").tally.are == "counted before"
    kept.write_text("{")
    assert one.examine(path, "train") == first
    rows(path, [chat(), chat("more")])
    assert len(one.examine(path, "train").tally.lengths) == 2


def test_a_model_without_a_template_is_refused_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match="has no chat template") as told:
        examiner(model(tmp_path / "bare", None), environ={}, cache=None)
    assert told.value.code == "chat-template"
    assert "instruction-tuned" in told.value.hint
    with pytest.raises(WorkloadError, match="cannot be used"):
        examiner(listed(tmp_path / "listed"), environ={}, cache=None)


def listed(folder: Path) -> Model:
    """A model with several templates, none of them the default."""
    found = model(folder, None)
    config = {"chat_template": [{"name": "rag", "template": "a"}]}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return found


def test_without_a_tokenizer_that_is_understood_texts_are_compared_and_lengths_guessed(tmp_path: Path) -> None:
    own = examiner(model(tmp_path / "model", tokenizer=b"{}"), environ={}, cache=None)
    found = own.examine(rows(tmp_path / "train.jsonl", [chat()]), "train")
    assert (found.faults, found.longest, found.tally.are) == ((), (), "guessed from characters")


def test_a_template_of_the_hub_is_fetched_once(tmp_path: Path) -> None:
    model(tmp_path / "set")
    with open_hub() as hub:
        hub.repositories["owner/model"] = Repository(folder=tmp_path / "set")
        environ = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "none")}
        for _ in range(2):
            found = find("owner/model", "", tmp_path, environ=environ, cache=tmp_path / "kept")
            assert examiner(found, environ=environ, cache=tmp_path / "kept").template.text == GOOD
        asked = [path for _, path in hub.asked]
        assert len(asked) == len(set(asked))


def test_the_share_that_may_be_too_long_is_the_jobs() -> None:
    assert prepare.LONGEST_SHARE_TOO_LONG == MOST_TOO_LONG
