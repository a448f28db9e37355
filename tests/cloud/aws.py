"""AWS as one HTTP endpoint: faults outermost, then our verbs, then moto for all the rest."""

import contextlib
import io
import socket
import struct
import threading
from collections.abc import Callable, Iterable
from typing import Any

from moto.server import DomainDispatcherApplication, create_backend_app

from tests.cloud import catalogue
from tests.cloud.ec2 import Ec2
from tests.cloud.ec2_life import Ec2Life
from tests.cloud.faults import Fault
from tests.cloud.wire import Answer, Call, Refused, form_body, read_call
from tests.cloud.world import World

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Verb = Callable[[Call], Answer | None]
HTML = b"<!doctype html><html><meta charset=utf-8><title>Bad Gateway</title><p>a proxy is in the way<br></html>"


class Aws:
    """A WSGI application."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._app = DomainDispatcherApplication(create_backend_app)
        self._environ = threading.local()
        self.life = Ec2Life(world)
        self.ec2 = Ec2(world, self.life, self._moto)
        self._verbs = self._table()
        self.slow_seconds = 0.0
        """Real seconds before each answer."""
        self.calls: list[Call] = []
        """Every call since the last reset, also those that a fault befell."""

    def _table(self) -> dict[str, Verb]:
        ec2, world, life = self.ec2, self._world, self.life
        return {
            "RunInstances": ec2.run_instances,
            "TerminateInstances": ec2.terminate_instances,
            "DescribeInstances": ec2.describe_instances,
            "StopInstances": ec2.stop_instances,
            "DescribeSpotInstanceRequests": ec2.spot_requests,
            "CancelSpotInstanceRequests": ec2.cancel_spot_requests,
            "DeleteSecurityGroup": ec2.delete_security_group,
            "DescribeVpcs": ec2.describe_vpcs,
            "DescribeSpotPriceHistory": lambda call: catalogue.spot_prices(world, life.scenario, call),
            "DescribeInstanceTypeOfferings": catalogue.offerings,
            "DescribeImages": catalogue.images,
            "GetParameter": catalogue.parameter,
            "GetServiceQuota": lambda call: catalogue.quota(life.scenario, call),
            "GetProducts": lambda call: catalogue.products(life.scenario, call),
        }

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        call = read_call(environ, body)
        self._environ.now, self._environ.body = environ, body
        self.calls.append(call)
        if self.slow_seconds:
            threading.Event().wait(self.slow_seconds)
        fault = self._world.faults.take(call.operation, call.region)
        if fault is None:
            return send(self._answer(call), start_response)
        self._world.say("fault", "", f"{fault.when} {call.operation}")
        return self._befall(fault, call, environ, start_response)

    def _befall(self, fault: Fault, call: Call, environ: Environ, start: StartResponse) -> Iterable[bytes]:
        """Outside the tokens, so that a client that tries again with a new one gets its twin, as in reality."""
        if fault.applied:
            self._answer(call)
        if fault.when == "signal":
            fault.strike()
            return _cut(environ["werkzeug.socket"])
        if fault.when == "hang":
            self._hang(environ["werkzeug.socket"], fault.seconds)
        if fault.when in {"hang", "reset"}:
            return _cut(environ["werkzeug.socket"])
        if fault.when == "html":
            return send(Answer(body=HTML, content_type="text/html"), start)
        if fault.when == "empty":
            return send(Answer(), start)
        refusal = Refused(fault.code, fault.message, fault.status)
        if fault.when == "throttle":
            refusal = Refused("RequestLimitExceeded", "Request limit exceeded.", 503)
        return send(refusal.answer(call), start)

    def _hang(self, line: socket.socket, real_seconds: float) -> None:
        """Say nothing, until the time is over or the client has hung up."""
        line.settimeout(real_seconds)
        with contextlib.suppress(OSError):
            line.recv(1)

    def _answer(self, call: Call) -> Answer:
        verb = self._verbs.get(call.operation, self._moto)
        with self._world.lock:  # moto is not made for threads
            try:
                return verb(call) or self._moto(call)
            except Refused as refused:
                return refused.answer(call)

    def _moto(self, call: Call) -> Answer:
        """Ask moto, with the body as the call has it now."""
        body = self._environ.body if call.is_json or not call.form else form_body(call.form)
        environ = {**self._environ.now, "wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        heard: list[Any] = []
        chunks = self._app(environ, lambda status, headers, *_: heard.extend((status, dict(headers))))
        status, headers = int(heard[0].split()[0]), heard[1]
        return Answer(status=status, body=b"".join(chunks), content_type=headers.get("Content-Type", "text/xml"))


def send(answer: Answer, start_response: StartResponse) -> list[bytes]:
    """Put an answer on the wire."""
    headers = [("Content-Type", answer.content_type), ("Content-Length", str(len(answer.body)))]
    start_response(f"{answer.status} {'OK' if answer.status == 200 else 'Refused'}", headers)
    return [answer.body]


def _cut(line: socket.socket) -> list[bytes]:
    """Reset the connection: whoever reads from it gets ECONNRESET, as from a broken network."""
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with contextlib.suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)
    raise ConnectionResetError("the test cloud cut this line on purpose")
