"""The numbers that solvers are compared with are those of closed forms, and of a solver outside the package."""

from collections.abc import Iterable

import pytest
from known_numbers import Known, closed, saddles
from sympy import Rational

from derive.catalogue import atlas
from derive.references import REFERENCES, VALUES
from derive.witnesses import all_compared


def agree(known: Iterable[Known], error: float) -> int:
    """How many numbers there are, each of which has to be among the references."""
    known = list(known)
    for number in known:
        name = (number.quantity, number.ensemble, number.output)
        about = [r for r in VALUES if (r.quantity, r.ensemble, r.output) == name]
        same = [r for r in about if r.parameters.keys() == number.parameters.keys() and all(
            abs(float(Rational(r.parameters[k])) - float(v)) < error for k, v in number.parameters.items())]
        assert len(same) == 1, number
        values = number.value if isinstance(number.value, tuple) else (number.value,)
        assert [float(v) for v in same[0].value.split()] == pytest.approx([float(v) for v in values], abs=error, rel=0)
    return len(known)


def test_closed_forms_give_the_numbers() -> None:
    assert agree(closed(), 1e-14) > 20


@pytest.mark.slow
def test_saddle_points_give_the_numbers() -> None:
    assert agree(saddles(), 1e-9) > 5


def test_every_ensemble_with_known_numbers_is_asked() -> None:
    """Without names all numbers are compared, those of other ensembles too, and they are met."""
    found = dict(all_compared([atlas[name] for name in atlas], workers=2))
    compared = [c for number in found for c in found[number]]
    asked = {(c.known.quantity, c.known.ensemble) for c in compared}
    assert asked == {(r.quantity, r.ensemble) for r in (*REFERENCES, *VALUES)}
    assert all(c.agrees for c in compared), [c.text for c in compared if not c.agrees]
