"""Questions to an endpoint: from what is kept, else asked within the cap, again where that is safe, a few at a time."""

import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any, TypeVar

from jobs.judge import failures
from jobs.judge.cache import Answer, Asked, Book, Failed, key_of
from jobs.judge.endpoint import LONGEST_PAUSE_SECONDS, Client, Reply, Request
from jobs.judge.failures import EndpointError
from jobs.judge.purse import Purse, cost_usd
from jobs.spec_evaluate import Endpoint

PAUSES_SECONDS = (1.0, 4.0, 16.0)
"""Between tries, where the server does not say (assumed)."""
AT_ONCE = 4
"""Questions on their way together: far below any endpoint's limit, and a laptop's model has no more slots (assumed)."""
LOOK_SECONDS = 0.1
LEAVE_SECONDS = 1.0
"""What calls on their way still get when the asking is ended: most come home, and are paid for anyway."""

Q = TypeVar("Q")
A = TypeVar("A")


class Asker:
    """Asks one endpoint for one run. `sleep` is the pause between tries, which should end with `stopping`."""

    def __init__(
        self, client: Client, book: Book, *, sleep: Callable[[float], object], stopping: threading.Event | None = None
    ) -> None:
        self.to, self.book, self._client = client.to, book, client
        self.stopping = stopping or threading.Event()
        self.purse = Purse(client.to.cap_usd, book.spent_usd)
        self._sleep = sleep
        self._beyond = (0, 0)

    def ask(self, request: Request, key: str) -> Answer:
        """The kept answer, else a new one. Raises one of `failures` after as many tries as its kind allows."""
        kept = self.book.find(key)
        if kept is not None:
            return kept
        tried = 0
        while True:
            if self.stopping.is_set():
                raise failures.Stopped("stopped")
            try:
                return self._once(request, key)
            except EndpointError as error:
                tried += 1
                pause = error.retry_after_seconds
                if pause is None:
                    pause = PAUSES_SECONDS[min(tried, len(PAUSES_SECONDS)) - 1]
                if tried >= error.tries or pause > LONGEST_PAUSE_SECONDS:
                    raise
            self._sleep(pause)

    def _worst_usd(self, request: Request) -> Decimal:
        prompt, new = self._beyond
        return cost_usd(self.to, request.most_prompt_tokens + prompt, request.max_tokens + new)

    def _learn(self, request: Request, reply: Reply) -> None:
        """A server that adds a prompt of its own, or does not keep to max_tokens, does so again: set aside more."""
        prompt, new = self._beyond
        more = (reply.prompt_tokens - request.most_prompt_tokens, reply.new_tokens - request.max_tokens)
        self._beyond = (max(prompt, more[0]), max(new, more[1]))

    def close(self) -> None:
        """Nothing more is asked."""
        self.stopping.set()
        self._client.close()

    def _once(self, request: Request, key: str) -> Answer:
        """Set aside, written down, sent, written down, settled: in this order, and settled whatever comes."""
        call, worst_usd = secrets.token_hex(8), self._worst_usd(request)
        self.purse.reserve(worst_usd)
        really_usd = worst_usd
        try:
            self.book.note(Asked(call=call, key=key, worst_usd=worst_usd))
            try:
                reply = self._client.ask(request)
            except EndpointError as error:
                really_usd = worst_usd if error.may_have_cost else worst_usd * 0
                self.book.note(Failed(call=call, key=key, why=error.message, cost_usd=really_usd))
                raise
            really_usd = cost_usd(self.to, reply.prompt_tokens, reply.new_tokens)
            self._learn(request, reply)
            answer = Answer(
                call=call,
                key=key,
                endpoint=self.to.endpoint,
                model=self.to.model,
                messages=request.messages,
                max_tokens=request.max_tokens,
                text=reply.text,
                ended=reply.ended,
                prompt_tokens=reply.prompt_tokens,
                new_tokens=reply.new_tokens,
                counted_by="us" if reply.counted_by_us else "endpoint",
                seconds=reply.seconds,
                cost_usd=really_usd,
            )
            self.book.note(answer)
            return answer
        finally:
            self.purse.settle(worst_usd, really_usd)


class Streak:
    """Failures in a row, over all threads: so many of them mean that it is not the questions."""

    def __init__(self, most: int) -> None:
        self._most, self._now, self._lock = most, 0, threading.Lock()

    def note(self, failure: EndpointError | None) -> None:
        """How one question ended. Raises the failure that is one too many."""
        with self._lock:
            self._now = self._now + 1 if failure is not None else 0
            if failure is not None and self._now >= self._most:
                raise failure


def key_for(to: Endpoint, request: Request, **more: Any) -> str:
    """The key of a request. `more` sets apart what is asked twice on purpose."""
    return key_of(to, request.messages, {"max_tokens": request.max_tokens, "as_json": request.as_json, **more})


def each(
    questions: Sequence[Q], ask: Callable[[Q], A], *, stopping: threading.Event, tick: Callable[[int], None]
) -> Iterator[tuple[int, A]]:
    """What `ask` says to each question, as it comes, with the question's place; `AT_ONCE` are on their way together.

    `tick` is called every moment with how many are done; what it raises ends the asking (calls on the way get a moment,
    and are then left to their threads, which end with the process). What `ask` raises ends it after those came home.
    """
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for place in range(len(questions)):
        waiting.put(place)
    found: queue.SimpleQueue[tuple[int, A] | BaseException | None] = queue.SimpleQueue()

    def work() -> None:
        try:
            while not stopping.is_set():
                place = waiting.get_nowait()
                found.put((place, ask(questions[place])))
        except queue.Empty:
            pass
        except (EndpointError, OSError, ValueError) as error:
            stopping.set()
            found.put(error)
        except BaseException:  # whoever waits must hear of it; and it is raised again
            stopping.set()
            found.put(RuntimeError("a bug of ours; its traceback stands above"))
            raise
        finally:
            found.put(None)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(AT_ONCE, len(questions)))]
    for thread in threads:
        thread.start()
    try:
        yield from _gathered(found, len(threads), tick)
    finally:
        stopping.set()
        until = time.monotonic() + LEAVE_SECONDS
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))


def _gathered(found: Any, threads: int, tick: Callable[[int], None]) -> Iterator[Any]:
    done, failure = 0, None
    while threads:
        tick(done)
        try:
            one = found.get(timeout=LOOK_SECONDS)
        except queue.Empty:
            continue
        if one is None:
            threads -= 1
        elif isinstance(one, BaseException):
            # Who was only told to stop does not say why.
            failure = one if failure is None or isinstance(failure, failures.Stopped) else failure
        else:
            done += 1
            yield one
    if failure is not None:
        raise failure
