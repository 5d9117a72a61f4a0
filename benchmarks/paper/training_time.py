"""Fig. 4: the time each way of training needs to a benchmark accuracy, from the curves of Fig. 3."""

from benchmarks.paper.training_speed import DIRECT, EAGER, SINGLE, WAYS, curves
from benchmarks.report.rows import Row, by_work, select, value
from benchmarks.report.verdicts import Finding, Published
from benchmarks.training.lab import Lab

TITLE = "Fig. 4: training time to a benchmark accuracy"
DESCRIPTION = "time that each way of training needs to a benchmark accuracy (Fig. 4)"
SUMMARY = ({"metric": ("best accuracy", "time to the goal")},)
PAPER = (
    Published("Fashion-MNIST to 92 %: single step / T = 10", "135 / 528 s, 75 % saved"),
    Published("CIFAR-10, VGG-16 to 88 %: single step / T = 10", "3,132 / 9,900 s, 70 % saved"),
    Published("CIFAR-10, ResNet-18 to 90 %: single step / T = 10", "7,290 / 19,998 s, 65 % saved"),
)
SAVED = 0.65  # of the time: the least that the paper reports


def measure(lab: Lab) -> None:
    for work in lab.data.workloads():
        goal = lab.form.goals[work.dataset, work.network]
        for way, (spec, trained) in curves(lab, work).items():
            setting = {"way": way, "goal": f"{goal:g} %"}
            best = max(epoch.metrics["accuracy"] for epoch in trained.epochs)
            lab.record("training-time", spec, setting, "best accuracy", "%", best)
            lab.record("training-time", spec, setting, "time in all", "s", sum(e.seconds for e in trained.epochs))
            reached = next((i for i, e in enumerate(trained.epochs, 1) if e.metrics["accuracy"] >= goal), None)
            if reached:
                seconds = sum(epoch.seconds for epoch in trained.epochs[:reached])
                lab.record("training-time", spec, setting, "time to the goal", "s", seconds)
                lab.record("training-time", spec, setting, "epochs to the goal", "epochs", reached)


def draw(rows: list[Row], figure) -> None:
    groups = by_work(rows)
    for axes, (name, own) in zip(figure.subplots(1, len(groups), squeeze=False)[0], groups.items()):
        times = select(own, metric="time to the goal")
        axes.bar([row.setting["way"].replace(" in ", "\nin ") for row in times], [row.median for row in times])
        if not times:
            axes.text(0.5, 0.5, "never reached", ha="center", transform=axes.transAxes)
        axes.set(title=name, ylabel=f"training time to {own[0].setting['goal']} (s)")
    figure.set_size_inches(5.5 * len(groups), 4)


def findings(rows: list[Row]) -> list[Finding]:
    found = []
    for name, own in by_work(rows).items():
        goal = own[0].setting["goal"]
        times = {way: value(own, way=way, metric="time to the goal") for way in WAYS}
        single, direct = times[SINGLE], times[DIRECT]
        shown = ", ".join(
            f"{way} {f'{time:.1f} s' if time else 'never reached it'}"
            for way, time in times.items()
            if value(own, way=way, metric="time in all")
        )
        least = {way: value(own, way=way, metric="time in all") for way in (SINGLE, DIRECT)}  # if it never got there
        saved = f"; {1 - single / direct:.0%} saved on the same backend" if single and direct else ""
        saved += f", {1 - single / times[EAGER]:.0%} against eager" if single and times[EAGER] else ""
        reproduced = None
        if single and single <= (1 - SAVED) * (direct or least[DIRECT]):
            reproduced = True
        elif direct and (single or least[SINGLE]) > (1 - SAVED) * direct:
            reproduced = False
        found.append(
            Finding(
                f"Training in a single step saves at least {SAVED:.0%} of the time to a benchmark accuracy",
                reproduced,
                f"{name}, to {goal}: {shown}{saved}",
                short=f"{1 - single / direct:.0%} saved" if single and direct else "never reached",
            )
        )
    return found
