"""Asks a model behind an OpenAI-compatible endpoint (OpenAI, vLLM, Ollama, llama.cpp), once, and believes little.

Why not the `openai` package: of all that it brings this would use one POST, and it retries by itself, so that a call
could be billed twice whose cost was set aside once. httpx is here anyway.

The wire form is that of https://platform.openai.com/docs/api-reference/chat/create; servers differ in what they refuse,
so what one refuses by name is left out or renamed from then on (`_Dialect`).
"""

import ipaddress
import json
import queue
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, TypeGuard
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from jobs.judge import failures
from jobs.judge.cache import Messages
from jobs.judge.failures import EndpointError, address
from jobs.judge.purse import cost_usd
from jobs.spec_evaluate import Endpoint

MOST_BYTES = 1 << 20
"""Of one answer: 1,000 times a verdict, 50 times a long page (assumed)."""
CONNECT_SECONDS = 10.0
ANSWER_SECONDS, SECONDS_PER_TOKEN = 60.0, 0.1
"""How long an answer may take: a queue, and then ten tokens a second, as a large model on a laptop speaks (assumed)."""
TOKENS_A_MESSAGE = 16
"""Around each message, by its template (assumed; OpenAI's own counts 3 to 4, Llama's 5 to 8)."""
LONGEST_SAID = 200
"""Characters of a server's own words in an error of ours."""
LONGEST_PAUSE_SECONDS = 60.0
"""A server that asks for a longer pause is given up for now (assumed)."""
UNAUTHORISED, PAYMENT, FORBIDDEN, ABSENT, TOO_OFTEN, INVALID = 401, 402, 403, 404, 429, (400, 413, 422)
TURNED_AWAY = (503, 529)


@dataclass(frozen=True, kw_only=True)
class Request:
    """One question. `as_json`: asks for JSON where the endpoint can be asked for it."""

    messages: Messages
    max_tokens: int
    as_json: bool = False

    def __post_init__(self) -> None:
        """Rows may hold halves of characters; no server takes them, and no file."""
        object.__setattr__(self, "messages", tuple((role, whole(text)) for role, text in self.messages))

    @property
    def most_prompt_tokens(self) -> int:
        """A bound: no tokenizer in use makes more than one token of a byte, and templates add a few."""
        return sum(len(text.encode()) + TOKENS_A_MESSAGE for _, text in self.messages) + TOKENS_A_MESSAGE

    def worst_usd(self, to: Endpoint) -> Decimal:
        """What it may cost at most, by the job file's prices."""
        return cost_usd(to, self.most_prompt_tokens, self.max_tokens)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What was answered. Tokens are the endpoint's count, or (`counted_by_us`) our worst case where it cannot be."""

    text: str
    ended: bool
    prompt_tokens: int
    new_tokens: int
    counted_by_us: bool
    seconds: float


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Message(_Wire):
    content: str | None = None


class _Choice(_Wire):
    message: _Message
    finish_reason: str | None = None


class _Completion(_Wire):
    choices: list[_Choice] = Field(min_length=1)
    usage: Any = None


@dataclass(frozen=True, kw_only=True)
class _Dialect:
    """What this server takes."""

    length: str = "max_tokens"
    temperature: bool = True
    response_format: bool = True


