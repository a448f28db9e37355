"""A bucket by boto3: any service that speaks the S3 protocol, with this computer's own credentials."""

import base64
import hashlib
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import boto3
import botocore.exceptions
import httpx
from botocore.config import Config

from launcher.bucket import Addresses, Begun, BucketError, Stored
from launcher.config import DurableStore

DEFAULT_REGION = "us-east-1"
"""Where nobody says one: services outside of regions take this for any."""
CHUNK_BYTES = 256 * 1024
PROBE_BYTES = 64
PROBE_SECONDS = 300
CONNECT_SECONDS, CALL_SECONDS = 5, 20
TRIES = 2
"""Of one call: whoever calls has something else to look after, and comes again."""
GONE = frozenset({"NoSuchUpload", "NoSuchKey", "404"})
PASSING = frozenset(
    {"SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "Throttling", "500", "502", "503", "504"}
)


def connect(settings: DurableStore, environ: Mapping[str, str]) -> "SignedBucket":
    """The bucket of the settings. No call is made; raises `BucketError` where there are no credentials."""
    try:
        session = boto3.Session(
            profile_name=settings.profile or None,
            region_name=settings.region or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or None,
        )
        if session.get_credentials() is None:
            raise BucketError(
                "there are no credentials for it", code="store-auth", fix="set the keys, or `durable_store.profile`"
            )
        client = session.client(
            "s3",
            region_name=session.region_name or DEFAULT_REGION,
            endpoint_url=settings.endpoint_url or None,
            config=_config(is_other=bool(settings.endpoint_url)),
        )
    except botocore.exceptions.BotoCoreError as error:
        raise BucketError(str(error), code="store-auth", fix="check `durable_store` in config.yaml") from error
    return SignedBucket(client, session.get_credentials(), settings)


def _config(*, is_other: bool) -> Config:
    """Only what every such service knows: no checksums of newer dialects, version 4 signatures."""
    return Config(
        signature_version="s3v4",
        connect_timeout=CONNECT_SECONDS,
        read_timeout=CALL_SECONDS,
        retries={"total_max_attempts": TRIES, "mode": "standard"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path" if is_other else "auto"},
    )


class SignedBucket:
    """See `launcher.bucket.Bucket`."""

    def __init__(self, client: Any, credentials: Any, settings: DurableStore) -> None:
        self._client, self._credentials, self._bucket = client, credentials, settings.bucket
        self._prefix = settings.prefix

    @property
    def name(self) -> str:
        """See `Bucket`."""
        return f"{self._bucket}/{self._prefix}".rstrip("/")

    def begin(self, key: str) -> Begun:
        """See `Bucket`."""
        with _told(self.name):
            answer = self._client.create_multipart_upload(Bucket=self._bucket, Key=self._prefix + key)
        return Begun(key=key, upload_id=answer["UploadId"])

    def addresses(self, begun: Begun, *, parts: int, part_bytes: int, seconds: int) -> Addresses:
        """See `Bucket`. The size of a part is signed with it: no more can be written, and no less."""

        def signed(verb: str, **more: object) -> str:
            place = {"Bucket": self._bucket, "Key": self._prefix + begun.key}
            return str(self._client.generate_presigned_url(verb, Params={**place, **more}, ExpiresIn=seconds))

        with _told(self.name):
            return Addresses(
                parts=tuple(
                    signed("upload_part", UploadId=begun.upload_id, PartNumber=number, ContentLength=part_bytes)
                    for number in range(1, parts + 1)
                ),
                complete=signed("complete_multipart_upload", UploadId=begun.upload_id),
                read=signed("get_object"),
            )

    def signed_until(self) -> datetime | None:
        """See `Bucket`. A session whose end botocore does not know counts as ending now."""
        with _told(self.name):
            if not self._credentials.get_frozen_credentials().token:
                return None
        expires: datetime | None = getattr(self._credentials, "_expiry_time", None)  # there is no public way to it
        return datetime.now(UTC) if expires is None else expires.astimezone(UTC)

    def objects(self, under: str) -> tuple[Stored, ...]:
        """See `Bucket`."""
        found: list[Stored] = []
        with _told(self.name):
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix + under):
                found += [Stored(key=self._bare(one["Key"]), bytes=one["Size"]) for one in page.get("Contents", [])]
        return tuple(found)

    def begun(self, under: str) -> tuple[Begun, ...]:
        """See `Bucket`."""
        found: list[Begun] = []
        with _told(self.name):
            pages = self._client.get_paginator("list_multipart_uploads")
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix + under):
                uploads = page.get("Uploads", [])
                found += [Begun(key=self._bare(one["Key"]), upload_id=one["UploadId"]) for one in uploads]
        return tuple(found)

    def read(self, key: str, start: int, length: int) -> Iterator[bytes]:
        """See `Bucket`."""
        if length <= 0:
            return
        span = f"bytes={start}-{start + length - 1}"
        with _told(self.name):
            body = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key, Range=span)["Body"]
            try:
                yield from body.iter_chunks(CHUNK_BYTES)
            finally:
                body.close()

    def remove(self, key: str) -> None:
        """See `Bucket`."""
        self._unless_gone(lambda: self._client.delete_object(Bucket=self._bucket, Key=self._prefix + key))

    def give_up(self, begun: Begun) -> None:
        """See `Bucket`."""
        key, upload = self._prefix + begun.key, begun.upload_id
        self._unless_gone(lambda: self._client.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload))

    def probe(self, key: str) -> None:
        """See `Bucket`. The addresses are used as a machine uses them: without any credential."""
        left, content = self.begin(f"{key}-left"), secrets.token_bytes(PROBE_BYTES)
        mine = [left]
        try:
            mine.append(begun := self.begin(key))
            one = self.addresses(begun, parts=1, part_bytes=PROBE_BYTES, seconds=PROBE_SECONDS)
            tag = _sent("PUT", one.parts[0], content, {"Content-MD5": md5(content)}).headers.get("ETag", "")
            _sent("POST", one.complete, completion([tag]), {"Content-Type": "application/xml"})
            if _sent("GET", one.read).content != content or b"".join(self.read(key, 0, PROBE_BYTES)) != content:
                raise BucketError("what was written does not come back as it was", code="store-refuses")
            if [found.key for found in self.objects(key)] != [key]:
                raise BucketError("what was written is not listed", code="store-refuses")
            if left not in self.begun(key):
                raise BucketError("an upload that was begun is not listed", code="store-refuses")
        finally:
            for one_begun in mine:
                self.give_up(one_begun)
            self.remove(key)

    def _bare(self, key: str) -> str:
        return key.removeprefix(self._prefix)

    def _unless_gone(self, call: Callable[[], object]) -> None:
        try:
            with _told(self.name):
                call()
        except BucketError as error:
            if error.code not in GONE:
                raise


