"""``python -m benchmarks report``: figures, the page of results and the README's summary, from the CSV files alone.

Nothing is measured here, nothing is drawn that was not measured, and nothing measured is left out. The page is a list
of blocks, rendered once as Markdown and once as HTML.
"""

import argparse
import base64
import html as markup
import io
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from benchmarks import experiments
from benchmarks.files import write_whole
from benchmarks.options import file_or_folder
from benchmarks.report import rows as results
from benchmarks.report.rows import ResultsError, Row
from benchmarks.report.verdicts import Finding

DESCRIPTION = "draw the figures and write the page of all results, in Markdown and HTML, and the README's table"
README = Path(__file__).parents[2] / "README.md"
BEGIN = "<!-- results: made by python -m benchmarks report -->"
END = "<!-- end of results -->"
DPI = 110
LONG = 60  # a table of more lines is collapsed
ANSWERS = {True: "yes", False: "no", None: "cannot be told"}

STYLE = """
:root { color-scheme: light dark; --text: #1b1f24; --back: #fff; --line: #d0d7de; --soft: #f3f5f7 }
@media (prefers-color-scheme: dark) { :root { --text: #e3e6ea; --back: #14171b; --line: #3a4149; --soft: #1f242a } }
body { margin: 0 auto; max-width: 60rem; padding: 1rem; font: 16px/1.5 system-ui, sans-serif }
body { color: var(--text); background: var(--back); overflow-wrap: anywhere }
h2 { margin-top: 3rem; border-bottom: 1px solid var(--line) }
h3 { margin-top: 2.5rem }
img { display: block; max-width: 100%; height: auto; background: #fff }
.table { overflow-x: auto }
table { border-collapse: collapse; font-size: 0.85rem; font-variant-numeric: tabular-nums }
th, td { padding: 0.2rem 0.6rem; border: 1px solid var(--line); text-align: left; white-space: nowrap }
th { background: var(--soft) }
"""


@dataclass(frozen=True)
class Group:
    """The rows of one experiment, run with the same options on one device."""

    rows: list[Row]
    file: Path  # that they are read from
    picture: Path  # relative to the folder of results

    @property
    def name(self) -> str:
        return self.rows[0].experiment

    @property
    def options(self) -> str:
        return self.rows[0].options

    @property
    def words(self) -> str:
        """How it was run."""
        first = self.rows[0]
        others = re.sub(r"--quick|--preset \w+", "", self.options).split()
        return f"{first.form} form, {first.preset} preset" + (f", {' '.join(others)}" if others else "")

    def findings(self) -> list[Finding]:
        """What the rows say. Raises ResultsError if some that it takes are not there."""
        with self._complete():
            return experiments.load(self.name).findings(self.rows)

    def draw(self, figure) -> None:
        """Draws the rows. Raises ResultsError if some that it takes are not there."""
        with self._complete():
            experiments.load(self.name).draw(self.rows, figure)

    @contextmanager
    def _complete(self) -> Iterator[None]:
        try:
            yield
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise ResultsError(
                f"{self.file} lacks rows of {self.name} ({type(error).__name__}: {error}): measure them again, with "
                f"{_command([self])}"
            ) from error


@dataclass(frozen=True)
class Heading:
    level: int
    text: str


@dataclass(frozen=True)
class Paragraph:
    text: str


@dataclass(frozen=True)
class Points:
    """A list: what comes before the words in bold, these, and what comes after."""

    items: list[tuple[str, str, str]]


@dataclass(frozen=True)
class Picture:
    group: Group
    text: str


@dataclass(frozen=True)
class Table:
    header: list[str]
    lines: list[list[str]]


