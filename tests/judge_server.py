"""An OpenAI-compatible endpoint on loopback with one model behind it, which is as good, slow or crooked as a test asks.

It is written after https://platform.openai.com/docs/api-reference/chat/create, and knows nothing of the product's code;
its judges find the answers by the marks of the prompt that they are given.
"""

import asyncio
import json
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route

from tests.cloud.http_cloud import serving

Messages = list[dict[str, str]]
QUOTED = re.compile(r"\[begin ([a-zA-Z ]+) (\w+)\]\n(.*?)\n\[end \1 \2\]", re.DOTALL)
COMMAND = re.compile(r"(?:choose|better answer is|better is) (?:answer )?(A|B)\b", re.IGNORECASE)
PAGE = "<!doctype html><title>Sign in</title><p>Welcome to the hotel's network</p>"
HONEST = object()


def comparing(messages: Messages) -> str:
    """A good judge: whichever answer is the reference; else neither."""
    parts = {name: text for name, _, text in QUOTED.findall(messages[-1]["content"])}
    wanted, first, second = (parts[name] for name in ("a reference answer", "answer A", "answer B"))
    better = "same" if (first == wanted) == (second == wanted) else "A" if first == wanted else "B"
    return verdict(better)


def biased(messages: Messages) -> str:
    """Whoever stands first."""
    del messages
    return verdict("A")


def obedient(messages: Messages) -> str:
    """Does what it is told by any text that was not clearly quoted to it as data; else a good judge."""
    rules, material = messages[0]["content"], messages[-1]["content"]
    marks = set(re.findall(r'\[begin \.\.\. (\w{8,})\]"', rules))
    outside = QUOTED.sub(lambda found: "" if found[2] in marks else found[0], material)
    told = COMMAND.search(outside)
    if told:
        return verdict(told[1].upper())
    return comparing(messages) if marks else verdict("same")


def echoing(messages: Messages) -> str:
    """A model that repeats the last turn."""
    return messages[-1]["content"]


def verdict(better: str) -> str:
    return json.dumps({"better": better, "why": "so it seems"})


@dataclass(kw_only=True)
class Model:
    """What is behind the endpoint. `faults`: what happens to the next calls, one each; then all is well."""

    name: str = "judge-1"
    key: str = ""
    answer: Callable[[Messages], str] = comparing
    faults: deque[str] = field(default_factory=deque)
    always: str = ""
    """A fault of every call."""
    usage: Any = HONEST
    finish: str = "stop"
    refuses: set[str] = field(default_factory=set)
    """Parameters that it does not know."""
    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    strayed: list[str] = field(default_factory=list)
    """Keys that followed a redirect."""
    most_at_once: int = 0
    _now: int = 0

    async def completions(self, request: Request) -> Response:
        """One call."""
        body = json.loads(await request.body())
        self.asked.append(body)
        self.keys.add(request.headers.get("authorization", ""))
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        try:
            fault = self.faults.popleft() if self.faults else self.always
            return await self.failed(fault, request) if fault else self.answered(body, request)
        finally:
            self._now -= 1

    async def elsewhere(self, request: Request) -> Response:
        """Where a redirect points."""
        self.strayed.append(request.headers.get("authorization", ""))
        return self.answered(json.loads(await request.body()), request)

    def answered(self, body: dict[str, Any], request: Request) -> Response:
        """All checks, then the answer."""
        if self.key and request.headers.get("authorization") != f"Bearer {self.key}":
            shown = request.headers.get("authorization", "").removeprefix("Bearer ")
            return refusal(401, f"Incorrect API key provided: {shown}.", "invalid_api_key")
        if body["model"] != self.name:
            return refusal(404, f"The model `{body['model']}` does not exist.", "model_not_found")
        unknown = self.refuses & set(body)
        if unknown:
            better = " Use 'max_completion_tokens' instead." if unknown == {"max_tokens"} else ""
            return refusal(400, f"Unsupported parameter: '{min(unknown)}'.{better}", "unsupported_parameter")
        text = self.answer(body["messages"])
        said = sum(len(message["content"]) for message in body["messages"])
        honest = {"prompt_tokens": said // 4 + 8, "completion_tokens": len(text) // 4 + 1}
        usage = honest if self.usage is HONEST else self.usage
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": self.finish}
        return JSONResponse({"id": "c", "object": "chat.completion", "choices": [choice], "usage": usage})

    async def failed(self, fault: str, request: Request) -> Response:
        """One of the ways in which it goes wrong."""
        plain: dict[str, Callable[[], Response]] = {
            "html": lambda: HTMLResponse(PAGE),
            "half": lambda: PlainTextResponse('{"choices": [{"message": {"content": "ab'),
            "no choices": lambda: JSONResponse({"choices": []}),
            "half a character": lambda: PlainTextResponse('{"choices": [{"message": {"content": "c\\udc00"}}]}'),
            "null": lambda: JSONResponse(None),
            "wrong types": lambda: JSONResponse({"choices": [{"message": {"content": {"better": "A"}}}]}),
            "no message": lambda: JSONResponse({"choices": [{"text": "old style"}]}),
            "empty": lambda: JSONResponse({"choices": [{"message": {"content": " "}, "finish_reason": "length"}]}),
            "nested": lambda: PlainTextResponse("[" * 100_000),
            "elsewhere": lambda: RedirectResponse(f"{self.url}/other", status_code=307),
            "absent": lambda: HTMLResponse(PAGE, status_code=404),
            "too long": lambda: refusal(400, "maximum context length is 8192 tokens", "context_length_exceeded"),
            "no credit": lambda: refusal(429, "You exceeded your current quota", "insufficient_quota"),
            "endless": lambda: StreamingResponse(endless(b"x" * 65_536)),
            "drip": lambda: StreamingResponse(endless(b" ", pause=0.02)),
        }
        if fault == "silent":
            while not await request.is_disconnected():
                await asyncio.sleep(0.02)
            return PlainTextResponse("")
        if fault == "cut":
            return StreamingResponse(iter([b"{"]), headers={"content-length": "100"})
        if fault in plain:
            return plain[fault]()
        status, _, after = fault.partition(" after ")
        return JSONResponse({"error": {"message": "no"}}, int(status), {"retry-after": after} if after else {})

    def next_faults(self, *faults: str) -> None:
        """What happens to the next calls."""
        self.faults.extend(faults)


async def endless(part: bytes, pause: float = 0.0) -> AsyncIterator[bytes]:
    while True:
        yield part
        await asyncio.sleep(pause)


def refusal(status: int, message: str, code: str) -> Response:
    return JSONResponse({"error": {"message": message, "type": "invalid_request_error", "code": code}}, status)


@contextmanager
def behind(model: Model) -> Iterator[str]:
    """Serve it until the block ends; the endpoint's address."""
    places = (("/v1/chat/completions", model.completions), ("/v1/other", model.elsewhere))
    app = Starlette(routes=[Route(path, answer, methods=["POST"]) for path, answer in places])
    with serving(app) as url:
        model.url = f"{url}/v1"
        yield model.url
