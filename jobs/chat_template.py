"""The model's own chat template, rendered here as transformers renders it on the machine: jinja2 alone, sandboxed."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from jobs.qlora.template import Pair, Turn

if TYPE_CHECKING:
    from jinja2 import Template

TEMPLATE_FILE, CONFIG_FILE, TOKENS_FILE = "chat_template.jinja", "tokenizer_config.json", "special_tokens_map.json"
NAMED_TOKENS = tuple(f"{name}_token" for name in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"))
"""What transformers hands to a template by name (`special_tokens_map` of its tokenizers)."""
MOST_REPEATED = 1_000_000
"""Characters that a template may make by multiplying a text: it is a stranger's program."""

MOST_STEPS = 300_000
"""Turns of loops and calls in one rendering: a conversation of a thousand turns takes some ten thousand."""
MOST_SECONDS = 5.0
"""Of one rendering, looked at in loops and calls; a sound template takes milliseconds (assumed)."""

ReadFile = Callable[[str], bytes | None]
"""A file of the model by its name; None where it has none."""


class TemplateRefused(Exception):
    """The template does not take these turns, or is no template; the text is its own."""


@dataclass(frozen=True, kw_only=True)
class ChatTemplate:
    """A template and the special tokens that it may name; `source` is the file that it stands in."""

    text: str
    tokens: Mapping[str, str] = field(default_factory=dict)
    source: str = TEMPLATE_FILE

    def render(self, turns: Sequence[Turn], *, add_generation_prompt: bool = False) -> str:
        """As `apply_chat_template(..., tokenize=False)` of transformers 5. Raises `TemplateRefused`."""
        import jinja2  # start-up time

        try:
            self._compiled.environment.start()  # type: ignore[attr-defined] # our own, `_environment`
            return self._compiled.render(
                messages=list(turns),
                tools=None,
                documents=None,
                add_generation_prompt=add_generation_prompt,
                **self.tokens,
            )
        except jinja2.TemplateError as refused:
            raise TemplateRefused(refused.message or type(refused).__name__) from refused
        except (
            TypeError,
            ValueError,
            LookupError,
            ArithmeticError,
            AttributeError,
            RecursionError,
            MemoryError,
        ) as broken:
            raise TemplateRefused(f"{type(broken).__name__}: {broken}") from broken

    def rendered(self, pair: Pair) -> tuple[str, str]:
        """The prompt as it is asked, and the whole row as it is trained: `ids_of` of jobs/qlora/template.py in text."""
        prompt = self.render(pair["prompt"], add_generation_prompt=True)
        return prompt, self.render([*pair["prompt"], *pair["completion"]])

    @cached_property
    def _compiled(self) -> "Template":
        import jinja2  # start-up time

        try:
            compiled: Template = _environment().from_string(self.text)
        except jinja2.TemplateError as broken:
            raise TemplateRefused(f"{self.source} cannot be read: {broken.message}") from broken
        return compiled


def find(read: ReadFile) -> ChatTemplate | None:
    """The template of a model: its own file before the tokenizer's settings, as in transformers; None: it has none.

    Raises `TemplateRefused` where there are several and none is the default.
    """
    config = _json(read(CONFIG_FILE))
    own = read(TEMPLATE_FILE)
    if own is not None:
        text, source = own.decode("utf-8", errors="replace"), TEMPLATE_FILE
    else:
        text, source = _default_of(config.get("chat_template")), CONFIG_FILE
    if not text:
        return None
    tokens = _tokens(config)
    if "added_tokens_decoder" not in config:  # the older layout, where a file of its own has the last word
        tokens |= _tokens(_json(read(TOKENS_FILE)))
    return ChatTemplate(text=text, tokens=tokens, source=source)


def _default_of(said: object) -> str:
    """One template; or of several, each with a name, the default one."""
    if isinstance(said, str):
        return said
    if not isinstance(said, list):
        return ""
    named = {str(one.get("name")): str(one.get("template") or "") for one in said if isinstance(one, dict)}
    if named and "default" not in named:
        raise TemplateRefused(f"there are several templates and none is the default: {', '.join(sorted(named))}")
    return named.get("default", "")


def _tokens(said: Mapping[str, Any]) -> dict[str, str]:
    """The named special tokens: texts, or objects with their content."""
    found = {}
    for name in NAMED_TOKENS:
        value = said.get(name)
        content = value.get("content") if isinstance(value, dict) else value
        if isinstance(content, str):
            found[name] = content
    return found


def _json(content: bytes | None) -> dict[str, Any]:
    try:
        document = json.loads(content or b"{}")
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _environment() -> Any:
    """Set up as `_compile_jinja_template` of transformers 5.23 does, with what a template may use: no more, no less."""
    from jinja2 import nodes  # start-up time, and the next two
    from jinja2.exceptions import TemplateError
    from jinja2.ext import Extension, loopcontrols

    class Generation(Extension):
        """`{% generation %}` marks what the assistant says; here it is its text and nothing else."""

        tags = {"generation"}  # noqa: RUF012 - jinja's own way to say it

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.CallBlock(self.call_method("_said"), [], [], body).set_lineno(line)

        def _said(self, caller: Callable[[], str]) -> str:
            return caller()

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    environment = _bounded()(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    environment.filters["stepped"] = environment.stepped
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now(UTC).astimezone().strftime(form)
    return environment


def _bounded() -> Any:
    """The sandbox, with an end to everything."""
    from jinja2 import nodes  # start-up time, and the next two
    from jinja2.exceptions import SecurityError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Bounded(ImmutableSandboxedEnvironment):
        """A text is not multiplied without end, nor a number raised; loops and calls come to an end."""

        intercepted_binops = frozenset({"*", "**"})
        steps, until = 0, 0.0

        def start(self) -> None:
            """Begin to count, for one rendering."""
            self.steps, self.until = 0, time.monotonic() + MOST_SECONDS

        def step(self) -> None:
            self.steps += 1
            if self.steps > MOST_STEPS or (self.steps % 100 == 0 and time.monotonic() > self.until):
                raise SecurityError("the template does not come to an end")

        def stepped(self, values: Iterable[Any]) -> Iterator[Any]:
            for value in values:
                self.step()
                yield value

        def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
            """Every loop goes over its values one by one, through `stepped`."""
            tree = super()._parse(source, name, filename)
            for loop in tree.find_all(nodes.For):
                if not loop.recursive:
                    loop.iter = nodes.Filter(loop.iter, "stepped", [], [], None, None, lineno=loop.lineno)
            return tree

        def call(self, context: Any, obj: Any, /, *args: Any, **named: Any) -> Any:
            self.step()
            return super().call(context, obj, *args, **named)

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            numbers = all(isinstance(one, int | float) for one in (left, right))
            if operator == "**" or (not numbers and _repeats(left, right) > MOST_REPEATED):
                raise SecurityError(f"the template goes too far with {operator}")
            return super().call_binop(context, operator, left, right)

    return Bounded


def _repeats(left: object, right: object) -> int:
    """Items of the sequence that a multiplication would make."""
    sizes = [len(one) if isinstance(one, str | list | tuple) else one for one in (left, right)]
    whole = [size for size in sizes if isinstance(size, int)]
    return whole[0] * whole[1] if len(whole) == 2 else 0


def _to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Not jinja's own, which escapes for HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
