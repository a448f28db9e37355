"""What `docs/judging.md` shows: a run of the tests' world in memory, judged by a model on loopback and by people."""

import contextlib
import io
import json
from pathlib import Path

from launcher.cli import main
from tests.fake_world import FIRST_RUN, Stage
from tests.judge_server import Messages, Model, behind, comparing
from tests.launcher.opinions import endpoint, prepared, wanted, wrong
from tests.past_runs import memory_folder

HOST = "api.example.com"


def told() -> str:
    """`launch judge`, `launch review` and `launch score` as typed, and what they say."""
    with memory_folder() as folder, behind(Model(answer=_answers)) as url:
        stage = Stage(folder)
        with contextlib.redirect_stdout(io.StringIO()):
            stage.launch()
        prepared(stage, settings=_settings(Model(url=url)), base=wrong, prompted=_half, tuned=_most)
        said = [_typed(stage, "judge"), _typed(stage, "review")]
        votes = [_voted(folder / "runs" / FIRST_RUN, voter) for voter in ("Ada", "Bo")]
        said.append(_typed(stage, "score", FIRST_RUN, *votes))
        text = "\n\n".join(said)
        port = url.split("//")[1].split("/")[0]
        return text.replace(port, HOST).replace(f"{folder}/", "")


def _settings(model: Model) -> dict[str, object]:
    return {"evaluate": {"metrics": ["exact"], "judge": endpoint(model), "larger": endpoint(model, cap_usd="2")}}


def _half(number: int) -> str:
    return wanted(number) if number % 2 else wrong(number)


def _most(number: int) -> str:
    return wanted(number) if number % 6 else wrong(number)


def _answers(messages: Messages) -> str:
    """The same model as judge, and as the fourth arm, where it knows two labels in three."""
    if messages[0]["role"] == "system":
        return comparing(messages)
    number = int(messages[-1]["content"].split()[-1].rstrip("?"))
    return wanted(number) if number % 3 else wrong(number)


def _voted(results: Path, voter: str) -> str:
    data = json.loads((results / "review.html").read_text().split('id="data">')[1].split("</script>")[0])
    votes = {one["id"]: "A" if one["A"] == one["wanted"] else "B" for one in data["items"]}
    path = results / f"votes-{voter}.json"
    path.write_text(json.dumps({"schema": 1, "page": data["page"], "voter": voter, "votes": votes}))
    return str(path)


def _typed(stage: Stage, *words: str) -> str:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = main(list(words), make_world=lambda *_: stage.laptop(), environ={})
    if code:
        raise RuntimeError(f"launch {words[0]} ended with exit code {code}: {said.getvalue()}")
    shown = " ".join(word.rpartition("/")[2] for word in words)
    return f"$ launch {shown}\n{said.getvalue().rstrip()}"
