"""The published ledger: every claim of every quantity, for a page, with the graph of what stands on what.

`published()` are the derivations that the book answers for: those of the methods, and those of every quantity with
every ensemble it is derived for; `page()` shows their ledgers, folded by derivation; `index()` names all entries, so
that a page can refer to one and a build can tell when one is gone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from html import escape
from typing import Any

from sympy import tanh

from derive.core import DeriveError, Step, Verdict
from derive.ledger import Derivation, Ledger
from derive.show import Page, claim_latex

__all__ = ["anchor", "graph", "index", "kills", "page", "published", "replica_derivations"]

#: (derivation, label) -> (mutants that are not equivalent, how many of them were killed)
Kills = Mapping[tuple[str, str], tuple[int, int]]

_PITCH, _RADIUS, _MARGIN = 24, 9, 14
_COLOURS = {
    Verdict.PROVED: "#1a7f37", Verdict.CERTIFIED: "#0a6ebd", Verdict.CORROBORATED: "#8a5a00",
    Verdict.UNDECIDED: "#7a4bb5", Verdict.REFUTED: "#b42318", Verdict.ASSUMED: "#5b6470",
}

#: thousands of equations are typeset when the derivation they belong to is opened
_SCRIPT = """<script>
for (const fold of document.querySelectorAll(".claims details")) {
  const typeset = () => {
    const body = fold.querySelector("div.tex2jax_ignore");
    if (!fold.open || !body) return;
    body.className = "tex2jax_process";
    MathJax.startup.promise.then(() => MathJax.typesetPromise([body]));
  };
  fold.addEventListener("toggle", typeset);
  window.addEventListener("load", typeset);
}
</script>"""


def published() -> tuple[Derivation, ...]:
    """The derivations of the methods, and those of the atlas: every quantity with every ensemble it is derived for."""
    from derive.catalogue import atlas
    from derive.ensembles import Binary, Gaussian, HiddenManifold, Spherical

    found = {d.name: d for d in _methods()}
    for name in atlas:
        usual = atlas[name]
        quantities = [usual]
        for ensemble in (Gaussian(), Spherical(), Binary(), HiddenManifold(), HiddenManifold(tanh)):
            with suppress(DeriveError):  # not derived for this ensemble, as the quantity itself says
                quantities.append(usual.with_(ensemble=ensemble))
        for quantity in quantities:
            found.setdefault(quantity.derivation.name, quantity.derivation)
    return tuple(found.values())


def _methods() -> tuple[Derivation, ...]:
    from derive.methods import marchenko_pastur, rem

    return (rem.general_derivation(), marchenko_pastur.derivation(), *replica_derivations())


def replica_derivations() -> tuple[Derivation, ...]:
    """Replica calculations: on a hidden manifold, symmetric, with its stability, with one step of breaking,
    Bayes-optimal, and of memory and diffusion on a linear one; the spin glasses with three-spin interactions on the
    sphere and of Sherrington and Kirkpatrick."""
    from derive.methods import replica, replica_bayes, replica_breaking, replica_linear, replica_stability
    from derive.methods.replica_spins import SpinGlass
    from derive.symbols import q

    return (
        replica.symmetric_derivation(),
        replica_stability.stability_derivation(),
        replica_linear.memory_derivation(),
        replica_breaking.breaking_derivation(),
        replica_bayes.bayes_derivation(),
        replica_linear.diffusion_derivation(),
        SpinGlass(q**3 / 2, None).derivation(),
        SpinGlass(q**2 / 2).derivation(),
    )


def kills(record: Mapping[str, Any]) -> Kills:
    """What a mutation record says of each step, those that were mutated with another one included."""
    return {
        (derivation, label): (k["killed"] + k["survived"] + k["undecided"], k["killed"])
        for k in record.get("by_step", ())
        for derivation, label in ((k["derivation"], k["label"]), *k.get("also", ()))
    }


def index(derivations: Iterable[Derivation]) -> dict[str, list[str]]:
    """The entries: name of a derivation -> labels of its steps, in order."""
    return {d.name: list(d.labels) for d in derivations}


def anchor(derivation: str, label: str = "") -> str:
    """The name of an entry's place on the page.

    >>> anchor("collapse-time/manifold tanh(h)", "psi")
    'claim-collapse-time-manifold-tanh-h--psi'
    """
    plain = "".join(c if c.isalnum() else "-" for c in derivation)
    return f"claim-{plain}-{label}" if label else f"claim-{plain}"


def graph(ledger: Ledger) -> str:
    """What stands on what, as an inline drawing: steps in order, an arc from each premise to the step that uses it.

    Premises lie to the left of the steps that use them; filled circles are checked steps in the colour of their
    verdict, hollow ones are assumed.
    """
    steps = ledger.derivation.steps
    at = {s.label: _MARGIN + _RADIUS + _PITCH * i for i, s in enumerate(steps)}
    arcs = [(at[p], at[s.label]) for s in steps for p in s.premises]
    reach = max((right - left for left, right in arcs), default=0)
    base = min(reach / 2, 150.0) * 0.75 + _MARGIN + _RADIUS
    width, height = 2 * (_MARGIN + _RADIUS) + _PITCH * (len(steps) - 1), base + _RADIUS + _MARGIN
    parts = [
        f'<svg class="premises" role="img" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" '
        f'xmlns="http://www.w3.org/2000/svg"><title>What stands on what: {escape(ledger.derivation.title)}</title>'
    ]
    for left, right in arcs:
        top = base - _RADIUS - min((right - left) / 2, 150.0)
        parts.append(
            f'<path d="M{left:g} {base - _RADIUS:g}C{left:g} {top:g} {right:g} {top:g} {right:g} {base - _RADIUS:g}" '
            'fill="none" stroke="currentColor" stroke-opacity="0.45"/>'
        )
    for number, step in enumerate(steps, 1):
        verdict = ledger[step.label].verdict
        colour, assumed = _COLOURS[verdict], verdict is Verdict.ASSUMED
        parts.append(
            f'<a href="#{anchor(ledger.derivation.name, step.label)}"><title>({number}) {escape(step.label)}: '
            f'{verdict.name}</title><circle cx="{at[step.label]:g}" cy="{base:g}" r="{_RADIUS}" '
            f'fill="{"none" if assumed else colour}" stroke="{"currentColor" if assumed else colour}"/>'
            f'<text x="{at[step.label]:g}" y="{base + 3:g}" font-size="9" text-anchor="middle" '
            f'fill="{"currentColor" if assumed else "#fff"}">{number}</text></a>'
        )
    return "".join([*parts, "</svg>"])


def page(ledgers: Iterable[Ledger], caught: Kills | None = None) -> Page:
    """All entries, folded by derivation, after a line of counts.

    Args: ledgers (checked derivations, in the order of the page); caught (what a mutation record says of each step).
    """
    ledgers = tuple(ledgers)
    totals = Counter(e.verdict for ledger in ledgers for e in ledger.values())
    order = sorted(Verdict, key=lambda v: (v is Verdict.ASSUMED, -v.value))
    count = ", ".join(f"{totals[v]} {_badge(v)}" for v in order if totals[v])
    blocks = [f'<p>{sum(totals.values())} claims of {len(ledgers)} derivations: {count}.</p>']
    blocks += [_fold(ledger, caught or {}) for ledger in ledgers]
    return Page('<div class="claims">\n' + "\n".join(blocks) + "\n</div>\n" + _SCRIPT)


def _fold(ledger: Ledger, caught: Kills) -> str:
    derivation = ledger.derivation
    counts = ", ".join(f"{n} {name.lower()}" for name, n in ledger.counts.items() if n)
    cited = escape("; ".join(dict.fromkeys(s.source for s in derivation if s.source)))
    rows = "\n".join(_row(number, step, ledger, caught) for number, step in enumerate(derivation, 1))
    return (
        f'<details id="{anchor(derivation.name)}"><summary><code>{escape(derivation.name)}</code> '
        f"{_badge(ledger.verdict)} {escape(derivation.title)} <small>({counts})</small></summary>\n"
        f'<div class="tex2jax_ignore"><div class="premises-box">{graph(ledger)}</div>\n'
        f"<p><small>Sources: {cited}.</small></p>\n"
        "<table><thead><tr><th></th><th>claim</th><th>rule, premises</th><th>verdict</th></tr></thead>"
        f"<tbody>\n{rows}\n</tbody></table></div></details>"
    )


def _row(number: int, step: Step, ledger: Ledger, caught: Kills) -> str:
    derivation, evidence = ledger.derivation, ledger[step.label]
    claim = f"<em>{escape(step.claim)}</em>" if isinstance(step.claim, str) else f"\\[{_tex(step)}\\]"
    premises = ", ".join(
        f'<a href="#{anchor(derivation.name, p)}">{escape(p)}</a>' for p in step.premises
    )
    assumed = evidence.verdict is Verdict.ASSUMED
    detail = "" if assumed else f"<br><small>{escape(evidence.detail)}</small>"
    made, killed = caught.get((derivation.name, step.label), (0, 0))
    planted = f"<br><small>{killed} of {made} planted errors caught</small>" if made else ""
    stands = f"<br><small>from {premises}</small>" if premises else ""
    return (
        f'<tr id="{anchor(derivation.name, step.label)}"><td>{number}</td>'
        f"<td><strong>{escape(step.label)}</strong> <small>{escape(step.text)}</small><br>{claim}</td>"
        f"<td><em>{escape(step.rule)}</em>{stands}</td><td>{_badge(evidence.verdict)}{detail}{planted}</td></tr>"
    )


def _tex(step: Step) -> str:
    assert not isinstance(step.claim, str)
    return escape(claim_latex(step.claim), quote=False)


def _badge(verdict: Verdict) -> str:
    return f'<span class="verdict {verdict.name.lower()}">{verdict.name}</span>'
