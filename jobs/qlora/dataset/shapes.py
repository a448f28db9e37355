"""Make chat turns of a record: chats of OpenAI and ShareGPT, the keys of Alpaca and TRL, any columns."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from .records import Bad, kind, parsed_json
from .rows import Turns

KEYS = {
    "messages": ("messages",),
    "sharegpt": ("conversations",),
    "alpaca": ("instruction", "output"),
    "prompt_completion": ("prompt", "completion"),
}
"""Which keys make a shape, the surest first: data sets with `messages` often carry a `prompt` besides."""
ROLES = {"system": "system", "user": "user", "assistant": "assistant"}
SHAREGPT_ROLES = {**ROLES, "human": "user", "gpt": "assistant", "model": "assistant"}
_TOOL_ROLES = frozenset(
    {"tool", "function", "function_call", "function-call", "tool_call", "tool_response", "observation", "ipython"}
)
_TOOL_KEYS = ("tool_calls", "function_call", "tool_call_id")
_TOOL_LISTS = ("tools", "functions")
_READ_OF_A_TURN = frozenset({"role", "content", "from", "value", "weight", *_TOOL_KEYS})
_JOINED = "\n\n"
"""Between Alpaca's instruction and its input, as the Stanford prompt sets them apart by a blank line."""


class BadRow(ValueError):
    """A record of which no turns can be made."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.bad = Bad(code, detail)


@dataclass
class Shaper:
    """Reads the records of one file, all in the same shape; counts what it changed or passed over on the way."""

    shape: str
    """One of `KEYS`, or "columns"."""
    columns: Mapping[str, str] = field(default_factory=dict)
    became_text: Counter[str] = field(default_factory=Counter)
    unread: Counter[str] = field(default_factory=Counter)

    def turns(self, record: Mapping[str, Any]) -> Turns:
        """The conversation in a record; its order is not looked at yet. Raises `BadRow`."""
        _refuse_tools(record)
        if self.shape == "columns":
            return self._mapped(record)
        missing = [key for key in KEYS[self.shape] if key not in record]
        if missing:
            raise self._other_shape(record, missing)
        if self.shape == "messages":
            return self._chat(record["messages"], "messages")
        if self.shape == "sharegpt":
            return (*_system(record), *self._chat(record["conversations"], "conversations"))
        if self.shape == "alpaca":
            return _alpaca(record)
        return self._pair(record)

    def _other_shape(self, record: Mapping[str, Any], missing: Sequence[str]) -> BadRow:
        other = shape_of(record)
        if other:
            return BadRow("mixed-shapes", f"expected {_shown(self.shape)}, as the first rows have; got {_shown(other)}")
        return BadRow("missing-key", f"there is no {' and no '.join(missing)}; the keys are: {_keys(record)}")

    def _chat(self, value: Any, name: str) -> Turns:
        turns = parsed_json(value.encode("utf-8", "replace")) if isinstance(value, str) else value
        if not isinstance(turns, list):
            raise BadRow("wrong-type", f"{name}: expected a list of turns, got {kind(value)}")
        if isinstance(value, str):
            self.became_text[f"{name}: JSON text was read as a list of turns"] += 1
        return tuple(self._turn(f"{name}[{at}]", turn) for at, turn in enumerate(turns))

    def _turn(self, where: str, turn: Any) -> tuple[str, str]:
        if not isinstance(turn, dict):
            raise BadRow("wrong-type", f"{where}: expected an object with role and content, got {kind(turn)}")
        chat = "from" not in turn
        spoken, content = (turn.get("role"), turn.get("content")) if chat else (turn["from"], turn.get("value"))
        role = _role(where, spoken, ROLES if chat and self.shape == "messages" else SHAREGPT_ROLES)
        tools = [key for key in _TOOL_KEYS if turn.get(key)]
        if tools:
            raise BadRow("tool-call", f"{where}: this turn has {tools[0]}")
        if turn.get("weight") == 0:
            raise BadRow("unlearned-turn", f"{where}: weight is 0, but every assistant turn is learned")
        self.unread.update(key for key, value in turn.items() if key not in _READ_OF_A_TURN and value)
        return role, _content(where, content)

    def _pair(self, record: Mapping[str, Any]) -> Turns:
        prompt, completion = record["prompt"], record["completion"]
        return (
            *_system(record),
            *(self._chat(prompt, "prompt") if isinstance(prompt, list) else [("user", _text(record, "prompt"))]),
            *self._answer(completion, "completion", record),
        )

    def _answer(self, completion: Any, name: str, record: Mapping[str, Any]) -> Turns:
        if isinstance(completion, list):
            return self._chat(completion, name)
        return (("assistant", _text(record, name)),)

    def _mapped(self, record: Mapping[str, Any]) -> Turns:
        if "messages" in self.columns:
            return self._chat(found(record, self.columns["messages"]), self.columns["messages"])
        system = found(record, self.columns["system"]) if self.columns.get("system") else None
        opening = [("system", self._as_text(system, self.columns["system"]))] if system not in (None, "") else []
        turns: list[tuple[str, str]] = [*opening]
        for role, what in (("user", "prompt"), ("assistant", "completion")):
            name = self.columns[what]
            value = found(record, name)
            if _are_turns(value):
                turns.extend(self._chat(value, name))
            else:
                turns.append((role, self._as_text(value, name)))
        return tuple(turns)

    def _as_text(self, value: Any, name: str) -> str:
        """Text as it is; a number as it is written, an object or a list as compact JSON: both counted."""
        if isinstance(value, str):
            return value
        if isinstance(value, bool | int | float | Decimal):
            self.became_text[f"{name}: numbers became text"] += 1
            return json.dumps(value) if not isinstance(value, Decimal) else str(value)
        if isinstance(value, dict | list):
            self.became_text[f"{name}: objects and lists became compact JSON"] += 1
            try:
                return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
            except (TypeError, ValueError) as error:
                raise BadRow("wrong-type", f"{name}: holds what JSON has no word for ({error})") from error
        raise BadRow("wrong-type", f"{name}: expected text, got {kind(value)}")

    @property
    def notes(self) -> Iterator[str]:
        """What happened on the way, in sentences."""
        for what, count in sorted(self.became_text.items()):
            yield f"{what} ({count:,})"
        for key, count in sorted(self.unread.items()):
            yield f"turns have a key {key!r} that is not trained on ({count:,})"


def shape_of(record: Mapping[str, Any]) -> str:
    """The shape whose keys a record has; "" for none."""
    return next((shape for shape, keys in KEYS.items() if all(key in record for key in keys)), "")


def unknown_shape(record: Mapping[str, Any]) -> tuple[str, str]:
    """What to say of a file in none of the shapes, and the setting that would help."""
    names = [str(key) for key in record]
    if {"chosen", "rejected"} <= set(names):
        asked = "prompt" if "prompt" in names else "KEY"
        hint = f"--set data.columns.prompt={asked} --set data.columns.completion=chosen"
        return "the rows hold preferences (chosen, rejected); this job learns from one answer", hint
    if names in (["text"], ["", "text"]):
        return "the rows hold only running text; this job learns answers to prompts", "part it into prompt, completion"
    prompt = _likely(names, ("prompt", "question", "query", "instruction", "input", "text", "context"))
    answer = _likely(
        [name for name in names if name != prompt],
        ("completion", "answer", "response", "output", "target", "label", "summary", "reply"),
    )
    if len(names) == 2 and not (
        prompt and answer
    ):  # a table of two columns is asked on the left and answered beside it
        prompt = prompt or next(name for name in names if name != answer)
        answer = answer or next(name for name in names if name != prompt)
    hint = f"--set data.columns.prompt={prompt or 'KEY'} --set data.columns.completion={answer or 'KEY'}"
    return f"the rows are in none of the known shapes; their keys are: {_keys(record)}", hint


def found(record: Mapping[str, Any], name: str) -> Any:
    """The value under a key, or under a dotted path of keys (and numbers, in lists); None for nothing."""
    if name in record:
        return record[name]
    value: Any = record
    for key in name.split("."):
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, list) and key.isascii() and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value


def _likely(names: Sequence[str], words: Sequence[str]) -> str:
    return next((name for word in words for name in names if word in name.lower()), "")


def _refuse_tools(record: Mapping[str, Any]) -> None:
    for key in _TOOL_LISTS:
        if record.get(key) not in (None, "", "[]", [], {}):
            raise BadRow("tool-call", f"the row has {key}")


def _role(where: str, spoken: Any, roles: Mapping[str, str]) -> str:
    if isinstance(spoken, str) and spoken in roles:
        return roles[spoken]
    if isinstance(spoken, str) and spoken in _TOOL_ROLES:
        raise BadRow("tool-call", f"{where}: the role is {json.dumps(spoken)}")
    got = json.dumps(spoken) if isinstance(spoken, str) else kind(spoken)
    names = [f'"{name}"' for name in roles]
    raise BadRow("wrong-role", f"{where}: role must be {', '.join(names[:-1])} or {names[-1]}, got {got}")


def _content(where: str, content: Any) -> str:
    """The text of a turn; parts of a list are joined as they stand."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise BadRow("wrong-type", f"{where}: content must be text, got {kind(content)}")
    return "".join(_part(f"{where}.content[{at}]", part) for at, part in enumerate(content))


