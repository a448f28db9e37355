"""AWS on the wire: what a call asks, what an answer or a refusal looks like, in the query and the JSON protocol."""

import json
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode
from xml.etree import ElementTree as ET

EC2_NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"
ET.register_namespace("", EC2_NAMESPACE)


@dataclass(frozen=True, kw_only=True)
class Call:
    """One API call: `form` is the flattened query protocol, `document` the JSON one."""

    operation: str
    region: str
    access_key: str
    form: Mapping[str, str] = field(default_factory=dict)
    document: Mapping[str, Any] = field(default_factory=dict)
    is_json: bool = False

    def many(self, prefix: str) -> list[str]:
        """The values of PREFIX.1, PREFIX.2, … in order."""
        found = [(int(name.rsplit(".", 1)[1]), value) for name, value in self.form.items()
                 if re.fullmatch(rf"{re.escape(prefix)}\.\d+", name)]  # fmt: skip
        return [value for _, value in sorted(found)]

    def filters(self) -> dict[str, list[str]]:
        """Filter.N.Name to its values."""
        numbers = {name.split(".")[1] for name in self.form if re.fullmatch(r"Filter\.\d+\.Name", name)}
        return {self.form[f"Filter.{n}.Name"]: self.many(f"Filter.{n}.Value") for n in sorted(numbers, key=int)}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What goes back."""

    status: int = 200
    body: bytes = b""
    content_type: str = "text/xml;charset=UTF-8"


class Refused(Exception):
    """AWS says no, with its own code and text."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status

    def answer(self, call: Call) -> Answer:
        """The refusal in the protocol of the call."""
        if call.is_json:
            return as_json({"__type": self.code, "message": self.message}, self.status)
        root = ET.Element("Response")
        error = ET.SubElement(ET.SubElement(root, "Errors"), "Error")
        ET.SubElement(error, "Code").text = self.code
        ET.SubElement(error, "Message").text = self.message
        ET.SubElement(root, "RequestID").text = request_id()
        return Answer(status=self.status, body=ET.tostring(root))


def read_call(environ: Mapping[str, Any], body: bytes) -> Call:
    """Understand a request by its credential scope and its body."""
    scope = re.search(r"Credential=([^/,\s]+)/\d+/([^/]+)/", environ.get("HTTP_AUTHORIZATION", ""))
    access_key, region = (scope[1], scope[2]) if scope else ("", "us-east-1")
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    if target:
        document = json.loads(body or b"{}")
        operation = target.rpartition(".")[2]
        return Call(operation=operation, region=region, access_key=access_key, document=document, is_json=True)
    form = dict(parse_qsl(body.decode(), keep_blank_values=True))
    return Call(operation=form.get("Action", ""), region=region, access_key=access_key, form=form)


def as_json(document: object, status: int = 200) -> Answer:
    """An answer of the JSON protocol."""
    return Answer(status=status, body=json.dumps(document).encode(), content_type="application/x-amz-json-1.1")


def as_xml(operation: str, **parts: object) -> Answer:
    """An answer of EC2: mappings are elements, lists are <item>s."""
    root = ET.Element(f"{{{EC2_NAMESPACE}}}{operation}Response")
    _grow(root, {"requestId": request_id(), **parts})
    return Answer(body=ET.tostring(root))


def _grow(parent: ET.Element, value: object) -> None:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            _grow(ET.SubElement(parent, f"{{{EC2_NAMESPACE}}}{name}"), inner)
    elif isinstance(value, list):
        for inner in value:
            _grow(ET.SubElement(parent, f"{{{EC2_NAMESPACE}}}item"), inner)
    else:
        parent.text = str(value)


def edited(answer: Answer, edit: Callable[[ET.Element], None]) -> Answer:
    """The same answer with its XML changed in place."""
    root = ET.fromstring(answer.body)
    edit(root)
    return Answer(status=answer.status, body=ET.tostring(root), content_type=answer.content_type)


def each(root: ET.Element, name: str) -> Iterable[ET.Element]:
    """Every element of that name, whatever its namespace."""
    return [one for one in root.iter() if one.tag.rpartition("}")[2] == name]


def form_body(form: Mapping[str, str]) -> bytes:
    """A form as it goes over the wire."""
    return urlencode(form).encode()


def request_id() -> str:
    """A fresh id in the shape of AWS's."""
    return "-".join(secrets.token_hex(n) for n in (4, 2, 2, 2, 6))
