"""What the site does beyond MkDocs: pages from outside of docs/, equations, and the docstrings' cross-references."""

import functools
import logging
import re
from pathlib import Path

import griffe
from latex2mathml.converter import convert
from mkdocs.structure.files import File

log = logging.getLogger("mkdocs.hooks.fastlif")  # a warning fails a build with --strict
ROOT = Path(__file__).parents[1]
SHOWN = r"^::: fastlif\.(\S+)(?:\n    options:\n      members: \[(.*)\])?"
PUBLISHED = ("benchmarks/results/*.md", "benchmarks/results/*.csv", "benchmarks/results/*/*.png", "examples/*.py")


def on_files(files, config):
    """Adds what pages link to as ../benchmarks/... and ../examples/..., so that they do in a checkout too."""
    for pattern in PUBLISHED:
        for path in sorted(ROOT.glob(pattern)):
            files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))


def on_page_markdown(markdown, page, config, files):
    check_docstrings(markdown)
    markdown = re.sub(r"^```math\n(.*?)^```", equation, markdown, flags=re.MULTILINE | re.DOTALL)
    return markdown.replace("](../", "](").replace("<details>", "<details markdown>")


def equation(block):
    """LaTeX as MathML, which browsers draw by themselves."""
    return f'<div class="equation">{convert(block[1], display="block")}</div>'


def check_docstrings(markdown):
    """What the page takes from the code must say what it is."""
    for name, members in re.findall(SHOWN, markdown, re.MULTILINE):
        for shown in (name, *(f"{name}.{member}" for member in members.split(", ") if member)):
            if not package()[shown].docstring:
                log.warning("fastlif.%s has no docstring", shown)


@functools.cache
def package():
    return griffe.load("fastlif", search_paths=[ROOT])


def on_page_content(html, page, config, files):
    """:func:`fastlif.x` of a docstring becomes a link to x, and the colons before a block of code one colon."""
    role = r":(?:func|class|meth|mod):<code>([\w.]+)</code>"
    html = re.sub(role, r'<autoref identifier="\1" optional><code>\1</code></autoref>', html)
    return html.replace("::</p>", ":</p>")
