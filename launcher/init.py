"""`launch init`: a few questions, and a commented `launch.yaml` that works, with the model's revision pinned."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from launcher.errors import Exit, LaunchError

Ask = Callable[[str, str], str]
"""A question and its default to an answer."""
Confirm = Callable[..., bool | None]

HUB = "https://huggingface.co"
HUB_SECONDS = 10.0
DEFAULT_MODEL = "Qwen/Qwen2.5-0.5B-Instruct"
DEFAULT_DATA = "data/train.jsonl"
HUB_ID = re.compile(r"[A-Za-z0-9][\w.\-]*(/[A-Za-z0-9][\w.\-]*)?")
HUB_DATA = re.compile(r"[A-Za-z0-9][\w.\-]*/(?!.*\.(jsonl|json|csv|parquet)$)[A-Za-z0-9][\w.\-]*(:[\w./\-]+)?")
"""A data set of the Hub, by its look: it has no ending of a file."""
NAME = re.compile(r"[a-z0-9][a-z0-9\-]{0,39}")


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What the person said. `test` is "" where a part of the data is to be set aside."""

    name: str
    model: str
    data: str
    test: str


@dataclass(frozen=True, kw_only=True)
class Written:
    """The file, the revision that is pinned in it ("" for none), and what a person should know."""

    path: Path
    revision: str
    notes: tuple[str, ...]


def answers(given: Mapping[str, str | None], ask: Ask | None) -> Answers:
    """What was given by options, else what the person says, else the defaults. Raises `LaunchError`."""

    def said(key: str, question: str, default: str) -> str:
        value = given.get(key)
        return value if value is not None else ask(question, default) if ask else default

    model = said("model", "Base model (a name on the Hub, or a folder)", DEFAULT_MODEL)
    data = said("data", "Training rows (JSONL, CSV, Parquet; or owner/name of the Hub)", DEFAULT_DATA)
    test = said("test", "Test rows (empty: a tenth of the data is set aside)", "")
    name = said("name", "A name for the job", _name_of(model))
    return _checked(Answers(name=name, model=model, data=data, test=test))


def _name_of(model: str) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", Path(model).name.lower()).strip("-")
    return (words or "job")[:40]


def _checked(said: Answers) -> Answers:
    if not NAME.fullmatch(said.name):
        raise _wrong(f"{said.name!r} is no name for a job", "launch init --name support-json")
    if _is_folder(said.model):
        if not (Path(said.model) / "config.json").is_file():
            raise _wrong(
                f"{said.model} holds no config.json, so it is no model", f"launch init --model {DEFAULT_MODEL}"
            )
    elif not HUB_ID.fullmatch(said.model):
        raise _wrong(
            f"{said.model!r} is neither a folder nor a name on the Hub", f"launch init --model {DEFAULT_MODEL}"
        )
    return said


def _is_folder(model: str) -> bool:
    return Path(model).is_dir() or model.startswith((".", "/", "~"))


def _wrong(message: str, hint: str) -> LaunchError:
    return LaunchError(message, code="init", exit_code=Exit.USAGE, hint=hint)


def write(said: Answers, path: Path, environ: Mapping[str, str], confirm: Confirm | None) -> Written:
    """Write the file; nothing that is there is written over without a yes. Raises `LaunchError`."""
    if path.is_dir():
        path /= "launch.yaml"
    if path.exists() and not (confirm and confirm(f"{path} is there already; write over it?", default=False)):
        raise _wrong(f"{path} is there already", f"launch init --out {path.with_stem(path.stem + '-2')}")
    revision, note = ("", "") if _is_folder(said.model) else pinned(said.model, environ)
    notes = [note] if note else []
    here = [name for name in (said.data, said.test) if name and not HUB_DATA.fullmatch(name)]
    notes += [f"{name} is not there yet" for name in here if not (path.parent / name).exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text(said, revision), encoding="utf-8")
    return Written(path=path, revision=revision, notes=tuple(notes))