class Client:
    """One endpoint and one model. `environ` holds the key; it is sent, and never kept, shown or written.

    `seconds` is the longest that an answer may take (None: by its length); tests shorten it. Raises `NoKey`, `OpenKey`.
    """

    def __init__(
        self,
        to: Endpoint,
        environ: Mapping[str, str],
        *,
        seconds: float | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.to, self._seconds, self._monotonic = to, seconds, monotonic
        self._key = _key(to, environ)
        self._dialect = _Dialect()
        self._client: Any = None
        self._opening = threading.Lock()

    def ask(self, request: Request) -> Reply:
        """The answer to one question, sent once (again only where the server named a parameter it does not take).

        Raises one of `failures`.
        """
        while True:
            dialect = self._dialect
            began = self._monotonic()
            status, body, headers = self._sent(self._body(request, dialect), request)
            if status in INVALID:
                other = _other_dialect(dialect, _said(body))
                if other != dialect:
                    self._dialect = other
                    continue
            if status != 200:
                raise self._refusal(status, body, headers)
            return _reply(body, request, self._monotonic() - began)

    def close(self) -> None:
        """Let the connections go."""
        if self._client is not None:
            self._client.close()

    def _body(self, request: Request, dialect: _Dialect) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.to.model,
            "messages": [{"role": role, "content": text} for role, text in request.messages],
            dialect.length: request.max_tokens,
            "stream": False,
        }
        if dialect.temperature:
            body["temperature"] = 0
        if dialect.response_format and request.as_json:
            body["response_format"] = {"type": "json_object"}
        return body

    def _sent(self, body: dict[str, Any], request: Request) -> tuple[int, bytes, Mapping[str, str]]:
        """Status, body (bounded) and headers, or `TimedOut` when the time is up, whatever the server does.

        httpx bounds each read, not their sum: a server that sends a byte of a header now and then would hold a call for
        days. So the call has a thread of its own, which is left to itself when it is late, and ends with the process.
        """
        limit = self._seconds or ANSWER_SECONDS + SECONDS_PER_TOKEN * request.max_tokens
        found: queue.SimpleQueue[tuple[int, bytes, Mapping[str, str]] | Exception] = queue.SimpleQueue()

        def call() -> None:
            try:
                found.put(self._exchanged(body, limit))
            except (EndpointError, OSError, ValueError) as error:
                found.put(error)
            except BaseException:  # whoever waits must hear of it; and it is raised again
                found.put(RuntimeError("a bug of ours; its traceback stands above"))
                raise

        threading.Thread(target=call, daemon=True).start()
        try:
            one = found.get(timeout=limit)
        except queue.Empty:
            raise self._too_late(limit) from None
        if isinstance(one, Exception):
            raise one
        return one

    def _exchanged(self, body: dict[str, Any], limit: float) -> tuple[int, bytes, Mapping[str, str]]:
        """The call itself. A body that never ends, or only drips, is cut off."""
        import httpx  # start-up time

        until = self._monotonic() + limit
        headers = {"authorization": f"Bearer {self._key}"} if self._key else {}
        timeout = httpx.Timeout(limit, connect=min(CONNECT_SECONDS, limit))
        try:
            with self._opened().stream("POST", address(self.to), json=body, headers=headers, timeout=timeout) as answer:
                parts, size = [], 0
                for part in answer.iter_bytes():
                    parts.append(part)
                    size += len(part)
                    if size > MOST_BYTES:
                        raise failures.Garbage(f"{self._name} sent more than {MOST_BYTES:,} bytes")
                    if self._monotonic() > until:
                        raise self._too_late(limit)
                return answer.status_code, b"".join(parts), answer.headers
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol) as error:
            raise failures.Unreachable(
                f"{self._name} cannot be reached ({_clean(str(error)) or type(error).__name__})",
                f"curl {address(self.to)}     # is it up, and the address right?",
            ) from error
        except httpx.TimeoutException as error:
            raise self._too_late(limit) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise failures.Broken(f"{self._name} broke off ({type(error).__name__})", "the same again") from error

    @property
    def _name(self) -> str:
        return f"{self.to.model} at {urlsplit(self.to.endpoint).netloc}"

    def _too_late(self, limit: float) -> EndpointError:
        return failures.TimedOut(
            f"{self._name} gave no answer within {limit:.0f} s", "the same again, or another model"
        )

    def _opened(self) -> Any:
        """Redirects are not followed: the key goes to no other host."""
        import httpx  # start-up time

        with self._opening:
            if self._client is None:
                self._client = httpx.Client(follow_redirects=False)
            return self._client

    def _refusal(self, status: int, body: bytes, headers: Mapping[str, str]) -> EndpointError:
        """What a status other than 200 means."""
        said = self._quoted(body)
        if status in (UNAUTHORISED, FORBIDDEN):
            return self._key_refused(said)
        if status == PAYMENT or "insufficient_quota" in _said(body):
            return failures.NoCredit(f"the account at {self._name} has no credit left{said}", "add credit there")
        if status == TOO_OFTEN or status in TURNED_AWAY:
            failure = failures.Overloaded(f"{self._name} is asked too often (HTTP {status}){said}", "later")
            failure.retry_after_seconds = _retry_after(headers)
            return failure
        if status >= 500:
            return failures.Broken(f"{self._name} failed (HTTP {status}){said}", "later")
        if status in INVALID:
            return failures.Refused(f"{self._name} refused this request (HTTP {status}){said}")
        return self._not_there(status, body)

    def _key_refused(self, said: str) -> EndpointError:
        if self.to.key is None:
            hint = "`key` in launch.yaml: the name of the environment variable that holds one"
            return failures.KeyRefused(f"{self._name} refuses a call without a key{said}", hint)
        hint = f"export {self.to.key}=...     # a key that may use {self.to.model}"
        return failures.KeyRefused(f"{self._name} refuses the key in {self.to.key}{said}", hint)

    def _not_there(self, status: int, body: bytes) -> EndpointError:
        said = self._quoted(body)
        if status == ABSENT and "model" in _said(body).lower():
            return failures.UnknownModel(f"there is no {self._name}{said}", "`model` in launch.yaml, as they spell it")
        return failures.Misplaced(
            f"no chat completions at {address(self.to)} (HTTP {status}){said}",
            "`endpoint` in launch.yaml: the address below which /chat/completions is, as https://host/v1",
        )

    def _quoted(self, body: bytes) -> str:
        """The server's own words, cleaned, short, and without the key (some repeat it)."""
        said = _clean(_said(body).replace(self._key, "***") if self._key else _said(body))
        return f": {said}" if said else ""