def _part(where: str, part: Any) -> str:
    what = part.get("type") if isinstance(part, dict) else None
    if what == "text" and isinstance(part.get("text"), str):
        return str(part["text"])
    got = f"a part of type {json.dumps(what)}" if isinstance(what, str) else kind(part)
    raise BadRow("unreadable-part", f'{where}: expected {{"type": "text", "text": …}}, got {got}')


def _text(record: Mapping[str, Any], key: str) -> str:
    value = record.get(key)
    if isinstance(value, str):
        return value
    way_out = "; named in data.columns it would become text" if isinstance(value, int | float | dict | list) else ""
    raise BadRow("wrong-type", f"{key}: expected text, got {kind(value)}{way_out}")


def _maybe_text(record: Mapping[str, Any], key: str) -> str:
    return "" if record.get(key) is None else _text(record, key)


def _system(record: Mapping[str, Any]) -> Turns:
    """The system turn of a row that has it under a key of its own."""
    text = _maybe_text(record, "system")
    return (("system", text),) if text.strip() else ()


def _alpaca(record: Mapping[str, Any]) -> Turns:
    asked = [text for text in (_text(record, "instruction"), _maybe_text(record, "input")) if text.strip()]
    return (
        *_system(record),
        *_history(record),
        ("user", _JOINED.join(asked)),
        ("assistant", _text(record, "output")),
    )


def _history(record: Mapping[str, Any]) -> Turns:
    """Turns before this one, which some Alpaca files carry as pairs of question and answer."""
    before = record.get("history") or []
    if not isinstance(before, list) or any(
        not isinstance(pair, list) or len(pair) != 2 or any(not isinstance(text, str) for text in pair)
        for pair in before
    ):
        raise BadRow("wrong-type", "history: expected a list of [question, answer]")
    return tuple(turn for asked, said in before for turn in (("user", asked), ("assistant", said)))


def _are_turns(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) and "role" in one for one in value)


def _shown(shape: str) -> str:
    return f"{shape} ({', '.join(KEYS[shape])})" if shape in KEYS else shape


def _keys(record: Mapping[str, Any]) -> str:
    names = [str(key)[:60] for key in record]
    return (", ".join(names[:12]) + (", …" if len(names) > 12 else "")) or "none"
