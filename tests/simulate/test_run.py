"""Runs, their records, the notebook, and the record that is kept."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from derive import simulate
from derive.simulate import SimulationError, agreement, collapse, read_record, run
from derive.simulate.collapse import Preset, Size, measure
from derive.simulate.record import write_record

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "notebooks" / "collapse.ipynb"
KEPT = ROOT / "notebooks" / "records" / "collapse-time.json"
TINY = Preset((Size(12, 6, 2), Size(14, 6, 2), Size(18, 6, 2)), log_times=(-3.0, 4.0, 8))


def test_a_run_is_reproducible_and_plain_data() -> None:
    pytest.importorskip("jax")
    heard: list[float] = []
    first = measure(TINY, "tiny", 3, lambda fraction, words: heard.append(fraction))
    again, other = measure(TINY, "tiny", 3), measure(TINY, "tiny", 4)
    assert first["results"] == again["results"]
    assert first["extrapolation"] == again["extrapolation"]
    assert first["results"] != other["results"]
    assert heard == sorted(heard)
    assert heard[-1] == 1
    assert json.loads(json.dumps(first, allow_nan=False)) == first


def test_a_record_says_where_it_was_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("jax")
    monkeypatch.setattr(simulate, "SIZES", {"smoke": TINY})
    record = run("collapse-time", "smoke", out=tmp_path / "record.json", seed=11)
    assert read_record(tmp_path / "record.json") == record
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]
    assert record["seeds"]["seed"] == 11
    assert record["device"]["platform"] == "cpu"
    assert record["accuracy"]["largest_difference_from_direct_sum"] < 1e-5
    assert {"python", "numpy", "jax", "derive"} <= set(record["versions"])
    assert {"commit", "modified", "date", "wall_seconds", "estimator", "forms", "parameters"} <= set(record)


def test_a_window_without_the_crossing_says_so() -> None:
    pytest.importorskip("jax")
    record = measure(Preset(TINY.sizes, log_times=(8.0, 9.0, 3)), "tiny", 1)
    assert record["extrapolation"]["log_t_c"] is None
    assert record["extrapolation"]["reason"] == "no crossing at N = 12, 14, 18"
    assert "not inside the window" in record["results"][0]["reason"]
    json.dumps(record, allow_nan=False)
    with pytest.raises(SimulationError, match="no crossing at N = 12"):
        agreement(record, 0.3)


@pytest.mark.parametrize(
    ("name", "size", "options", "message", "nearest"),
    [
        ("collapse-tme", "smoke", {}, "did you mean collapse-time?", "collapse-time"),
        ("", "smoke", {}, "no simulation '': there are collapse-time", None),
        ("collapse-time", "ful", {}, "no size 'ful': there are smoke, cpu, full; did you mean full?", "full"),
        ("collapse-time", "smoke", {"out": "/nowhere/at/all.json"}, "no folder /nowhere/at", None),
        ("collapse-time", "smoke", {"out": "/"}, "/ is a folder", None),
        ("collapse-time", "smoke", {"seed": -1}, "seed -1: allowed are integers from 0 to 2^32 - 1", None),
        ("collapse-time", "smoke", {"seed": 1.5}, "seed 1.5", None),
        ("collapse-time", "smoke", {"seed": True}, "seed True", None),
    ],
)
def test_mistakes_are_said_in_one_line(name: str, size: str, options: dict, message: str, nearest: str | None) -> None:
    with pytest.raises(SimulationError) as caught:
        run(name, size, **options)  # type: ignore[arg-type]
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.nearest == nearest


def test_without_jax_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(SimulationError, match=r"pip install 'derive\[jax\]'") as caught:
        run("collapse-time", "smoke", out=tmp_path / "record.json")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_record_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "record.json"
    good = {"schema": "derive.simulate/1", "value": 1.5}
    write_record(good, target)
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_record({"value": math.nan}, target)
    with pytest.raises(TypeError):
        write_record({"value": object()}, target)
    assert read_record(target) == good
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": "another/1"}'])
def test_what_is_no_record_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(SimulationError):
        read_record(tmp_path / "r.json")
    with pytest.raises(SimulationError, match="no record in"):
        read_record(tmp_path / "missing.json")


def test_agreement_counts_in_units_of_the_error() -> None:
    record = {"name": "collapse-time", "extrapolation": {"log_t_c": 0.40, "error": 0.02}}
    found = agreement(record, 0.35)
    assert found["z"] == pytest.approx(2.5)
    assert found["z_rival"] == pytest.approx((0.05 - math.log(1.3)) / 0.02)
    assert found["agrees"]
    assert found["discriminates"]
    assert not agreement(record, 0.33)["agrees"]
    assert not agreement(record, 0.2)["discriminates"]
    for log_theory, factor in ((math.nan, 1.3), (math.inf, 1.3), (0.3, 1.0), (0.3, -1.0), (0.3, math.nan)):
        with pytest.raises(SimulationError, match="allowed"):
            agreement(record, log_theory, factor)


def test_the_notebook_has_no_outputs() -> None:
    notebook = json.loads(NOTEBOOK.read_text("utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert cells
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)


def test_the_notebook_at_smoke_size(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("jax")
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    monkeypatch.setenv("DERIVE_SIZE", "smoke")
    monkeypatch.setenv("DERIVE_RECORD", str(tmp_path / "record.json"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    record = read_record(tmp_path / "record.json")
    assert record["size"] == "smoke"
    assert record["accuracy"]["largest_difference_from_direct_sum"] < 1e-5
    assert [found["N"] for found in record["results"]] == [size.N for size in simulate.SIZES["smoke"].sizes]
    for found in record["results"]:  # a rough place; the record that is kept says it precisely
        assert found["log_t_N"] == pytest.approx(0.5, abs=0.3)
        assert found["posterior_check_largest_z"] < 4
        assert found["E_w1"][0] > 0.9 > 0.3 > found["E_w1"][-1]


def collapse_time(alpha: float, alpha_D: float) -> float:
    """log t_c from alpha = <log(1 + c/t)>/2: Chebyshev sums over the Marchenko-Pastur bulk, then bisection."""
    angle = (np.arange(4000) + 0.5) * math.pi / 4000
    edge, half = (1 + alpha_D) / alpha_D, 2 / math.sqrt(alpha_D)
    c = edge + half * np.cos(angle)
    density = alpha_D * (half * np.sin(angle)) ** 2 / (2 * math.pi * c) * math.pi / 4000
    assert density.sum() == pytest.approx(min(1.0, alpha_D), abs=1e-9)
    low, high = -20.0, 20.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if density @ np.log1p(c * math.exp(-middle)) / 2 > alpha else (low, middle)
    return low


def test_the_quadrature_of_this_file() -> None:
    for alpha, alpha_D, t_c in ((0.2, 0.1, 0.177341511), (0.2, 0.5, 1.409612764), (0.5, 0.5, 0.243791980)):
        assert math.exp(collapse_time(alpha, alpha_D)) == pytest.approx(t_c, rel=1e-8)


def test_the_kept_record_is_of_this_experiment() -> None:
    record = read_record(KEPT)
    preset = simulate.SIZES[record["size"]]
    assert record["estimator"] == collapse.ESTIMATOR
    assert record["forms"]["primary"] == collapse.PRIMARY
    assert [Size(**size) for size in record["sizes"]] == list(preset.sizes)
    assert record["parameters"] == {"alpha": preset.alpha, "alpha_D": preset.alpha_D}
    assert max(r["N"] for r in record["results"]) >= 3 * min(r["N"] for r in record["results"])
    assert record["commit"]
    assert record["modified"] is False
    for found in record["results"]:
        assert found["posterior_check_largest_z"] < 4
        assert abs(found["log_t_N_from_participation"] - found["log_t_N"]) < 4 * found["log_t_N_error"]


def test_the_kept_record_agrees_with_the_theory_and_not_with_another() -> None:
    record = read_record(KEPT)
    found = agreement(record, collapse_time(**record["parameters"]))
    assert abs(found["z"]) < 3
    assert abs(found["z_rival"]) > 5


def test_the_kept_record_can_be_fitted_again() -> None:
    """The extrapolation follows from the sizes' own entries: nothing in it was typed."""
    record = read_record(KEPT)
    N, centre, error = (np.array([r[k] for r in record["results"]]) for k in ("N", "log_t_N", "log_t_N_error"))
    for fit in record["extrapolation"]["fits"]:
        terms = np.column_stack([np.ones(len(N)), *(term(N.astype(float)) for term in collapse.FORMS[fit["form"]])])
        constant = np.linalg.lstsq(terms / error[:, None], centre / error, rcond=None)[0][0]
        assert fit["log_t_c"] == pytest.approx(constant, abs=1e-8)
        for found in record["results"]:
            curve = collapse.crossing(np.array(record["log_times"]), np.array(found["E_w1"]))
            assert found["log_t_N"] == pytest.approx(float(curve), abs=1e-12)
    values = [fit["log_t_c"] for fit in record["extrapolation"]["fits"]]
    spread = max(abs(v - record["extrapolation"]["log_t_c"]) for v in values)
    assert record["extrapolation"]["error"] == pytest.approx(
        math.hypot(record["extrapolation"]["statistical"], spread), rel=1e-12
    )