Block = Heading | Paragraph | Points | Picture | Table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=file_or_folder, default=results.FOLDER, help="the folder of results")
    parser.add_argument(
        "--readme", type=file_or_folder, help="update the summary in this file (by default, of this checkout's)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Writes everything and prints the paths."""
    ours = README if arguments.out.resolve() == results.FOLDER.resolve() else None
    try:
        for path in write(arguments.out, arguments.readme or ours):
            print(path)
    except (RuntimeError, ImportError, OSError) as error:
        print(f"report: error: {error}", file=sys.stderr)
        return 2
    return 0


def figures(folder: Path) -> list[Path]:
    """Draws every experiment, form and preset of every device, and returns the PNG files.

    Raises:
        RuntimeError: there are no results in the folder, or a file of them cannot be read.
    """
    pictures = {folder / group.picture: _png(group) for groups in _devices(folder) for group in groups}
    for path, picture in pictures.items():
        write_whole(path, picture)
    return list(pictures)


def page(folder: Path) -> str:
    """All that was measured, as Markdown; its figures are those of :func:`figures`. Raises as that does."""
    return _markdown(_page(folder))


def html(folder: Path) -> str:
    """The same page as one HTML file that needs nothing else: the figures are inside. Raises as :func:`figures`."""
    return _html(_page(folder))


def summary(folder: Path) -> str:
    """The paper's claims and what became of them here, as Markdown for the README. Raises as :func:`figures`."""
    parts = []
    for groups in _devices(folder):
        device = _distinct(_rows(groups), "device")
        for options in dict.fromkeys(group.options for group in groups):
            run = [group for group in groups if group.options == options]
            lines = [
                [group.name, finding.claim, finding.shown, ANSWERS[finding.reproduced]]
                for group in run
                for finding in group.findings()
            ]
            if not lines:  # nothing that was run makes a claim
                continue
            blocks = [
                Heading(3, f"{device}: {run[0].words}"),
                Table(["experiment", "claim", "here", "reproduced?"], lines),
                *(Paragraph(f"{group.name}: {_datasets(group.rows)}.") for group in run if _is_synthetic(group.rows)),
            ]
            parts.append(f"{_markdown(blocks)}\n```sh\n{_command(run)}\n```\n")
    return "\n".join(parts)


def update_readme(path: Path, text: str) -> None:
    """Puts ``text`` between the two markers of a file, in place of what was there; all else stays, byte for byte.

    Raises:
        RuntimeError: the markers are not there, each once and in order.
    """
    before, after = _around_summary(path)
    write_whole(path, before + BEGIN.encode() + f"\n\n{text.strip()}\n\n".encode() + END.encode() + after)


def _around_summary(path: Path) -> tuple[bytes, bytes]:
    begin, end = BEGIN.encode(), END.encode()
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RuntimeError(f"--readme {path} cannot be read ({error.strerror}): give a text file") from None
    if content.count(begin) != 1 or content.count(end) != 1 or content.index(begin) > content.index(end):
        raise RuntimeError(f"{path} should have the line {BEGIN} and below it the line {END}, each once")
    before, rest = content.split(begin)
    return before, rest.split(end)[1]


def write(folder: Path, readme: Path | None) -> list[Path]:
    """Makes the figures, ``report.md`` and ``report.html`` in the folder, and the README's part if there is one.

    Returns:
        The files made.

    Raises:
        RuntimeError: as :func:`figures` and :func:`update_readme`.
    """
    if readme is not None:
        _around_summary(readme)
    pages = {"report.md": page(folder), "report.html": html(folder)}  # before anything is written
    paths = figures(folder)
    for name, text in pages.items():
        write_whole(folder / name, text)
        paths.append(folder / name)
    if readme is not None:
        update_readme(readme, summary(folder))
        paths.append(readme)
    return paths


def _devices(folder: Path) -> list[list[Group]]:
    """The groups of each file in the order of the page."""
    devices = [groups for path in sorted(folder.glob("*.csv")) if (groups := _groups(path))]
    if not devices:
        raise RuntimeError(f"there are no results in {folder}: run `python -m benchmarks run all --quick` first")
    return devices


def _groups(path: Path) -> list[Group]:
    rows = {}
    for row in results.read(path):
        if row.experiment not in experiments.NAMES:
            raise ResultsError(f"{path} has rows of {row.experiment!r}: not one of {', '.join(experiments.NAMES)}")
        rows.setdefault((row.experiment, row.options), []).append(row)
    order = sorted(rows, key=lambda key: (experiments.NAMES.index(key[0]), len(key[1]), key[1]))  # plain options first
    return [Group(rows[key], path, Path(path.stem) / _picture(*key)) for key in order]


def _picture(name: str, options: str) -> str:
    return "-".join([name, *re.findall(r"[\w.]+", options or "full")]) + ".png"


def _png(group: Group) -> bytes:
    """The group's figure: the same bytes for the same rows, whatever the user's settings of matplotlib."""
    import matplotlib.style  # an extra, which the other commands do without
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    file = io.BytesIO()
    with matplotlib.style.context("default"):
        figure = Figure(layout="constrained", dpi=DPI)
        FigureCanvasAgg(figure)
        group.draw(figure)
        figure.savefig(file, format="png", dpi=DPI, metadata={"Software": None})
    return file.getvalue()


def _page(folder: Path) -> list[Block]:
    blocks = [
        Heading(1, "Results"),
        Paragraph(
            "Made from the files of measured rows alone, by python -m benchmarks report. Every row is here. Numbers "
            "marked as the paper's are its authors', on their hardware."
        ),
    ]
    for groups in _devices(folder):
        rows = _rows(groups)
        blocks += [
            Heading(2, _distinct(rows, "device")),
            Paragraph(f"Versions: {_distinct(rows, 'versions')}. Commits: {_distinct(rows, 'commit')}."),
        ]
        for group in groups:
            blocks += _section(group)
    return blocks


def _section(group: Group) -> list[Block]:
    module, rows = experiments.load(group.name), group.rows
    title = f"{module.TITLE} ({group.words})"
    findings = [
        (f"{finding.claim.rstrip('.')}: ", finding.verdict, f". {finding.shown}") for finding in group.findings()
    ]
    published = [(f"{number.what}: ", number.value, " (the paper's)") for number in module.PAPER]
    blocks = [
        Heading(3, title),
        Paragraph(
            f"Data: {_datasets(rows)}. Network: {_distinct(rows, 'network')}. Training: "
            f"{_distinct(rows, 'training') or 'none'}. Test images: {_distinct(rows, 'test_images')}. "
            f"Type: {_distinct(rows, 'dtype')}. Seed: {_distinct(rows, 'seed')}. Commit: {_distinct(rows, 'commit')}. "
            f"Made by: {_command([group])}"
        ),
        Picture(group, title),
    ]
    if findings:
        blocks.append(Points(findings))
    if published:
        blocks += [Paragraph("The paper, on its authors' hardware:"), Points(published)]
    return [*blocks, _table(rows)]


def _table(rows: list[Row]) -> Table:
    """All rows; of what all of a run's rows share, only what differs among these has a column."""
    names = ("dataset", "network", "training", "test_images")
    shared = [name for name in names if len({getattr(row, name) for row in rows}) > 1]
    settings = list(dict.fromkeys(name for row in rows for name in row.setting))
    lines = [
        [
            *(str(getattr(row, name)) for name in shared),
            *(row.setting.get(name, "") for name in settings),
            row.metric,
            _number(row, row.median),
            f"{_number(row, row.p20)} to {_number(row, row.p80)}" if row.samples > 1 else "",
            f"{row.samples} {row.over}",
            row.unit,
        ]
        for row in rows
    ]
    return Table([*shared, *settings, "metric", "median", "p20-p80", "samples", "unit"], lines)


def _number(row: Row, value: float) -> str:
    """A row's value with four digits, or two decimals for an accuracy."""
    if row.unit == "%" and "accuracy" in row.metric:
        return f"{value:.2f} %"
    text = f"{value:.4g}"
    return f"{float(text):,.0f}" if 1e4 <= abs(value) < 1e9 else text


def _rows(groups: list[Group]) -> list[Row]:
    return [row for group in groups for row in group.rows]


def _distinct(rows: list[Row], name: str) -> str:
    """The different values of an attribute among the rows."""
    return ", ".join(dict.fromkeys(str(getattr(row, name)) for row in rows))


def _is_synthetic(rows: list[Row]) -> bool:
    return any(row.dataset.startswith("synthetic") for row in rows)


def _datasets(rows: list[Row]) -> str:
    note = " (synthetic data of its shape: throughput only, accuracy is not claimed)"
    names = dict.fromkeys(row.dataset for row in rows)
    return ", ".join(name + note if name.startswith("synthetic") else name for name in names)


def _command(groups: list[Group]) -> str:
    """The command that makes the groups, which have the same options, again."""
    options, processes = re.fullmatch(r"(.*?) ?(?:on (\d+) processes)?", groups[0].options).groups()
    names = [group.name for group in groups]
    known = [row.dataset for row in _rows(groups) if row.dataset != "none"]
    chosen = [f"--dataset {name}" for name in dict.fromkeys(known) if name == "digits"]  # not one of the default ones
    synthetic = ["--synthetic"] if _is_synthetic(_rows(groups)) else []
    launcher = f"torchrun --nproc-per-node={processes} -m" if processes else "python -m"
    for group, members in experiments.GROUPS.items():
        if members and set(members) <= set(names):
            names = [group, *(name for name in names if name not in members)]
    words = [launcher, "benchmarks run", *names, options]
    return " ".join(word for word in (*words, *chosen, *synthetic) if word)


def _markdown(blocks: list[Block]) -> str:
    return "\n\n".join(_block_markdown(block) for block in blocks) + "\n"


def _block_markdown(block: Block) -> str:
    match block:
        case Heading(level, text):
            return f"{'#' * level} {_plain(text)}"
        case Paragraph(text):
            return _plain(text)
        case Points(items):
            return "\n".join(f"- {_plain(before)}**{_plain(bold)}**{_plain(after)}" for before, bold, after in items)
        case Picture(group, text):
            return f"![{_plain(text)}]({quote(group.picture.as_posix())})"
        case Table(header, lines):
            top, *rest = (f"| {' | '.join(map(_plain, cells))} |" for cells in [header, *lines])
            table = "\n".join([top, "|---" * len(header) + "|", *rest])
            if len(lines) <= LONG:
                return table
            return f"<details><summary>All {len(lines)} rows</summary>\n\n{table}\n\n</details>"


def _plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([\\`*_~\[\]<>|])", r"\\\1", re.sub(r"\s*\n\s*", " ", text))


def _html(blocks: list[Block]) -> str:
    body = "\n".join(_block_html(block) for block in blocks)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{markup.escape(blocks[0].text)}</title>
<style>{STYLE}</style>
</head>
<body>
{body}
</body>
</html>
"""


def _block_html(block: Block) -> str:
    escape = markup.escape
    match block:
        case Heading(level, text):
            return f"<h{level}>{escape(text)}</h{level}>"
        case Paragraph(text):
            return f"<p>{escape(text)}</p>"
        case Points(items):
            points = (f"<li>{escape(before)}<b>{escape(bold)}</b>{escape(after)}</li>" for before, bold, after in items)
            return "\n".join(["<ul>", *points, "</ul>"])
        case Picture(group, text):
            data = base64.b64encode(_png(group)).decode()
            return f'<img alt="{escape(text)}" src="data:image/png;base64,{data}">'
        case Table(header, lines):
            rows = [_cells(header, "th"), *(_cells(line, "td") for line in lines)]
            table = "\n".join(['<div class="table"><table>', *rows, "</table></div>"])
            if len(lines) <= LONG:
                return table
            return f"<details><summary>All {len(lines)} rows</summary>\n{table}\n</details>"


def _cells(cells: list[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{markup.escape(cell)}</{tag}>" for cell in cells) + "</tr>"
