"""Every ``python`` block of the documentation runs, and the API page shows everything public.

The blocks of a page share one namespace. What a page needs and need not show stands in a comment, ``<!-- python``.
"""

import re
from pathlib import Path

import pytest
import torch
from torch import nn

import fastlif

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
NEEDS = {"inside": ["matplotlib"], "serve": ["nir"], "coming_from": ["nir"]}  # not in every environment
PEERS = [pytest.mark.peers(library) for library in ("spikingjelly", "snntorch", "norse")]
BLOCK = re.compile(r"^(?:```python|<!-- python)\n(.*?)^(?:```|-->)", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=PEERS if page.stem == "coming_from" else (), id=page.stem) for page in PAGES]
)
def test_the_blocks_of_a_page_run(page, tmp_path, monkeypatch):
    for library in NEEDS.get(page.stem, []):
        pytest.importorskip(library, exc_type=ImportError)
    monkeypatch.chdir(tmp_path)
    run(page, {})


def run(page, namespace):
    text = page.read_text()
    torch.manual_seed(0)
    for block in BLOCK.finditer(text):
        before = "\n" * text.count("\n", 0, block.start(1))  # so that an error names the page's line
        exec(compile(before + block[1], page, "exec"), namespace)


def test_the_first_screen_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pytest.importorskip("torchvision", exc_type=(ImportError, RuntimeError))
    images, labels = torch.rand(4, 3, 32, 32), torch.randint(10, (4,))
    run(ROOT / "README.md", {
        "torch": torch, "nn": nn, "images": images, "labels": labels, "criterion": nn.CrossEntropyLoss(),
    })  # fmt: skip


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_what_a_page_links_to_is_there(name):
    """The site's own pages are checked when it is built."""
    text = (ROOT / name).read_text()
    for path, anchor in re.findall(r"\]\(([^)#]+)(?:#([^)]*))?\)", text):
        if not path.startswith("https://"):
            assert (ROOT / path).exists(), f"{name}: {path}"
            headings = re.findall(r"^#+ (.*)", (ROOT / path).read_text(), re.MULTILINE) if anchor else []
            assert not anchor or anchor in [heading.lower().replace(" ", "-") for heading in headings], anchor


def test_the_reference_shows_everything_public():
    shown = set(re.findall(r"^::: fastlif\.(\S+)", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE))
    modules = {"functional": fastlif.functional, "plot": fastlif.plot}
    public = {name for name in fastlif.__all__ if name not in modules}
    public |= {f"{name}.{function}" for name, module in modules.items() for function in module.__all__}
    assert shown >= public


# A row of the table of docs/proven.md: the kernel and the configurations that it is about, in the static table.
_HARD = "plain LIF, T = 10, hard"
_LAYER = "gaussian, per layer, T = 10, hard"
PROVEN = {
    "noisy_spike forward, Gaussian": [("noisy_spike_forward", kind) for kind in ("gaussian", "uniform", "no noise")],
    "noisy_spike backward, Gaussian": [("noisy_spike_backward", f"{kind}, atan") for kind in ("gaussian", "no noise")],
    "LIF forward / backward, T = 10 ": [("lif_forward", _HARD), ("lif_backward", f"{_HARD}, atan")],
    "fused with": [("lif_forward", f"{_HARD}, batch norm, contiguous"),
                   ("lif_backward", f"{_HARD}, batch norm, contiguous, atan")],
    "given statistics": [("lif_forward", _LAYER), ("lif_backward", f"{_LAYER}, atan")],
    '"layer" statistics': [("noisy_lif_forward", _LAYER), ("noisy_lif_forward", _LAYER.replace("gaussian", "uniform"))],
    "of each sample": [("noisy_lif_forward", _LAYER.replace("layer", "sample"))],
}  # fmt: skip


@pytest.mark.parametrize("words", PROVEN)
def test_what_is_proven_is_what_the_static_table_says(words):
    table = (ROOT / "benchmarks/results/static-sm_90.md").read_text()
    static = {tuple(row[:2]): (float(row[7]), float(row[2])) for row in _cells(table) if row[0].endswith("ward")}
    section = (ROOT / "docs/proven.md").read_text().split("## The machine code")[1].split("##")[0]
    heading, line, *rows = _cells(section)
    assert len(rows) == len(PROVEN)
    (row,) = [row for row in rows if words in f"{row[0]} "]
    shown = [[float(number) for number in re.findall(r"[\d.]+", cell)] for cell in row[1:3]]
    assert list(zip(*shown, strict=True)) == [static[case] for case in PROVEN[words]]


def _cells(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
