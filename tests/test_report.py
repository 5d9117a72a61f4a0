"""The report, from rows of experiments that only these tests have."""

import base64
import re
from dataclasses import replace
from html import unescape
from types import SimpleNamespace

import pytest
from test_results import ROW

from benchmarks import experiments
from benchmarks.report import page as report
from benchmarks.report import rows as results
from benchmarks.report.rows import ResultsError
from benchmarks.report.verdicts import Finding, Published

pytest.importorskip("matplotlib")

GPU = "A GPU <80 GB>"
README = f"# Name\r\n\n{report.BEGIN}\nold\n{report.END}\nend, no newline".encode()


def draw(rows, figure):
    axes = figure.add_subplot()
    axes.plot([row.median for row in rows], marker="o")
    axes.set_title(", ".join(sorted({row.dataset for row in rows})))


def alpha_findings(rows):
    best = max(rows, key=lambda row: row.median)
    return [
        Finding("A larger alpha is better.", False, f"best: {best.median:.2f} % at alpha = {best.setting['alpha']}"),
        Finding("All of it | holds", True, f"{len(rows)} rows"),
    ]


FAKES = {
    "alpha": SimpleNamespace(
        TITLE="Figure 5: alpha",
        PAPER=(Published("Fashion-MNIST, T = 10", "94.07 %"),),
        draw=draw,
        findings=alpha_findings,
    ),
    "inference": SimpleNamespace(
        TITLE="Table 3: inference & speed",
        PAPER=(),
        draw=draw,
        findings=lambda rows: [Finding("It is fast", None, "no GPU ran it")],
    ),
}
ALPHA = [
    replace(ROW, setting={"alpha": str(alpha)}, median=90 + alpha / 7, p20=88 + alpha / 7, p80=92 + alpha / 7)
    for alpha in range(1, 5)
]
SPEED = replace(
    ROW,
    experiment="inference",
    dataset="synthetic cifar-10",
    metric="throughput",
    unit="images/s",
    over="batches",
    median=123456.7,
    p20=120001.0,
    p80=130001.0,
    device=GPU,
)
GPU_ROWS = [
    SPEED,
    replace(SPEED, dataset="fashion-mnist", median=7.5e-7, samples=1, over="run", setting={"T": "1", "batch": "64"}),
    replace(SPEED, preset="modern", options="--quick --preset modern", median=0.123456),
    replace(SPEED, form="full", options="", median=987.654, commit="fff0000"),
]


@pytest.fixture(autouse=True)
def fakes(monkeypatch):
    monkeypatch.setattr(experiments, "load", FAKES.__getitem__)


@pytest.fixture
def folder(tmp_path):
    results.update(tmp_path / "a-cpu.csv", ALPHA)
    results.update(tmp_path / "a-gpu.csv", GPU_ROWS)
    return tmp_path


def test_figures(folder):
    paths = report.figures(folder)
    assert [str(path.relative_to(folder)) for path in paths] == [
        "a-cpu/alpha-quick.png",
        "a-gpu/inference-full.png",
        "a-gpu/inference-quick.png",
        "a-gpu/inference-quick-preset-modern.png",
    ]
    first = [path.read_bytes() for path in paths]
    assert all(image.startswith(b"\x89PNG") for image in first) and len(set(first)) == 4
    assert not any(word in image for image in first for word in (b"Software", b"tEXt", b"tIME"))
    import matplotlib

    with matplotlib.rc_context({"font.size": 20, "savefig.dpi": 30}):  # a user's own settings change nothing
        assert [path.read_bytes() for path in report.figures(folder)] == first


def test_all_rows_of_a_group_are_drawn_together(folder, monkeypatch):
    drawn = []
    monkeypatch.setattr(FAKES["inference"], "draw", lambda rows, figure: drawn.append(rows))
    report.figures(folder)
    assert [len(rows) for rows in drawn] == [1, 2, 1]
    assert {row.dataset for row in drawn[1]} == {"fashion-mnist", "synthetic cifar-10"}


@pytest.mark.parametrize("render", [report.page, report.html])
def test_everything_measured_is_on_the_page(folder, render):
    text = render(folder)
    for row in results.read(folder / "a-cpu.csv"):
        assert f"{row.median:.2f} %" in text and f"{row.p20:.2f} % to {row.p80:.2f} %" in text
    for number in ("123,500", "7.5e-07", "0.1235", "987.7", "120,000 to 130,000", "5 batches", "1 run", "images/s"):
        assert number in text
    assert "synthetic cifar-10 (synthetic data of its shape: throughput only, accuracy is not claimed)" in text
    assert "NOT reproduced" in text and "cannot be told from these rows" in text and "no GPU ran it" in text
    assert unescape(text).count("The paper, on its authors' hardware:") == 1
    assert "Python 3.11, torch 2.11" in text and "abc1234" in text and "fff0000" in text


