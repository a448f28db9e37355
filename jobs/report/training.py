"""The training as curves: loss with the best checkpoint, learning rate, gradient, speed and memory."""

from statistics import fmean, median

from markupsafe import Markup

from jobs.report import charts
from jobs.report.charts import Line
from jobs.report.markup import join, note, section, text
from jobs.report.read import Found, Points, Trained, TrainLog

SMOOTHED_FROM = 40
"""Steps from which a smoothed line stands beside the raw one: shorter curves are read as they are (assumed)."""


def training(found: Found) -> Markup:
    """All curves that there are; nothing where no step was told."""
    log = found.log
    if len(log.loss) < 2:
        return Markup("")
    small = [
        charts.lines("Learning rate", "", [Line(name="learning rate", points=log.learning_rate)]),
        charts.lines("Gradient norm", "", [Line(name="gradient norm", points=log.grad_norm)]),
        charts.lines("Speed", "tokens/s", [Line(name="tokens/s", points=log.tokens_per_second)]),
        charts.lines("GPU memory", "GiB, peak", [Line(name="GiB", points=log.vram_gib)]),
    ]
    return section(
        "training",
        "Training",
        note(said(log)),
        _came_home(found.trained),
        _loss(log, best_of(found)),
        Markup('<div class="two-up small">{}</div>').format(join(small)),
    )


def said(log: TrainLog) -> str:
    """The curves in a sentence: first and last loss, the best validation loss, speed, memory."""
    first, last = log.loss[0][1], log.loss[-1][1]
    parts = [f"{log.loss[-1][0]:,} steps; training loss {first:.3f} to {last:.3f}"]
    if log.best is not None:
        parts.append(f"best validation loss {log.best[1]:.4f} at step {log.best[0]:,}")
    if log.tokens_per_second:
        parts.append(f"{median(value for _, value in log.tokens_per_second):,.0f} tokens/s (median)")
    if log.vram_gib:
        parts.append(f"at most {max(value for _, value in log.vram_gib):.1f} GiB of GPU memory")
    return "; ".join(parts) + "."


def _came_home(trained: Trained | None) -> Markup:
    """Which step's adapter it is, and what was not as asked."""
    if trained is None:
        return Markup("")
    parts = [f"The adapter is that of the {trained.adapter_of}"] if trained.adapter_of else []
    if trained.stopped_early:
        parts.append(f"stopped early, after {trained.last_step:,} of {trained.of:,} steps")
    elif trained.last_step < trained.of:
        parts.append(f"ended after {trained.last_step:,} of {trained.of:,} steps")
    if trained.ran_out_of_memory:
        parts.append(f"ran out of memory, and went on with {trained.micro_batch} x {trained.accumulation} rows a step")
    if trained.trainable_parameters and trained.parameters:
        share = 100 * trained.trainable_parameters / trained.parameters
        parts.append(f"{trained.trainable_parameters:,} of {trained.parameters:,} parameters trained ({share:.2f} %)")
    return note(text("; ".join(parts) + "."))


def best_of(found: Found) -> tuple[int, float] | None:
    """Step and validation loss of the adapter that came home, else of the lowest look; None without looks."""
    trained = found.trained
    if trained is not None and trained.best_step is not None and trained.best_loss is not None:
        return trained.best_step, trained.best_loss
    return found.log.best


def _loss(log: TrainLog, best: tuple[int, float] | None) -> Markup:
    raw = Line(name="training", points=log.loss)
    curves = [raw]
    if len(log.loss) >= SMOOTHED_FROM:
        curves = [
            Line(name="each step", points=log.loss, colour="faint"),
            Line(name="training", points=smoothed(log.loss)),
        ]
    if len(log.validation) > 1:
        curves.append(Line(name="validation", points=log.validation, colour="prompted"))
    mark = None if best is None or len(log.validation) < 2 else (*best, f"best, step {best[0]:,}")
    return charts.lines("Loss", "per answer token", curves, mark=mark, by_powers=True)


def smoothed(points: Points) -> Points:
    """Each value as the mean of its neighbours, a fortieth of the curve to both sides."""
    reach = max(1, len(points) // 40)
    return tuple(
        (step, fmean(value for _, value in points[max(0, at - reach) : at + reach + 1]))
        for at, (step, _) in enumerate(points)
    )
