"""The report, from rows of experiments that only these tests have. The page that is committed is in test_suite.py."""

import functools
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
from test_results import ROW

from benchmarks import experiments
from benchmarks.report import page as report
from benchmarks.report import rows as results
from benchmarks.report.verdicts import Finding

pytest.importorskip("matplotlib")

GPU = "A GPU <80 GB>"
drawn = []  # numbers of rows


def draw(rows, figure):
    drawn.append(len(rows))
    axes = figure.add_subplot()
    axes.plot([row.median for row in rows], marker="o")
    axes.set_title(", ".join(sorted({row.dataset for row in rows})))


def alpha_findings(rows):
    best = max(rows, key=lambda row: row.median)
    words = f"best: {best.median:.2f} % at alpha = {best.setting['alpha']}"
    return [
        Finding("A larger alpha is better.", False, words, short="4"),
        Finding("Ours: all of it | holds", True, f"{len(rows)} rows", short="yes"),
    ]


fake = functools.partial(SimpleNamespace, PAPER=(), draw=draw)
FAKES = {
    "alpha": fake(TITLE="Figure 5: alpha", SUMMARY=({"metric": "accuracy"},), findings=alpha_findings),
    "inference": fake(
        TITLE="Table 3: inference & speed",
        SUMMARY=({},),
        findings=lambda rows: [Finding("It is fast", None, "no GPU ran it")],
    ),
}
ALPHA = [
    replace(ROW, setting={"alpha": str(alpha)}, median=90 + alpha / 7, p20=88 + alpha / 7, p80=92 + alpha / 7)
    for alpha in range(1, 5)
]
TIMED = replace(ROW, experiment="inference", metric="throughput", unit="images/s", over="batches", device=GPU)
SPEED = replace(TIMED, dataset="synthetic cifar-10", median=123456.7, p20=120001.0, p80=130001.0)
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


def test_figures_and_the_page_are_written_alike_whatever_matplotlib_s_settings(folder):
    import matplotlib

    drawn.clear()
    paths = report.write(folder)
    assert drawn == [4, 1, 2, 1]
    assert [str(path.relative_to(folder)) for path in paths] == [
        "a-cpu/alpha-quick.png",
        "a-gpu/inference-full.png",
        "a-gpu/inference-quick.png",
        "a-gpu/inference-quick-preset-modern.png",
        "report.md",
    ]
    *images, text = written = [path.read_bytes() for path in paths]
    assert text.decode() == report.page(folder)
    assert all(image.startswith(b"\x89PNG") for image in images) and len(set(images)) == 4
    assert not any(word in image for image in images for word in (b"Software", b"tEXt", b"tIME"))
    with matplotlib.rc_context({"font.size": 20, "savefig.dpi": 30}):
        assert report.write(folder) == paths
    assert [path.read_bytes() for path in paths] == written


def test_page(folder):
    text = report.page(folder)
    assert "- A larger alpha is better: **NOT reproduced**. best: 90.57 % at alpha = 4" in text
    assert r"- all of it \| holds: **met**. 4 rows" in text
    assert "![Figure 5: alpha](a-cpu/alpha-quick.png)" in text
    assert r"## A GPU \<80 GB\>" in text
    assert "4 of 4 rows (metric accuracy); all are in [a-cpu.csv](a-cpu.csv).\n\n| alpha | median |" in text
    assert "| fashion-mnist | 1 | 64 |  | 7.5e-07 |  | images/s |" in text  # settings of either row
    for number in ("123,500", "0.1235", "987.7", "120,000 to 130,000"):
        assert number in text
    pictures = [folder / path for path in re.findall(r"!\[.*\]\((.*)\)", text)]
    assert pictures == report.write(folder)[:-1]
    headings = [heading.lower() for heading in re.findall("^##+ (.*)", text, re.MULTILINE)]
    anchors = {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#(.*?)\)", text)) <= anchors, "links that lead nowhere"


def test_runs_of_an_experiment_are_told_apart(folder):
    lines = [
        f"| {claim} |  | cannot be told | [inference](#table-3-inference--speed-{form}-form-{preset}-preset)"
        f" ({form} form, {preset} preset) |"
        for claim, form, preset in (("It is fast", "full", "paper"), ("", "quick", "paper"), ("", "quick", "modern"))
    ]
    assert "\n".join(lines) in report.page(folder)
    results.update(folder / "b-cpu.csv", [replace(row, device="B") for row in ALPHA])
    text = report.page(folder)
    for claim, name in (("A larger alpha is better", "a-cpu"), ("", "b-cpu")):
        link = f"(#figure-5-alpha-quick-form-paper-preset-{name}) (quick form, paper preset, {name})"
        assert f"| {claim} | 4 | NOT reproduced | [alpha]{link} |" in text


def test_a_run_alone_needs_no_name_and_claims_are_lines(tmp_path, monkeypatch):
    results.update(tmp_path / "a.csv", ALPHA)
    verdicts = (True, "5"), (False, "2"), (True, "6")
    found = [Finding("It is fast", verdict, "", short=short) for verdict, short in verdicts]
    monkeypatch.setattr(FAKES["alpha"], "findings", lambda rows: found)
    text = report.page(tmp_path)
    assert "| It is fast | 5 / 2 / 6 | reproduced / NOT reproduced / reproduced | [alpha](#figure-5-alpha) |" in text
    assert "## Our own goals" not in text and "(#our-own-goals)" not in text
    found[1:] = [Finding("It is slow", False, "", "2", about="B", heading="It is fast")]
    link = "[alpha](#figure-5-alpha)"
    lines = f"| It is fast | 5 | reproduced | {link} |\n|  | B: 2 | NOT reproduced | {link} |"
    assert lines in report.page(tmp_path)


def test_headings_alike_have_anchors_of_their_own():
    assert report._anchors(["A b: c", "A b, c", "A b", "T = 1"]) == ["a-b-c", "a-b-c-1", "a-b", "t--1"]
