"""``python -m benchmarks report``: the figures and the page of results, from the CSV files alone.

Nothing is measured here, and nothing is drawn that was not measured. The page begins with its contents and the
verdicts. Each experiment has a figure, its findings and a few rows; all rows are in the CSV files.
"""

import argparse
import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from benchmarks.files import write_whole
from benchmarks.options import file_or_folder
from benchmarks.report import groups as runs
from benchmarks.report.groups import Group, distinct
from benchmarks.report.markdown import folded, plain, table
from benchmarks.report.panels import png
from benchmarks.report.rows import FOLDER, Row, select
from benchmarks.report.verdicts import Finding

DESCRIPTION = "draw the figures and write the page of all results"
SUMMARY_ROWS = 12  # of an experiment, at most
CONSTANTS = ("device", "versions", "commit", "form", "preset", "dtype", "seed")  # columns that a run shares


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=file_or_folder, default=FOLDER, help="the folder of results")


def run(arguments: argparse.Namespace) -> int:
    """Writes everything and prints the paths."""
    for path in write(arguments.out):
        print(path)
    return 0


def write(folder: Path) -> list[Path]:
    """Makes the figures and ``report.md`` in the folder, and returns their paths.

    Raises:
        ResultsError: there are no results in the folder, or a file of them cannot be read.
    """
    text = page(folder)  # before anything is written
    pictures = {folder / group.picture: png(group.draw) for groups in runs.read(folder) for group in groups}
    for path, content in {**pictures, folder / "report.md": text}.items():
        write_whole(path, content)
    return [*pictures, folder / "report.md"]


def page(folder: Path) -> str:
    """The page as Markdown. Raises as :func:`write`."""
    devices = runs.read(folder)
    everything = [group for groups in devices for group in groups]
    run = {group: f" ({words})" if (words := _run(group, everything)) else "" for group in everything}
    titles = {group: group.module.TITLE + words for group, words in run.items()}
    links = dict(zip(titles, _anchors(titles.values())))
    where = {group: f"[{group.name}](#{links[group]})" for group in titles}
    contents = [f"- [{plain(title)}](#{links[group]})" for group, title in titles.items()]
    findings = {group: group.findings() for group in titles}
    tables = {
        heading: _verdicts(findings, ours, where, run)
        for heading, ours in (("The paper's claims", False), ("Our own goals", True))
    }
    tables = {heading: lines for heading, lines in tables.items() if lines}
    blocks = [
        "# Results",
        folded(
            "Made by `python -m benchmarks report` from the measured rows, which are in the CSV files beside this "
            "page. Numbers marked as the paper's are its authors', on their hardware. A verdict on an accuracy takes "
            "three trainings and two standard errors. +- is one standard error, in which the trainings' part is "
            "multiplied by Student's t over 1.96, for three trainings 2.2: the spread of so few is itself a guess. A "
            "verdict on a time takes three samples, and spreads that do not overlap, or that leave out the limit: from "
            "p20 to p80, of three samples from min to max, of four from bounds on these. All else cannot be told."
        ),
        "\n".join([*(f"- [{heading}](#{_anchors([heading])[0]})" for heading in tables), *contents]),
    ]
    for heading, lines in tables.items():
        blocks += [f"## {heading}", table(["claim", "here", "verdict", "experiment"], lines)]
    for groups in devices:
        blocks += [f"## {plain(groups[0].rows[0].device)}", table(["", "", "experiments"], _constants(groups))]
        for group in groups:
            blocks += [f"### {plain(titles[group])}", *_section(group, titles[group], findings[group])]
    return "\n\n".join(blocks) + "\n"


def _run(group: Group, everything: list[Group]) -> str:
    """What tells a group from the others of its experiment: how it was run, and its file where that is the same too.

    Empty if there are no others.
    """
    others = [other for other in everything if other.name == group.name and other is not group]
    if not others:
        return ""
    alike = any(other.words == group.words for other in others)
    return f"{group.words}, {group.file.stem}" if alike else group.words


def _anchors(titles: Iterable[str]) -> list[str]:
    """Where links to headings lead: words in small letters, numbered where they come again."""
    found: list[str] = []
    for title in titles:
        words = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        again = sum(re.fullmatch(rf"{re.escape(words)}(-\d+)?", other) is not None for other in found)
        found.append(f"{words}-{again}" if again else words)
    return found