def test_page(folder):
    text = report.page(folder)
    assert text.startswith("# Results\n")
    assert "- Fashion-MNIST, T = 10: **94.07 %** (the paper's)" in text
    assert "- A larger alpha is better: **NOT reproduced**. best: 90.57 % at alpha = 4" in text
    assert r"- All of it \| holds: **reproduced**. 4 rows" in text
    assert "![Figure 5: alpha (quick form, paper preset)](a-cpu/alpha-quick.png)" in text
    assert r"## A GPU \<80 GB\>" in text
    assert "| alpha | metric | median | p20-p80 | samples | unit |\n|---|---|---|---|---|---|\n" in text
    assert "| 4 | accuracy | 90.57 % | 88.57 % to 92.57 % | 5 noise seeds | % |" in text
    assert "| dataset | T | batch | alpha | metric |" in text  # settings of either row; only what differs of the rest
    assert "| fashion-mnist | 1 | 64 |  | throughput | 7.5e-07 |  | 1 run | images/s |" in text
    pictures = [folder / path for path in re.findall(r"!\[.*\]\((.*)\)", text)]
    assert pictures == report.figures(folder)


def test_html_needs_nothing_else(folder):
    text = report.html(folder)
    assert not re.search("http://|https://|<script|<link|url\\(", text, re.IGNORECASE)
    images = [base64.b64decode(data) for data in re.findall(r'src="data:image/png;base64,(.*?)"', text)]
    assert images == [path.read_bytes() for path in report.figures(folder)]
    assert len(images) == text.count("<img")
    assert "A GPU &lt;80 GB&gt;" in text and "inference &amp; speed" in text and "<80 GB>" not in text
    assert "prefers-color-scheme: dark" in text and "viewport" in text and "overflow-x: auto" in text


def test_experiments_are_in_the_order_of_their_names(tmp_path):
    results.update(tmp_path / "a.csv", [replace(SPEED, device=ROW.device), *ALPHA])
    text = report.page(tmp_path)
    assert text.index("Figure 5") < text.index("Table 3")


def test_a_long_table_is_collapsed_and_whole(tmp_path):
    rows = [replace(SPEED, setting={"T": str(number)}, median=number + 0.25) for number in range(1, 62)]
    results.update(tmp_path / "a.csv", rows)
    for text in (report.page(tmp_path), report.html(tmp_path)):
        assert text.count("<details><summary>All 61 rows</summary>") == text.count("</details>") == 1
        assert all(f"{row.median:.4g}" in text for row in rows)
    results.update(tmp_path / "a.csv", rows[:60])
    assert "<details" not in report.page(tmp_path) + report.html(tmp_path)


def test_summary(folder):
    text = report.summary(folder)
    assert text.count("| experiment | claim | here | reproduced? |") == 4
    assert "### A CPU, 2 cores: quick form, paper preset" in text
    assert "| alpha | A larger alpha is better. | best: 90.57 % at alpha = 4 | no |" in text
    assert r"| alpha | All of it \| holds | 4 rows | yes |" in text
    assert "| inference | It is fast | no GPU ran it | cannot be told |" in text
    assert "inference: synthetic cifar-10 (synthetic data of its shape: throughput only" in text
    assert re.findall("```sh\n(.*)\n```", text) == [
        "python -m benchmarks run alpha --quick",
        "python -m benchmarks run inference --synthetic",
        "python -m benchmarks run inference --quick --synthetic",
        "python -m benchmarks run inference --quick --preset modern --synthetic",
    ]


def test_update_readme(tmp_path):
    path = tmp_path / "README.md"
    path.write_bytes(README)
    report.update_readme(path, "new\n")
    once = path.read_bytes()
    assert once == f"# Name\r\n\n{report.BEGIN}\n\nnew\n\n{report.END}\nend, no newline".encode()
    report.update_readme(path, "new\n")
    assert path.read_bytes() == once


@pytest.mark.parametrize(
    "text",
    ["", report.BEGIN, report.END, f"{report.END}\n{report.BEGIN}\n", f"{report.BEGIN}\n" * 2 + report.END],
    ids=["none", "no end", "no beginning", "out of order", "twice"],
)
def test_a_readme_without_its_markers_is_refused_and_stays(tmp_path, text):
    path = tmp_path / "README.md"
    path.write_text(text)
    with pytest.raises(RuntimeError, match="README.md should have the line <!-- results"):
        report.update_readme(path, "new")
    assert path.read_text() == text


def test_write(folder, tmp_path_factory):
    readme = tmp_path_factory.mktemp("root") / "README.md"
    readme.write_bytes(README)
    paths = report.write(folder, readme)
    assert paths[4:] == [folder / "report.md", folder / "report.html", readme]
    assert paths[4].read_text() == report.page(folder) and paths[5].read_text() == report.html(folder)
    assert report.summary(folder).strip() in readme.read_text()
    files = {path: path.read_bytes() for path in paths}
    assert report.write(folder, readme) == paths
    assert {path: path.read_bytes() for path in paths} == files
    assert report.write(folder, None) == paths[:-1]


def test_no_results(tmp_path):
    with pytest.raises(RuntimeError, match="run `python -m benchmarks run all --quick` first"):
        report.write(tmp_path, None)
    assert list(tmp_path.iterdir()) == []


def test_rows_of_an_unknown_experiment_are_not_passed_over(tmp_path):
    results.update(tmp_path / "a.csv", [replace(ROW, experiment="alhpa")])
    with pytest.raises(ResultsError, match="a.csv has rows of 'alhpa'"):
        report.page(tmp_path)