def _key(to: Endpoint, environ: Mapping[str, str]) -> str:
    if to.key is None:
        return ""
    key = environ.get(to.key, "").strip()
    if not key:
        raise failures.NoKey(f"the environment variable {to.key} is not set", f"export {to.key}=...")
    if not re.fullmatch(r"[!-~]+", key):
        raise failures.NoKey(f"{to.key} holds what no key is: spaces, or letters beyond ASCII", f"export {to.key}=...")
    if urlsplit(to.endpoint).scheme != "https" and not is_near(urlsplit(to.endpoint).hostname or ""):
        raise failures.OpenKey(f"{to.endpoint} is not encrypted: {to.key} is not sent there", "an https:// endpoint")
    return key


def is_near(host: str) -> bool:
    """This computer, or a network of one's own."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return False


def _other_dialect(dialect: _Dialect, said: str) -> _Dialect:
    """The same without what the refusal names; each thing is left out once."""
    if "max_completion_tokens" in said and dialect.length == "max_tokens":
        return replace(dialect, length="max_completion_tokens")
    if "response_format" in said and dialect.response_format:
        return replace(dialect, response_format=False)
    if "temperature" in said and dialect.temperature:
        return replace(dialect, temperature=False)
    return dialect


def _said(body: bytes) -> str:
    """What an error's body says: its message and code where it is JSON of a known form; nothing of a page."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    inner = value.get("error", value) if isinstance(value, dict) else value
    if isinstance(inner, dict):
        named = (inner.get(name) for name in ("message", "code", "param", "detail"))
        return " ".join(str(one) for one in named if isinstance(one, str | int) and one != "")
    return inner if isinstance(inner, str) else ""


def _clean(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:LONGEST_SAID]


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, as the header says; None where it says none (or a date: then our own pause is as good)."""
    text = headers.get("retry-after", "")
    return float(text) if re.fullmatch(r"\d{1,6}(\.\d{1,3})?", text, re.ASCII) else None


def whole(text: str) -> str:
    """Without halves of characters, which JSON can hold and no file can."""
    return text.encode("utf-8", "replace").decode()


def _reply(body: bytes, request: Request, seconds: float) -> Reply:
    try:
        made = _Completion.model_validate(json.loads(body))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise failures.Garbage(f"the answer is no chat completion: {place or 'it'}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise failures.Garbage("the answer is no JSON") from error
    choice = made.choices[0]
    text = whole(choice.message.content or "")
    if not text.strip():
        used_up = " (all of max_tokens went into something else: thinking?)" if choice.finish_reason == "length" else ""
        raise failures.Garbage(f"the answer is empty{used_up}")
    counted = _counted(made.usage)
    prompt_tokens, new_tokens = counted or (request.most_prompt_tokens, request.max_tokens)
    return Reply(
        text=text,
        ended=choice.finish_reason != "length",
        prompt_tokens=prompt_tokens,
        new_tokens=new_tokens,
        counted_by_us=counted is None,
        seconds=round(seconds, 3),
    )


def _counted(usage: object) -> tuple[int, int] | None:
    """Tokens of prompt and answer as the endpoint counted them; None where that cannot be the truth."""
    if not isinstance(usage, dict):
        return None
    prompt, new = usage.get("prompt_tokens"), usage.get("completion_tokens")
    return (prompt, new) if _is_count(prompt) and _is_count(new) else None


def _is_count(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 < value < 10**9