def pinned(model: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """The model's present revision on the Hub, and why there is none ("" where there is)."""
    import httpx  # here for start-up time: only this question goes over the network

    headers = {"Authorization": f"Bearer {environ['HF_TOKEN']}"} if environ.get("HF_TOKEN") else {}
    url = f"{environ.get('HF_ENDPOINT', HUB).rstrip('/')}/api/models/{model}"
    try:
        answer = httpx.get(url, headers=headers, timeout=HUB_SECONDS, follow_redirects=False)
    except httpx.HTTPError as error:
        return "", f"the Hub cannot be reached ({type(error).__name__}): the revision is not pinned"
    if answer.status_code in (401, 403, 404):
        return "", f"the Hub shows no {model} to you ({answer.status_code}): wrong name, or HF_TOKEN has no access"
    revision = _revision(answer.content) if answer.is_success else ""
    return revision, "" if revision else f"the Hub gave no revision of {model} ({answer.status_code}): it is not pinned"


def _revision(content: bytes) -> str:
    try:
        sha = json.loads(content).get("sha")
    except (ValueError, AttributeError):
        return ""
    return sha if isinstance(sha, str) and re.fullmatch(r"[0-9a-f]{7,64}", sha) else ""


def text(said: Answers, revision: str) -> str:
    """The file's text: `FORM` read as YAML, the answers set in it as data, and written again with its comments."""
    from io import StringIO  # here for start-up time, with the parser

    from ruamel.yaml import YAML  # here for start-up time

    yaml = YAML(typ="rt")
    yaml.width = 120
    form = yaml.load(FORM)
    form["name"], form["model"] = said.name, said.model
    form["data"]["train"] = said.data
    if revision:
        form["revision"] = revision
    else:
        del form["revision"]
        form.yaml_set_comment_before_after_key("data", before=NOT_PINNED)
    if said.test:
        form["data"]["test"] = said.test
        del form["data"]["split"]["test"]
    else:
        del form["data"]["test"]
    out = StringIO()
    yaml.dump(form, out)
    return out.getvalue()


NOT_PINNED = "revision: 0123abc  # not pinned yet: give a commit of the model's repository\n"
FORM = """\
# A job for `launch`. What is left out is as it stands here.
name: job

# The base model: a name on the Hub, or a folder beside this file.
model: some/model
revision: main  # this commit of the model, whatever is uploaded later

data:  # files with one JSON object a line: {"messages": [{"role": "user", "content": "?"}, {"role": "assistant", ...}]}
  train: train.jsonl
  test: test.jsonl  # looked at once, at the end
  split: {validation: 0.1, test: 0.1}  # set aside before anything else; group: KEY keeps rows of one kind together
  deduplicate: {by: near}  # repeats go where the answers agree; exact, or off
#   select: 400  # of the training rows so many that differ most; `launch data` shows how they spread
#   on_bad_row: drop  # broken rows are left out and told, instead of stopping the launch

# privacy: private  # no private hosts, no outside judge, no tracker

# Words of transformers, peft and TRL. qlora keeps the base in 4 bits; lora in 16, and needs far more memory.
train:
  method: qlora
  r: 16
  lora_alpha: 32
  lora_dropout: 0.05
  target_modules: [q_proj, v_proj]
  epochs: 3
  learning_rate: 2.0e-4
  max_length: 2048

# The base and the tuned model answer the test rows; exact is the share of rows without any fault.
evaluate:
  metrics: [exact]
#   prompted: {system: prompt.txt, shots: 4}  # what tuning has to beat: the base with a prompt and examples
#   adjacent: [{name: other-task, data: other.jsonl, allow_drop: 0.02}]  # what it must not unlearn

# export: {merged: true}  # the whole model beside the adapter; gguf_adapter: true for llama.cpp

# With a gate the run succeeds only if the tuned model is good enough:
# gate: {exact: {at_least: 0.80}}

# A bucket of yours keeps checkpoints and results also where this computer is gone: `durable_store` in config.yaml, once
# for all jobs.
"""
