"""moto's buckets behind a gate that believes no signed address: signature, end and signed headers are worked out here.

moto itself checks none of that. The gate follows the protocol's own description of query-string signatures (version 4),
and shares no code with botocore, which made them. Faults: `lose_answers` (the next n answers of signed addresses are
cut off), `torn_parts` (the next n parts arrive with a byte turned), `plain_tags` (no tag of an object tells its hash,
as where a bucket encrypts with a key of its own).
"""

import base64
import hashlib
import hmac
import io
import socket
import threading
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

KEY, SECRET, REGION, BUCKET = "AKIATEST", "sesame-street-forty-two", "eu-west-9", "mine"
Start = Callable[..., Any]


@dataclass
class Gate:
    """A WSGI application in front of another one."""

    inner: Any
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    refused: list[str] = field(default_factory=list)
    signed: list[str] = field(default_factory=list)
    """Method and path of all that came by a signed address."""
    lose_answers: int = 0
    torn_parts: int = 0
    plain_tags: bool = False
    secret: str = SECRET

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        query = dict(urllib.parse.parse_qsl(environ["QUERY_STRING"], keep_blank_values=True))
        if "X-Amz-Signature" not in query:
            return list(self.inner(environ, self._without_tags(start)))
        why = self._wrong(environ, query)
        if why:
            self.refused.append(why)
            return _said(start, "403 Forbidden", "SignatureDoesNotMatch")
        self.signed.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if environ["REQUEST_METHOD"] == "PUT" and self.torn_parts:
            self.torn_parts, body = self.torn_parts - 1, bytes([body[0] ^ 1]) + body[1:]
        told = environ.get("HTTP_CONTENT_MD5")
        if told and told != _md5(body):  # moto stores it all the same
            return _said(start, "400 Bad Request", "BadDigest")
        environ["wsgi.input"] = io.BytesIO(body)
        answer = list(self.inner(environ, self._without_tags(start)))
        if self.lose_answers:
            self.lose_answers -= 1
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        return answer

    def _without_tags(self, start: Start) -> Start:
        def told(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            plain = [(name, '"opaque"' if name.lower() == "etag" else value) for name, value in headers]
            return start(status, plain if self.plain_tags and status.startswith("206") else headers, *rest)

        return told

    def _wrong(self, environ: dict[str, Any], query: dict[str, str]) -> str:
        at = datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if self.now() > at + timedelta(seconds=int(query["X-Amz-Expires"])):
            return "its time is over"
        scope = query["X-Amz-Credential"].split("/", 1)[1]
        names = query["X-Amz-SignedHeaders"].split(";")
        headers = {name: _header(environ, name) for name in names}
        pairs = sorted((_quoted(n), _quoted(v)) for n, v in query.items() if n != "X-Amz-Signature")
        canonical = "\n".join(
            (
                environ["REQUEST_METHOD"],
                urllib.parse.quote(environ["PATH_INFO"], safe="/-_.~"),
                "&".join(f"{name}={value}" for name, value in pairs),
                *(f"{name}:{headers[name]}" for name in names),
                "",
                ";".join(names),
                "UNSIGNED-PAYLOAD",
            )
        )
        text = "\n".join(
            ("AWS4-HMAC-SHA256", query["X-Amz-Date"], scope, hashlib.sha256(canonical.encode()).hexdigest())
        )
        key = f"AWS4{self.secret}".encode()
        for word in scope.split("/"):
            key = hmac.new(key, word.encode(), hashlib.sha256).digest()
        signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        return "" if signature == query["X-Amz-Signature"] else f"{environ['REQUEST_METHOD']}: signed otherwise"


def _header(environ: dict[str, Any], name: str) -> str:
    return str(
        environ.get({"content-length": "CONTENT_LENGTH"}.get(name, f"HTTP_{name.upper().replace('-', '_')}"), "")
    )


def _quoted(text: str) -> str:
    return urllib.parse.quote(text, safe="-_.~")


def _md5(body: bytes) -> str:
    return base64.b64encode(hashlib.md5(body).digest()).decode()


def _said(start: Start, status: str, code: str) -> list[bytes]:
    start(status, [("Content-Type", "application/xml")])
    return [f"<Error><Code>{code}</Code></Error>".encode()]


@dataclass(frozen=True, kw_only=True)
class Store:
    """The service as a test sees it: its address, its gate, and a client with the owner's rights."""

    address: str
    gate: Gate
    client: Any


@contextmanager
def strict_store(secret: str = SECRET) -> Iterator[Store]:
    """With one empty bucket, for as long as the block lasts; `secret` is the owner's."""
    gate = Gate(DomainDispatcherApplication(create_backend_app), secret=secret)
    server = make_server("127.0.0.1", 0, gate, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    client = boto3.client(
        "s3", endpoint_url=address, region_name=REGION, aws_access_key_id=KEY, aws_secret_access_key=SECRET
    )
    try:
        _emptied(client)
        yield Store(address=address, gate=gate, client=client)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _emptied(client: Any) -> None:
    """moto's world is the process's: what another test of this process left in it is not there for the next one."""
    if BUCKET not in [one["Name"] for one in client.list_buckets()["Buckets"]]:
        client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    for page in client.get_paginator("list_multipart_uploads").paginate(Bucket=BUCKET):
        for one in page.get("Uploads", []):
            client.abort_multipart_upload(Bucket=BUCKET, Key=one["Key"], UploadId=one["UploadId"])
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        for one in page.get("Contents", []):
            client.delete_object(Bucket=BUCKET, Key=one["Key"])