def md5(content: bytes) -> str:
    """As the header Content-MD5 spells it; a checksum against accidents, as the protocol has it since its first day."""
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode("ascii")


def completion(tags: list[str]) -> bytes:
    """The document that makes an object of its parts."""
    parts = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>" for number, tag in enumerate(tags, start=1)
    )
    return f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()


def _sent(method: str, address: str, content: bytes = b"", headers: Mapping[str, str] | None = None) -> httpx.Response:
    """One call by a signed address, which no message may show."""
    try:
        answer = httpx.request(method, address, content=content, headers=dict(headers or {}), timeout=CALL_SECONDS)
    except httpx.HTTPError as error:
        raise BucketError(f"no answer by a signed address ({type(error).__name__})", passing=True) from None
    found = re.search(r"<Code>(\w{1,64})</Code>", answer.text)
    if answer.status_code >= 300 or (found and "<Error>" in answer.text):
        code = found[1] if found else str(answer.status_code)
        raise BucketError(f"{method} by a signed address was refused ({code})", code="store-refuses")
    return answer


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Turns botocore's errors into ours. Their texts name the call and the code, and no address that was signed."""
    try:
        yield
    except botocore.exceptions.ClientError as error:
        found = error.response.get("Error", {})
        code = str(found.get("Code", ""))
        text = f"{error.operation_name} in {name}: {code} {found.get('Message', '')}".rstrip()
        raise BucketError(text, code=code, passing=code in PASSING) from error
    except (botocore.exceptions.NoCredentialsError, botocore.exceptions.CredentialRetrievalError) as error:
        raise BucketError(f"{name}: {error}", code="store-auth", fix="log in again, or renew the keys") from error
    except (botocore.exceptions.BotoCoreError, OSError) as error:
        raise BucketError(f"{name}: {type(error).__name__}: {error}", passing=True) from error
