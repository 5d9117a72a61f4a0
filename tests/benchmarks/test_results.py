"""The files of measured rows."""

import functools
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from refusals import refused

from benchmarks.report import rows as results
from benchmarks.report.rows import ResultsError, Row

ROW = Row(
    experiment="alpha",
    form="quick",
    preset="paper",
    dataset="fashion-mnist",
    network="{c16k3s1-BN-LIF}*2",
    options="--quick",
    training="3 epochs of 60,000 images in batches of 50",
    test_images=2000,
    setting={"alpha": "4", "T": "10"},
    metric="accuracy",
    unit="%",
    median=91.25,
    p20=91.0,
    p80=91.5,
    samples=5,
    over="noise seeds",
    seed=1,
    dtype="float32",
    device="A CPU, 2 cores",
    versions="Python 3.11, torch 2.11",
    commit="abc1234",
)


@pytest.mark.parametrize(
    "setting",
    [{}, {"T": ""}, {"what": "a=b==c"}, {"x": 'commas, "quotes"; ', "y z": "1;"}, {"α": "±½", "n": "two\nlines"}],
)
def test_round_trip(tmp_path, setting):
    setting = {name: value.removesuffix("; ") for name, value in setting.items()}
    rows = [replace(ROW, setting=setting), replace(ROW, setting=setting, metric="time", median=1.25e-7, samples=1)]
    results.update(tmp_path / "new" / "a.csv", rows)
    assert results.read(tmp_path / "new" / "a.csv") == rows


@pytest.mark.parametrize("setting", [{"a=b": "1"}, {"a": "1; 2"}, {"a; b": "1"}, {"a": "1; b=2"}])
def test_a_setting_that_would_read_back_as_another_is_refused(tmp_path, setting):
    path = tmp_path / "a.csv"
    results.update(path, [ROW])
    with refused(ResultsError, "a setting cannot have", tmp_path):
        results.update(path, [replace(ROW, setting=setting)])


def test_runs_that_end_together_keep_each_other_s_rows(tmp_path, monkeypatch):
    read = results.read
    monkeypatch.setattr(results, "read", lambda path: (read(path), time.sleep(0.05))[0])
    own = [replace(ROW, options=f"--seed {seed}") for seed in range(4)]
    with ThreadPoolExecutor() as threads:
        list(threads.map(lambda row: results.update(tmp_path / "a.csv", [row]), own))
    assert read(tmp_path / "a.csv") == own


def test_a_new_run_replaces_its_own_rows_alone(tmp_path):
    path = tmp_path / "a.csv"
    old = [replace(ROW, setting={"alpha": alpha}) for alpha in "421"]
    changes = (
        {"experiment": "inference"},
        {"options": ""},
        {"options": "--quick --seed 1"},
        {"dataset": "cifar-10"},
        {"network": "small"},
    )
    others = [replace(ROW, **change, setting={"T": T}) for change in changes for T in ("2", "1")]
    results.update(path, others + old)
    before = results.read(path)
    new = [replace(ROW, setting={"alpha": alpha}, median=50.0, commit="def5678") for alpha in "39"]
    results.update(path, new)
    after = results.read(path)
    assert [row for row in after if row.run == ROW.run] == new
    assert [row for row in after if row.run != ROW.run] == [row for row in before if row.run != ROW.run]
    assert len(after) == len(others) + 2
    results.update(path, new)
    assert results.read(path) == after


@pytest.mark.parametrize("content", [b"", b"name,value\n1,2\n", b"\x89PNG\r\n\x1a\n\x00\xff"],
                         ids=["empty", "other columns", "picture"])  # fmt: skip
def test_a_foreign_file_is_refused_by_name_and_stays(tmp_path, content):
    path = tmp_path / "foreign.csv"
    path.write_bytes(content)
    for function in (results.read, functools.partial(results.update, rows=[ROW])):
        with refused(ResultsError, "foreign.csv", tmp_path):
            function(path)


@pytest.mark.parametrize(
    "old, new",
    [("91.25", "many"), (",5,", ",5.5,"), ("alpha=4", "alpha"), (",abc1234", ""), (",abc1234", ",abc1234,more")],
)
def test_a_damaged_line_is_refused_with_its_number(tmp_path, old, new):
    path = tmp_path / "damaged.csv"
    results.update(path, [ROW])
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(ResultsError, match="damaged.csv, line 2"):
        results.read(path)


def test_path_for(tmp_path):
    assert results.path_for("NVIDIA H100 80GB HBM3", tmp_path) == tmp_path / "nvidia-h100-80gb-hbm3.csv"
    assert results.path_for("AMD EPYC(TM) @ 2.5GHz / 2 cores ", tmp_path).name == "amd-epyc-tm-2-5ghz-2-cores.csv"
    assert results.path_for("cpu").parent == results.FOLDER


def test_select():
    other = replace(ROW, metric="time", setting={"T": "5"})
    assert results.select([ROW, other], T=10) == [ROW]
    assert results.select([ROW, other], metric="time", T="5") == [other]
    assert results.select([ROW, other], experiment="alpha") == [ROW, other]
    assert results.select([ROW, other], metric="accuracy", T=5) == []
    assert results.select([ROW, other], alpha=4) == [ROW]
    assert results.select([ROW, other], T=(5, 10)) == [ROW, other]


def test_spread():
    assert results.spread([3.0, 1.0, 2.0, 5.0, 4.0, 6.0]) == results.Spread(3.5, 2.0, 5.0, 6)
    assert results.spread([7.0]) == results.Spread(7.0, 7.0, 7.0, 1)
