"""Ours: which derivative stands in for the spike's, and where it is taken."""

from collections.abc import Iterator

import fastlif
from benchmarks.report.panels import error_bars, legend_below, panels
from benchmarks.report.rows import Row, select
from benchmarks.report.verdicts import Finding, all_of, in_words, lead, of_each_network
from benchmarks.training.lab import Lab
from benchmarks.training.presets import T
from benchmarks.training.trials import Trials
from fastlif.types import SURROGATE_PLACES, SURROGATE_WIDTHS

TITLE = "Surrogates, taken at the drawn membrane and at the noise's mean"
DESCRIPTION = "each surrogate, taken at the drawn membrane and at the noise's mean (ours)"
SUMMARY = ({"metric": "accuracy", "T": T},)
PAPER = ()
DRAWN, MEAN = SURROGATE_PLACES
SINGLE = "single step"
STEPS = (SINGLE, T)
ALL = tuple((name, at) for at in SURROGATE_PLACES for name in SURROGATE_WIDTHS)
ATAN = ("atan", DRAWN)  # the library's default
_OVER = "{0[0]} at the {0[1]} over {1[0]} at the {1[1]}"
OTHERS = {(one, ATAN): _OVER.format(one, ATAN) for one in ALL if one != ATAN}
PLACES = {((name, MEAN), (name, DRAWN)): _OVER.format((name, MEAN), (name, DRAWN)) for name in SURROGATE_WIDTHS}
EQUAL = 1.0  # point


def measure(lab: Lab) -> None:
    for work in lab.data.workloads(large=False):
        trials = Trials(lab, "surrogate", work)
        for seed in lab.training_seeds:
            for name, at in ALL:
                spec = lab.spec(
                    work,
                    seed=seed,
                    epochs=lab.options.epochs or lab.form.ablation_epochs,
                    surrogate=name if at == DRAWN else fastlif.Surrogate(name, at=at),
                )
                single = lab.train(spec, f"surrogate {name}, taken at the {at}, seed {seed}").model
                trials.test(spec, single, surrogate=name, at=at, T=SINGLE)
                trials.test(spec, fastlif.MultiStep(single, timesteps=T), surrogate=name, at=at, T=T)
        trials.record_accuracies()
        right = {(name, at): trials.right(surrogate=name, at=at, T=T) for name, at in ALL}
        for (one, other), words in (OTHERS | PLACES).items():
            trials.record_lead(words, right[one] - right[other])


def draw(rows: list[Row], figure) -> None:
    names = list(SURROGATE_WIDTHS)
    for axes, own in panels(rows, figure, 7, 4, xlabel="test accuracy (%)"):
        for place, at in enumerate(SURROGATE_PLACES):
            for steps, marker in zip(STEPS, "so"):
                points = select(own, metric="accuracy", at=at, T=steps)
                places = [names.index(row.setting["surrogate"]) + 0.3 * place - 0.15 for row in points]
                words = f"{steps if steps == SINGLE else f'T = {T}'}, at the {at}"
                medians = [row.median for row in points]
                style = {"fmt": marker, "color": f"C{place}", "capsize": 3, "label": words}
                axes.errorbar(medians, places, xerr=error_bars(points), **style)
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.grid(alpha=0.3)
    legend_below(figure)


@of_each_network
def findings(name: str, own: list[Row]) -> Iterator[Finding]:
    shown = {
        at: ", ".join(
            f"{row.setting['surrogate']} {row.median:.2f} %" for row in select(own, metric="accuracy", at=at, T=T)
        )
        for at in SURROGATE_PLACES
    }
    others, places = ({words: lead(own, words) for words in names.values()} for names in (OTHERS, PLACES))
    yield Finding(
        f"Ours: no surrogate is more than {EQUAL:g} point ahead of the library's default, atan at the drawn membrane",
        all_of(one.at_most(EQUAL) for one in others.values()),
        f"{name}, T = {T}: at the drawn membrane {shown[DRAWN]}; at the mean {shown[MEAN]}; {in_words(others)}",
        short=f"best: {max(others.values(), key=lambda one: one.mean).points}",
    )
    yield Finding(
        f"Ours: at the mean, a surrogate loses at most {EQUAL:g} point",
        all_of(one.beyond(-EQUAL) for one in places.values()),
        f"{name}, T = {T}: {in_words(places)}",
        short=f"worst: {min(places.values(), key=lambda one: one.mean).points}",
    )