def _verdicts(
    findings: dict[Group, list[Finding]], ours: bool, where: dict[Group, str], run: dict[Group, str]
) -> list[list[str]]:
    """A line for each run of a claim and for each thing that it is about; the claim stands in the first. The numbers of
    several networks stand side by side, and so do verdicts that differ."""
    claims: dict[str, dict[tuple[Group, str], list[Finding]]] = {}
    for group, found in findings.items():
        for finding in found:
            if finding.ours == ours:
                own = claims.setdefault(finding.heading or finding.words, {})
                own.setdefault((group, finding.about), []).append(finding)
    lines = []
    for claim, own in claims.items():
        first = plain(claim)
        for (group, about), found in own.items():
            verdicts = [finding.verdict for finding in found]
            verdict = " / ".join(verdicts if len(set(verdicts)) > 1 else verdicts[:1])
            numbers = " / ".join(finding.short for finding in found)
            here = f"{about}: {numbers}" if about else numbers
            lines.append([first, plain(here), verdict, where[group] + plain(run[group])])
            first = ""
    return lines


def _constants(groups: list[Group]) -> list[list[str]]:
    """What whole runs share: each value once, with the experiments that have it."""
    lines = []
    for name in CONSTANTS:
        having: dict[str, list[str]] = {}
        for group in groups:
            having.setdefault(distinct(group.rows, name), []).append(group.name)
        *others, most = sorted(having, key=lambda value: len(having[value]))
        lines += [[name, plain(value), ", ".join(dict.fromkeys(having[value]))] for value in others]
        lines.append([name, plain(most), "all others" if others else "all"])
    return lines


def _section(group: Group, title: str, findings: list[Finding]) -> list[str]:
    rows = group.rows
    about = {"Data": runs.data_sets(rows), "Network": distinct(rows, "network"), "Training": distinct(rows, "training")}
    about["Trainings"] = distinct([row for row in rows if row.over == "trainings"], "samples")
    about["Test images"] = distinct([row for row in rows if row.test_images], "test_images")
    words = " ".join(f"{name}: {value}." for name, value in about.items() if value)
    points = [f"- {plain(finding.words)}: **{finding.verdict}**. {plain(finding.evidence)}" for finding in findings]
    points += [f"- The paper's: {plain(number.what)}: {plain(number.value)}" for number in group.module.PAPER]
    blocks = [
        folded(plain(words)),
        f"Made by `{group.command}`.",
        f"![{plain(title)}]({quote(group.picture.as_posix())})",
        "\n".join(folded(point, "  ") for point in points),
        _summary(group),
    ]
    return [block for block in blocks if block]


def _summary(group: Group) -> str:
    """A few rows. What they share stands once, above them."""
    shown = [row for wanted in group.module.SUMMARY for row in select(group.rows, **wanted)][:SUMMARY_ROWS]
    names = list(dict.fromkeys(name for row in shown for name in ("dataset", "network", *row.setting, "metric")))
    columns = {name: [str(getattr(row, name, row.setting.get(name, ""))) for row in shown] for name in names}
    varied = [name for name in names if len(set(columns[name])) > 1]
    shared = [f"{name} {columns[name][0]}" for name in names if name not in ("dataset", "network", *varied)]
    lines = [
        [*(plain(columns[name][i]) for name in varied), _number(row, row.median),
         f"{_number(row, row.p20)} to {_number(row, row.p80)}" if row.samples > 1 else "", row.unit]
        for i, row in enumerate(shown)
    ]  # fmt: skip
    alike = f" ({plain(', '.join(shared))})" if shared else ""
    file = f"[{group.file.name}]({quote(group.file.name)})"
    if not shown:
        return f"All {len(group.rows)} rows are in {file}."
    header = [*map(plain, varied), "median", "p20-p80", "unit"]
    return f"{len(shown)} of {len(group.rows)} rows{alike}; all are in {file}.\n\n{table(header, lines)}"


def _number(row: Row, value: float) -> str:
    """A row's value with four digits, or two decimals for an accuracy."""
    if row.unit == "%" and "accuracy" in row.metric:
        return f"{value:.2f}"
    text = f"{value:.4g}"
    return f"{float(text):,.0f}" if 1e4 <= abs(value) < 1e9 else text
