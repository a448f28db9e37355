"""moto's AWS on a loopback port, with the one thing added that the contract needs: a client token makes one machine."""

import io
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.cloud import catalogue
from tests.cloud.wire import Call

Start = Callable[..., Any]
DENIED = ("400 Bad Request", b'{"__type": "AccessDeniedException", "message": "not allowed"}')


@dataclass
class Wrapped:
    """The WSGI application; `calls` are the form bodies of all EC2 requests, in order."""

    inner: Callable[..., Iterable[bytes]]
    calls: list[dict[str, str]] = field(default_factory=list)
    by_token: dict[tuple[str, str], tuple[dict[str, str], bytes]] = field(default_factory=dict)
    lost: int = 0
    """How many of the next RunInstances are carried out, and answered with a server error."""
    answers: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    """EC2 action, or service and action, to a status line and body that is given instead of moto's."""

    def refuse(self, action: str, code: str, *, status: int = 400, text: str = "no") -> None:
        """Answer `action` with that error from now on."""
        error = f"<Error><Code>{code}</Code><Message>{text}</Message></Error>"
        self.answers[action] = (f"{status} X", f"<Response><Errors>{error}</Errors></Response>".encode())

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        form = {key: values[0] for key, values in parse_qs(body.decode("latin-1")).items()}
        if environ["PATH_INFO"] == "/checkip":
            return _answered(start, "200 OK", b"198.51.100.7\n")
        if "Action" in form:
            self.calls.append(form)
        action = environ.get("HTTP_X_AMZ_TARGET") or form.get("Action", "")
        if action in self.answers:
            return _answered(start, *self.answers[action])
        if form.get("Action") == "RunInstances" and "DryRun" not in form:
            return self._run(environ, form, start)
        if form.get("Action") == "TerminateInstances":
            return self._terminate(environ, form, start)
        if form.get("Action") == "DescribeInstanceTypeOfferings":  # moto knows no patterns in its filters
            region = environ["HTTP_AUTHORIZATION"].split("/")[2]
            answer = catalogue.offerings(Call(operation="", region=region, access_key="", form=form))
            assert answer is not None
            return _answered(start, "200 OK", answer.body)
        return self.inner(environ, start)

    def _terminate(self, environ: dict[str, Any], form: dict[str, str], start: Start) -> Iterable[bytes]:
        """A second terminate is fine on EC2, and an error about a network interface on moto: the first answer again."""
        place = ("terminate", form["InstanceId.1"])
        if place not in self.by_token:
            status: list[str] = []
            answer = b"".join(self.inner(environ, lambda line, *_rest: status.append(line)))
            if not status[0].startswith("200"):
                return _answered(start, status[0], answer)
            self.by_token[place] = (form, answer)
        return _answered(start, "200 OK", self.by_token[place][1])

    def _run(self, environ: dict[str, Any], form: dict[str, str], start: Start) -> Iterable[bytes]:
        place = (environ["HTTP_AUTHORIZATION"].split("/")[2], form["ClientToken"])
        known = self.by_token.get(place)
        if known and known[0] != form:
            code = b"<Response><Errors><Error><Code>IdempotentParameterMismatch</Code></Error></Errors></Response>"
            return _answered(start, "400 Bad Request", code)
        if known is None:
            status: list[str] = []
            answer = b"".join(self.inner(environ, lambda line, *_rest: status.append(line)))
            known = self.by_token[place] = (form, answer)
        if self.lost:
            self.lost -= 1
            return _answered(start, "500 Internal Server Error", b"")
        return _answered(start, "200 OK", known[1])

    def made(self) -> list[dict[str, str]]:
        """The parameters of all RunInstances."""
        return [form for form in self.calls if form["Action"] == "RunInstances"]


@dataclass(frozen=True)
class MotoCloud:
    """A running one."""

    url: str
    app: Wrapped

    @property
    def environ(self) -> dict[str, str]:
        """What points boto at it."""
        return {"AWS_ENDPOINT_URL": self.url, "AWS_ACCESS_KEY_ID": "AKIATESTING", "AWS_SECRET_ACCESS_KEY": "planted"}


def _answered(start: Start, status: str, body: bytes) -> Iterable[bytes]:
    start(status, [("Content-Type", "text/xml"), ("Content-Length", str(len(body)))])
    return [body]


class Quiet(WSGIRequestHandler):
    """Says nothing about requests: whether a provider prints is a question of its own."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing."""


@contextmanager
def moto_cloud() -> Iterator[MotoCloud]:
    """Serve moto until the block ends."""
    app = Wrapped(DomainDispatcherApplication(create_backend_app))
    app.answers["AWSPriceListService.GetProducts"] = DENIED  # moto knows no price list
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield MotoCloud(f"http://127.0.0.1:{server.server_port}", app)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
