"""The published ledger: its index, its drawing, and a build that fails where a page and the ledger do not agree."""

import io
import json
import re
from pathlib import Path

import pytest
from sphinx.application import Sphinx

from derive import claims
from derive.catalogue import atlas

BOOK = Path(__file__).resolve().parents[1] / "book"
KNOWN = json.loads((BOOK / "claims.json").read_text("utf-8"))


def test_the_index_has_every_quantity_of_the_atlas():
    assert {name.split("/")[0] for name in KNOWN} >= set(atlas)


@pytest.mark.parametrize("name", ["rem-condensation", "collapse-time"])
def test_the_index_is_that_of_the_derivations(name):
    derivation = atlas[name].derivation
    assert KNOWN[derivation.name] == list(derivation.labels)


def test_anchors_differ():
    places = [claims.anchor(d, label) for d, labels in KNOWN.items() for label in labels]
    assert len(set(places)) == len(places)
    assert all(re.fullmatch(r"[\w-]+", p) for p in places)


def test_the_page_shows_every_step_and_every_premise():
    quantity = atlas["rem-condensation"]
    derivation, ledger = quantity.derivation, quantity.ledger
    counts = {"derivation": derivation.name, "label": derivation.labels[-1], "killed": 6, "survived": 0, "undecided": 1}
    text = str(claims.page([ledger], claims.kills({"by_step": [{**counts, "equivalent": 3}]})))
    assert all(f'id="{claims.anchor(derivation.name, label)}"' in text for label in derivation.labels)
    assert claims.graph(ledger).count("<path ") == sum(len(s.premises) for s in derivation)
    assert claims.graph(ledger).count("<circle ") == len(derivation)
    assert text.count("6 of 7 planted errors caught") == 1
    assert f"{len(derivation)} claims of 1 derivations" in text


def built(folder, text):
    """The warnings of a build of one page."""
    (folder / "book").mkdir()
    (folder / "book/index.md").write_text(text, "utf-8")
    (folder / "book/claims.md").write_text("---\norphan: true\n---\n\n# Claims\n", "utf-8")
    (folder / "book/conf.py").write_text(
        f"import sys\nsys.path.insert(0, {str(BOOK / '_ext')!r})\n"
        "extensions = ['myst_nb', 'sphinx.ext.autodoc', 'derive_book']\nmyst_enable_extensions = ['dollarmath']\n"
        "nb_execution_mode = 'off'\nnitpicky = True\n", "utf-8")
    warnings = io.StringIO()
    source, out, trees = (str(folder / k) for k in ("book", "out/html", "out/trees"))
    app = Sphinx(source, source, out, trees, "html", status=None, warning=warnings, freshenv=True)
    app.build()
    return warnings.getvalue(), (folder / "out/html/index.html").read_text("utf-8")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")
def test_a_page_and_the_ledger_must_agree(tmp_path, monkeypatch):
    for name in ("IPYTHONDIR", "MATPLOTLIBRC", "JAX_PLATFORMS", "PYDEVD_DISABLE_FILE_VALIDATION"):
        monkeypatch.setenv(name, "")  # the build sets them; they are put back afterwards
    entry = "collapse-time/manifold#condensation"
    said, page = built(
        tmp_path,
        f"# Page\n\nGood: {{claim}}`{entry}`. Gone: {{claim}}`collapse-time/manifold#nowhere`.\n\n"
        f"$$\na = b\n$$ ({entry})\n\n$$\na = c\n$$ (collapse-time/manifold#lost)\n")
    assert f'href="claims.html#{claims.anchor(*entry.split("#"))}"' in page
    assert "collapse-time/manifold#nowhere" in said
    assert "'collapse-time/manifold#lost' has no entry in the ledger" in said
    assert len([line for line in said.splitlines() if "WARNING" in line]) == 2, said
