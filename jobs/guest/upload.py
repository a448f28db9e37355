"""One object into a durable store by signed addresses: part by part, each with its checksum, completed, read back."""

from __future__ import annotations

import base64
import hashlib
import http.client
import re
import ssl
import urllib.parse
from typing import Any, Callable, Iterable

from .container import Container

TRY_SECONDS = (1, 2, 4, 8, 16)
"""Between tries of one call; a store that is away for longer is tried again with the next object."""
CALL_SECONDS = 60
"""Without a byte in either direction."""
ANSWER_BYTES = 64 * 1024
_TAG = re.compile(r"[0-9a-f]{32}-[0-9]{1,5}")
_CODE = re.compile(rb"<Code>(\w{1,64})</Code>")


class NotStored(Exception):
    """It is not there, as far as we know; `code` is the store's own word for why, and no address is ever named.

    `spent`: the object cannot be written any more, whatever is done. `refused`: these addresses are of no use, as when
    their time is over, or whoever signed them may not write any more; newer ones may be.
    """

    def __init__(self, text: str, code: str = "", *, spent: bool = False, refused: bool = False) -> None:
        super().__init__(text)
        self.code, self.spent, self.refused = code, spent, refused


class _Refused(Exception):
    """An answer that is none of success."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(f"{status} {code}".strip())
        self.status, self.code = status, code


def upload(container: Container, slot: dict[str, Any], pause: Callable[[float], bool]) -> None:
    """Until the object is there and was read back. Raises `NotStored`; `pause` waits, and says whether to give up."""
    tags = [_part(container, address, number, pause) for number, address in enumerate(_needed(container, slot), 1)]
    try:
        _again(lambda: _complete(slot["complete"], tags), pause)
    except NotStored as error:
        if error.code != "NoSuchUpload":  # an answer that was lost: it may well be complete
            raise
    _again(lambda: _verify(container, slot["read"], tags), pause)


def _needed(container: Container, slot: dict[str, Any]) -> list[str]:
    return list(slot["parts"][: container.parts])


def _part(container: Container, address: str, number: int, pause: Callable[[float], bool]) -> str:
    return str(_again(lambda: _put(container, address, number, pause), pause))


def _again(call: Callable[[], Any], pause: Callable[[float], bool]) -> Any:
    for seconds in (*TRY_SECONDS, None):
        try:
            return call()
        except _Refused as error:
            text, code = f"the store refused ({error})", error.code
            spent = code == "NoSuchUpload" or error.status in (404, 410)
            refused = code in ("AccessDenied", "ExpiredToken") or error.status == 403
            if spent or refused or (error.status < 500 and error.status not in (400, 408, 409, 429)):
                raise NotStored(text, code, spent=spent, refused=refused) from None
        except (http.client.HTTPException, OSError) as error:
            text, code = f"no answer from the store ({type(error).__name__})", ""
        if seconds is None or pause(seconds):
            raise NotStored(text, code)
    raise AssertionError("the last try returns or raises")


def _put(container: Container, address: str, number: int, pause: Callable[[float], bool]) -> str:
    """One part. Its MD5 goes along, which such stores check since their first day: a torn part is refused."""
    digest = hashlib.new("md5")  # noqa: S324 - against accidents; the index has sha256
    for block in container.part(number):
        digest.update(block)
        if pause(0):
            raise NotStored("given up for something newer")
    headers = {
        "Content-Length": str(container.part_bytes),
        "Content-MD5": base64.b64encode(digest.digest()).decode("ascii"),
    }
    _, found, _ = _call("PUT", address, container.part(number), headers)
    tag = found.get("etag", "").strip('"')
    return tag if re.fullmatch(r"[A-Za-z0-9-]{1,128}", tag) else digest.hexdigest()


def _complete(address: str, tags: list[str]) -> None:
    """An answer of 200 may still hold an error: the store begins to answer before it knows."""
    parts = "".join(
        f'<Part><PartNumber>{number}</PartNumber><ETag>"{tag}"</ETag></Part>' for number, tag in enumerate(tags, 1)
    )
    body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode("ascii")
    _, _, answer = _call("POST", address, [body], {"Content-Length": str(len(body)), "Content-Type": "application/xml"})
    if b"<Error>" in answer:
        raise _Refused(500, _code(answer))


def _verify(container: Container, address: str, tags: list[str]) -> None:
    """Its end, byte by byte, and its size; and by the store's own hash of hashes, or else by reading all of it."""
    tail = len(container.tail)
    start = container.size - tail
    _, found, answer = _call("GET", address, (), {"Range": f"bytes={start}-{container.size - 1}"}, most=tail + 1)
    size = found.get("content-range", "").rpartition("/")[2]
    if answer != container.tail or size != str(container.size):
        raise NotStored("what the store gives back is not what was written", spent=True)
    tag = found.get("etag", "").strip('"')
    if _TAG.fullmatch(tag) and all(re.fullmatch(r"[0-9a-f]{32}", one) for one in tags):
        whole = hashlib.md5(bytes.fromhex("".join(tags))).hexdigest()  # noqa: S324 - as the protocol defines it
        if tag != f"{whole}-{len(tags)}":
            raise NotStored("the store's own hash is another one", spent=True)
        return
    _read_all(container, address)


def _read_all(container: Container, address: str) -> None:
    connection, path = _connected(address)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        if answer.status != 200:
            raise _Refused(answer.status, "")
        for block in container.span(0, container.size):
            if answer.read(len(block)) != block:
                raise NotStored("what the store gives back is not what was written", spent=True)
    finally:
        connection.close()


def _call(
    method: str, address: str, body: Iterable[bytes], headers: dict[str, str], most: int = ANSWER_BYTES
) -> tuple[int, dict[str, str], bytes]:
    connection, path = _connected(address)
    try:
        connection.request(method, path, body=iter(body) if body else None, headers=headers)
        answer = connection.getresponse()
        content = answer.read(most)
        if answer.status >= 300:
            raise _Refused(answer.status, _code(content))
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, content
    finally:
        connection.close()


def _connected(address: str) -> tuple[http.client.HTTPConnection, str]:
    """No proxy of the job's environment comes between: it would see the address."""
    parts = urllib.parse.urlsplit(address)
    path = f"{parts.path}?{parts.query}"
    if parts.scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(parts.netloc, timeout=CALL_SECONDS, context=context), path
    return http.client.HTTPConnection(parts.netloc, timeout=CALL_SECONDS), path


def _code(content: bytes) -> str:
    found = _CODE.search(content)
    return found[1].decode("ascii") if found else ""
