"""The commands. Heavy modules are imported inside them, so that `derive --help` is quick."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from derive.cli.answer import (
    SCHEMA,
    payload,
    solve_request,
)
from derive.cli.display import progress_bar, show_answer, table
from derive.cli.errors import Cli, mistake, nearest
from derive.cli.figures import check_ranges, curves_of
from derive.cli.request import (
    atlas_of,
    chosen,
    domain_text,
    find,
    read_ensemble,
    read_request,
)

if TYPE_CHECKING:
    from derive.ledger import Derivation
    from derive.quantity import Quantity

__all__ = ["cli", "main"]

FORMATS = (".png", ".svg", ".pdf")


_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


def _ensemble_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option(
            "--support", metavar="A:B", help="Support of --density, such as -1:1 or 0:oo; the whole line if left out."
        ),
        click.option(
            "--density", metavar="EXPR", help="Independent entries with this density in x; normalised for you."
        ),
        click.option(
            "--activation", metavar="EXPR", help="Hidden manifold with this activation: tanh, relu, 'h**3/3 - h', ..."
        ),
        click.option(
            "--variances",
            metavar="VAR:FRACTION,...",
            help="Hidden manifold with these variances on these fractions of its latent directions.",
        ),
        click.option("--atoms", metavar="X:W,...", help="Independent entries with these values and weights."),
        click.option("--ensemble", metavar="NAME", help="gaussian, spherical, binary or manifold."),
    ):
        command = option(command)
    return command


def _point_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option(
            "--time",
            metavar="CLOCK",
            default="t",
            show_default=True,
            help="Clock of times in and out: t (added variance), tau (t = exp(2 tau) - 1), sigma (t = sigma^2).",
        ),
        click.option("--zip", "zipped", is_flag=True, help="Pair several ranges instead of making a grid."),
        click.option(
            "--for", "asked", metavar="PARAM", help="Ask for this parameter; give the value under its symbol."
        ),
    ):
        command = option(command)
    return command


_JSON = click.option("--json", "as_json", is_flag=True, help="Write JSON.")


@click.group(
    cls=Cli,
    context_settings=_CONTEXT,
    epilog="""\b
Examples:
  derive list
  derive solve collapse-time alpha=0.5 alpha_D=0.1:2:20
  derive solve collapse-time --for alpha t=0.1 alpha_D=0.5
  derive check collapse-time
  derive export collapse-time -o collapse_time.py

Ranges: a:b:n is n points with both ends, log:a:b:n a geometric range; several make a grid. Numbers are exact: 0.5,
1/500, 1e-3, log(2).  Finite sizes P=... N=... D=... stand for alpha = log(P)/N and alpha_D = D/N.""",
)
@click.version_option(package_name="derive", prog_name="derive")
def cli() -> None:
    """Checked derivations, and solvers generated from them, for replica and random-energy-model calculations."""


@cli.command("list", epilog="Example: derive list")
@_JSON
@click.pass_context
def list_(ctx: click.Context, /, as_json: bool) -> None:
    """List the quantities."""
    quantities = [quantity for _, quantity in atlas_of(ctx).items()]
    if as_json:
        rows = [
            {
                "name": q.name,
                "title": q.title,
                "symbol": q.symbol.name,
                "unit": q.unit,
                "system": q.system,
                "ensemble": q.ensemble.name,
                "parameters": [p.name for p in q.parameters],
            }
            for q in quantities
        ]
        click.echo(json.dumps({"schema": SCHEMA, "quantities": rows}, indent=2))
        return
    table(
        ("name", "symbol", "parameters", "what it is"),
        [(q.name, q.symbol.name, ", ".join(p.name for p in q.parameters), q.title) for q in quantities],
    )


@cli.command(epilog="Example: derive show collapse-time --ensemble binary")
@click.argument("name")
@_ensemble_options
@click.option("--latex", "as_latex", is_flag=True, help="Only the equation, in LaTeX.")
@_JSON
@click.pass_context
def show(ctx: click.Context, /, name: str, as_latex: bool, as_json: bool, **options: Any) -> None:
    """Show equation, parameters, steps and sources."""
    quantity = chosen(ctx, name, options)
    if as_latex and not as_json:
        click.echo(quantity.latex())
        return
    parameters: list[dict[str, Any]] = [
        {
            "name": p.name,
            "domain": domain_text(p),
            "meaning": p.meaning,
            "unit": p.unit,
            "default": None if p.default is None else str(p.default),
        }
        for p in quantity.parameters
    ]
    steps: list[dict[str, Any]] = [
        {"label": s.label, "rule": s.rule, "premises": list(s.premises), "claim": str(s.claim), "text": s.text}
        for s in quantity.derivation
    ]
    equation = f"{quantity.equation.lhs} = {quantity.equation.rhs}"
    if as_json:
        click.echo(
            json.dumps(
                {
                    "schema": SCHEMA,
                    "quantity": quantity.name,
                    "title": quantity.title,
                    "symbol": quantity.symbol.name,
                    "unit": quantity.unit,
                    "system": quantity.system,
                    "options": dict(quantity.options),
                    "equation": equation,
                    "latex": quantity.latex(),
                    "parameters": parameters,
                    "steps": steps,
                    "citations": [str(k) for k in quantity.citations],
                },
                indent=2,
            )
        )
        return
    click.echo(f"{quantity.name}: {quantity.title}, {quantity.ensemble.title} ({quantity.system})\n")
    click.echo(f"  {equation}\n")
    others = sorted({p.name for v in quantity.variants for p in v.parameters} - {p["name"] for p in parameters})
    table(
        ("parameter", "domain", "meaning", "unit"),
        [(p["name"], p["domain"], p["meaning"], p["unit"]) for p in parameters],
    )
    if others:
        own = {p["name"] for p in parameters}
        added = all(own <= {p.name for p in v.parameters} for v in quantity.variants)
        click.echo(f"{'with these' if added else 'or, in place of one of these'}: {', '.join(others)}")
    click.echo(f"value: {quantity.symbol.name} ({quantity.unit})\n")
    table(("step", "rule", "in words"), [(s["label"], s["rule"], s["text"]) for s in steps])
    click.echo(f"\nsource: {'; '.join(map(str, quantity.citations))}; derive check {quantity.name} checks the steps")


@cli.command(epilog="Example: derive cite collapse-time")
@click.argument("name")
@_JSON
@click.pass_context
def cite(ctx: click.Context, /, name: str, as_json: bool) -> None:
    """Say where a quantity comes from."""
    quantity = find(ctx, name)
    if as_json:
        click.echo(
            json.dumps({"schema": SCHEMA, "quantity": name, "citations": quantity.cite().splitlines()}, indent=2)
        )
        return
    click.echo(quantity.cite())


@cli.command(epilog="Examples: derive check collapse-time onset-time; derive check --file my_notes.md")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@_ensemble_options
@click.option("--file", "page", metavar="PAGE", help="A page or a JSON file with a derivation; never executed.")
@click.option("--all", "everything", is_flag=True, help="The methods' derivations and those of other ensembles too.")
@click.option("--steps", is_flag=True, help="Every step, also where several quantities are checked.")
@click.option("--mutate", is_flag=True, help="Plant errors in every checked step; report how many the rules catch.")
@click.option("--share", type=click.FloatRange(0, 1, min_open=True), default=1.0, help="With --mutate: of the mutants.")
@click.option("--seed", type=click.IntRange(0), default=0, help="With --mutate: which mutants are drawn.")
@click.option("-o", "--output", metavar="FILE", help="With --mutate: write the report as JSON there, whole.")
@click.option("-j", "--jobs", type=click.IntRange(1, 64), default=None, help="Processes; as many as there are cores.")
@_JSON
@click.pass_context
def check(
    ctx: click.Context,
    /,
    names: tuple[str, ...],
    page: str | None,
    everything: bool,
    steps: bool,
    mutate: bool,
    share: float,
    seed: int,
    output: str | None,
    jobs: int | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Check derivations step by step; all of them without a name.

    What is solved is compared with numbers that are known from elsewhere, where there are any; without a name textbook
    identities, right and wrong, are judged too; --all adds every other derivation of the book, a minute or two. Exit
    status 1 where a step is REFUTED or UNDECIDED, a known number is missed or an identity misjudged; with --mutate,
    where a planted error was neither caught nor explained. Errors are planted in steps, in rules and in definitions;
    without a name, in the steps of the replica calculations too.
    """
    from derive.core import Verdict
    from derive.ledger.derivation import check_many
    from derive.ledger.ground import ground, misjudged, misvalued
    from derive.witnesses import all_compared, compared_numbers

    if page is not None:
        if names or any(options.values()):
            mistake("--file checks a page, without names or ensembles", given=" ".join(names), allowed="one of them")
        return _page(page, mutate, share, seed, jobs or _cores(), as_json)
    if everything and (names or mutate):
        mistake("--all goes without names and without --mutate", given=" ".join(names) or "--mutate", allowed="--all")
    wanted = [chosen(ctx, name, options) for name in dict.fromkeys(names or atlas_of(ctx))]
    derivations = []
    with progress_bar("deriving", len(wanted)) as report:
        for i, quantity in enumerate(wanted):
            report(i, quantity.name)
            derivations.append(quantity.derivation)
    if mutate:
        from derive.claims import replica_derivations

        methods = () if names else replica_derivations()
        return _mutations(wanted, methods, share, seed, jobs or _cores(), as_json, output)
    others: tuple[Derivation, ...] = ()
    if everything:
        from derive.claims import published

        named = {d.name for d in derivations}
        others = tuple(d for d in published() if d.name not in named)
    done = 0
    with progress_bar("checking", sum(len(k) for k in (*derivations, *others))) as report:

        def progress(name: str, step: Any, evidence: Any) -> None:
            nonlocal done
            done += 1
            report(done, f"{name}: {step.label}")

        ledgers = check_many((*derivations, *others), workers=jobs or _cores(), progress=progress)
    found = [(q.name, dict(q.options), ledgers[d.name]) for q, d in zip(wanted, derivations, strict=True)]
    found += [(d.name, {}, ledgers[d.name]) for d in others]
    order = [v.name for v in sorted(Verdict, key=lambda v: (v is Verdict.ASSUMED, -v.value))]
    with progress_bar("solving where numbers are known", len(wanted)) as report:
        compared = enumerate(map(compared_numbers, wanted)) if names else all_compared(wanted, jobs or _cores())
        met = {}
        for i, more in compared:
            met[i] = more
            report(min(len(met), len(wanted)), more[0].known.quantity if more else "")
    numbers = [k for i in sorted(met) for k in met[i]]
    wrong = {} if names else misjudged(jobs or _cores()) | misvalued(jobs or _cores())
    good = all(ledger.sound for *_, ledger in found) and all(k.agrees for k in numbers) and not wrong
    status = 0 if good else 1
    if as_json:
        totals = {v: sum(ledger.counts[v] for *_, ledger in found) for v in order}
        claims = [{**claim, "quantity": name} for name, _, ledger in found for claim in ledger.to_dict()["claims"]]
        quantities = [
            {
                "quantity": name,
                "options": chosen_options,
                "derivation": ledger.derivation.name,
                "verdict": ledger.verdict.name,
                "counts": ledger.counts,
            }
            for name, chosen_options, ledger in found
        ]
        weakest = Verdict.weakest(ledger.verdict for *_, ledger in found).name
        click.echo(
            json.dumps(
                {"schema": SCHEMA, "verdict": weakest, "counts": totals, "quantities": quantities, "claims": claims,
                 "numbers": [_number_dict(k) for k in numbers],
                 "misjudged": {label: evidence.verdict.name for label, evidence in wrong.items()}},
                indent=2,
            )
        )
        return status
    for name, _, ledger in found:
        if steps or len(found) == 1:
            click.echo(f"{name}: {ledger.derivation.title}")
            table(
                ("step", "rule", "verdict", "what was found"),
                [(r["label"], r["rule"], r["verdict"], " ".join(r["detail"].split())) for r in ledger.rows()],
            )
            click.echo()
    table(
        ("quantity", *order, "proved", "verdict", "seconds"),
        [
            (
                name,
                *(str(ledger.counts[v]) for v in order),
                f"{100 * ledger.proved_share:.0f} %",
                ledger.verdict.name,
                f"{ledger.seconds:.1f}",
            )
            for name, _, ledger in found
        ],
        [False, *(True for _ in order), True, False, True],
    )
    for name, _, ledger in found:
        for label, evidence in ledger.exceptions.items():
            witness = ", ".join(f"{k} = {v}" for k, v in evidence.witness)
            words = " ".join(evidence.detail.split()) + (f" at {witness}" if witness else "")
            click.echo(f"{name}, step {label}: {evidence.verdict.name}: {words}")
    for number in numbers:
        if not number.agrees:
            click.echo(f"{number.known.quantity}, solver: REFUTED: {number.text}")
    if numbers:
        click.echo(f"known numbers met by the solvers: {sum(k.agrees for k in numbers)} of {len(numbers)}")
    for label, evidence in wrong.items():
        click.echo(f"ground, {label}: {evidence.verdict.name}: {' '.join(evidence.detail.split())}")
    if not names:
        click.echo(f"textbook identities judged rightly: {len(ground()) - len(wrong)} of {len(ground())}")
    return status


def _number_dict(number: Any) -> dict[str, Any]:
    known = number.known
    return {"quantity": known.quantity, "ensemble": known.ensemble, "output": known.output,
            "parameters": dict(known.parameters), "known": known.value, "error": known.error,
            "found": [v if math.isfinite(v) else None for v in number.found], "agrees": number.agrees,
            "kind": known.kind, "source": known.source}


def _page(path: str, mutate: bool, share: float, seed: int, jobs: int, as_json: bool) -> int:
    """Check a reader's own page; 1 where a step is REFUTED or UNDECIDED."""
    from derive.reader import read_file

    read = read_file(path)
    if mutate:
        return _page_mutations(read.derivation, share, seed, jobs, as_json)
    with progress_bar("checking", len(read.derivation)) as report:
        done = iter(range(1, len(read.derivation) + 1))
        ledger = read.derivation.check(lambda name, step, evidence: report(next(done), step.label), workers=jobs)
    if as_json:
        data = ledger.to_dict()
        claims = [{**claim, "line": read.lines[claim["label"]]} for claim in data["claims"]]
        click.echo(json.dumps({**data, "file": path, "claims": claims}, indent=2))
        return 0 if ledger.sound else 1
    click.echo(f"{path}: {ledger.derivation.title}")
    table(
        ("line", "step", "rule", "verdict", "what was found"),
        [
            (str(read.lines[r["label"]]), r["label"], r["rule"], r["verdict"], " ".join(r["detail"].split()))
            for r in ledger.rows()
        ],
        [True, False, False, False, False],
    )
    click.echo(f"\n{ledger.verdict.name}: {', '.join(f'{n} {v}' for v, n in ledger.counts.items() if n)}")
    for label, evidence in ledger.exceptions.items():
        words = " ".join(evidence.detail.split())
        click.echo(f"{path}:{read.lines[label]}: step {label}: {evidence.verdict.name}: {words}")
    return 0 if ledger.sound else 1


def _page_mutations(derivation: Any, share: float, seed: int, jobs: int, as_json: bool) -> int:
    """Plant errors in the steps of a reader's own derivation; 1 where one was neither caught nor explained."""
    from derive.ledger.mutants import mutate as plant

    with progress_bar("mutants", None) as report:
        found = plant([derivation], seed=seed, share=share, workers=jobs, progress=lambda done, total, trial: report(
            done, f"of {total}: {trial.mutant.label}"))
    if as_json:
        click.echo(json.dumps({"schema": SCHEMA, **found.to_dict()}, indent=2))
    else:
        _show_mutants(found)
    return 1 if found.unexplained else 0


def _mutations(
    quantities: Sequence[Any], methods: Sequence[Any], share: float, seed: int, jobs: int, as_json: bool,
    output: str | None,
) -> int:
    """Plant errors in steps, rules and definitions; 1 where one of the former two was neither caught nor explained."""
    from derive.mutation import mutation_report, write_report

    with progress_bar("mutants", None) as report:
        found = mutation_report(
            quantities, methods, seed=seed, share=share, workers=jobs,
            progress=lambda done, total, trial: report(done, f"of {total}: {trial.mutant.label}"),
            say=lambda words: report(0, words))
    data = {"schema": SCHEMA, **found.to_dict()}
    if output is not None:
        write_report(found, output)
    if as_json:
        click.echo(json.dumps(data, indent=2))
        return 0 if found.sound else 1
    _show_mutants(found.steps)
    click.echo()
    table(("rule", "error", "verdict", "mutated", "caught by", "what it saw"),
          [(t.rule, t.title, t.right, t.wrong, t.witness if t.caught else "NOTHING", " ".join(t.found.split()))
           for t in found.rules])
    for name in found.rules_without_mutant:
        click.echo(f"rule {name}: no mutant, as no derivation here uses it")
    click.echo()
    table(("derivation", "definition", "mutants", "caught", "by", "what it saw"),
          [(d, label, str(made), str(caught), kind or "nothing", source)
           for (d, label), (made, caught, kind, source) in found.by_definition().items()],
          [False, False, True, True, False, False])
    for label in found.definitions_without_witness():
        click.echo(f"definition {label}: no independent witness")
    return 0 if found.sound else 1


def _show_mutants(found: Any) -> None:
    from derive.ledger.mutants import Outcome

    data = found.to_dict()
    outcomes = [o.value for o in Outcome]
    rows = [(name, *(str(counts[o]) for o in outcomes)) for name, counts in found.by_operator().items()]
    rows.append(("all", *(str(found.count(o)) for o in Outcome)))
    table(("operator", *outcomes), rows, [False, *(True for _ in outcomes)])
    for item in data["left"]:
        words = " ".join((item["explanation"] or item["detail"]).split())
        where = f"{item['derivation']}, step {item['label']}, {item['operator']}"
        click.echo(f"{item['outcome']}: {where}: {item['claim']}")
        click.echo(f"  {'explained: ' if item['explanation'] else ''}{words}")
    refutable = found.generated > found.count(Outcome.EQUIVALENT)
    rate = f"{100 * found.kill_rate:.1f} %" if refutable else "no refutable mutant"
    click.echo(
        f"\n{found.generated} mutants of {found.steps} checked steps (seed {found.seed}, share {found.share:g});"
        f" {sum(map(len, found.shared.values()))} more steps claim the same from the same and are caught with them,"
        f" {found.assumed} assumed steps are left out; killed of those not equivalent: {rate}"
    )


def _cores() -> int:
    return min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


@cli.command(
    epilog="""\b
Examples:
  derive solve collapse-time alpha=0.5 alpha_D=0.1:2:20
  derive solve retrieval-capacity lam=log:0.1:10:5 --density "1 - x^2" --support -1:1
  derive solve collapse-time --for alpha t=0.1 alpha_D=0.5
  derive solve collapse-time P=60000 N=784 D=30 --time sigma --digits 30"""
)
@click.argument("name")
@click.argument("parameters", nargs=-1, metavar="[PARAM=VALUE]...")
@click.option("--digits", type=click.IntRange(1, 10_000), help="So many correct digits, as decimal strings.")
@click.option(
    "--breaking", type=click.IntRange(0, 1), default=0, show_default=True,
    help="Steps of replica symmetry breaking, taken where the symmetric saddle is unstable.",
)
@click.option("--certify", is_flag=True, help="Prove the digits at one point by ball arithmetic (30, or --digits).")
@_point_options
@_ensemble_options
@_JSON
@click.pass_context
def solve(
    ctx: click.Context, /, name: str, parameters: tuple[str, ...], certify: bool, as_json: bool, **options: Any
) -> int:
    """Solve at given parameters, on ranges, or --for one.

    Exit status 1 where a point did not converge or has no value.
    """
    import numpy as np

    if certify:
        from derive.cli.certificates import answer_certificate

        return answer_certificate(chosen(ctx, name, options), parameters, options, as_json)
    request = read_request(chosen(ctx, name, options), parameters, options)
    with progress_bar(f"solving {name}", math.prod(request.shape) if request.digits else None) as report:
        answer = solve_request(request, lambda done, total: report(done, ""))
    if as_json:
        click.echo(json.dumps(payload(request, answer), allow_nan=False))
    else:
        show_answer(request, answer)
    return 0 if bool(np.all(answer.converged)) else 1


def _target_file(path: str, force: bool) -> Path:
    """A path that may be written; every reason against it is found before the work begins."""
    place = Path(path)
    if place.is_dir():
        mistake(f"{place} is a directory", given=path, allowed="the path of a file")
    if not place.parent.is_dir():
        mistake(f"there is no directory {place.parent}", given=path, allowed="a path in a directory that exists")
    if place.exists() and not force:
        mistake(f"{place} exists; --force replaces it", given=path, allowed="a new path, or --force")
    return place


@cli.command(epilog="Example: derive export collapse-time --target numpy -o collapse_time.py")
@click.argument("name")
@click.option("-o", "--output", required=True, metavar="FILE", help="The file to write.")
@click.option(
    "--target", metavar="TARGET", default="numpy", show_default=True,
    help="numpy or mpmath; json: the derivation, for check --file.",
)
@click.option("--force", is_flag=True, help="Replace an existing file.")
@_ensemble_options
@_JSON
@click.pass_context
def export(
    ctx: click.Context, /, name: str, output: str, target: str, force: bool, as_json: bool, **options: Any
) -> None:
    """Write a solver as one plain Python file, or a derivation as JSON.

    The Python file needs only NumPy and SciPy (or mpmath) and has a self-test.
    """
    from derive.saved import save as save_derivation

    quantity = chosen(ctx, name, options)
    targets = ("numpy", "mpmath", "json")
    if target not in targets:
        mistake(
            f"no target is named {target!r}", given=target, allowed=", ".join(targets), nearest=nearest(target, targets)
        )
    place = _target_file(output, force)
    with progress_bar(f"checking and writing {name}", None):
        if target == "json":
            written = save_derivation(quantity.derivation, place, force=force)
        else:
            written = quantity.export(place, target=target, force=force)
    if as_json:
        click.echo(json.dumps({"schema": SCHEMA, "quantity": name, "target": target, "file": str(written)}))
        return
    checked = f"derive check --file {written}" if target == "json" else f"python {written} --selftest"
    click.echo(f"{written}: {quantity.title}, {target}; {checked} checks it")


@cli.command(epilog="Example: derive plot collapse-time alpha=log:0.05:5:80 alpha_D=0.25:1:4 -o collapse.png")
@click.argument("name")
@click.argument("parameters", nargs=-1, metavar="[PARAM=VALUE]...")
@click.option("-o", "--output", required=True, metavar="FILE", help="A .png, .svg or .pdf file.")
@click.option("--force", is_flag=True, help="Replace an existing file.")
@_point_options
@_ensemble_options
@_JSON
@click.pass_context
def plot(
    ctx: click.Context,
    /,
    name: str,
    parameters: tuple[str, ...],
    output: str,
    force: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Plot a quantity on one or two ranges.

    The range with more points is the axis; each value of the other one is a line.
    """
    import numpy as np

    if Path(output).suffix.lower() not in FORMATS:
        mistake(
            f"{output} is not a figure file",
            given=output,
            allowed=", ".join(FORMATS),
            nearest=f"{Path(output).stem}.png",
        )
    request = read_request(chosen(ctx, name, options), parameters, options)
    check_ranges(request, parameters)
    place = _target_file(output, force)
    from derive.plot import draw, save

    with progress_bar(f"solving {name}", None):
        answer = solve_request(request)
    save(draw(curves_of(request, answer)), place)
    lost = math.prod(request.shape) - int(np.sum(answer.converged))
    if as_json:
        click.echo(json.dumps({"schema": SCHEMA, "quantity": name, "file": str(place), "missing": lost}))
    else:
        click.echo(f"{place}: {request.quantity.title}" + (f"; {lost} points have no value" if lost else ""))
    return 1 if lost else 0


@cli.command(
    epilog="""\b
Examples:
  derive limit collapse-time alpha_D=0
  derive limit generalization-time alpha_D=0 --over collapse-time
  derive limit collapse-time alpha_D=0 --hold kappa=alpha/alpha_D
  derive limit collapse-time alpha=oo --where "alpha_D < 1" --of log

The first PARAM=POINT moves; further ones give values to other parameters."""
)
@click.argument("name")
@click.argument("words", nargs=-1, required=True, metavar="PARAM=POINT [PARAM=VALUE]...")
@click.option("--order", type=click.IntRange(0, 12), default=3, show_default=True, help="Vanishing corrections wanted.")
@click.option("--over", metavar="OTHER", help="Expand the quotient with this quantity or expression.")
@click.option("--hold", multiple=True, metavar="NAME=EXPR", help="A combination that stays fixed: kappa=alpha/alpha_D.")
@click.option("--where", multiple=True, metavar="RELATION", help="A relation between other parameters: 'alpha_D < 1'.")
@click.option("--of", type=click.Choice(["value", "log"]), default="value", show_default=True, help="What is expanded.")
@click.option("--direction", metavar="SIDE", help="+ from above, - from below, +- both; both at an inner point.")
@click.option(
    "--seconds", type=click.FloatRange(0, min_open=True), default=60.0, show_default=True, help="The time box in all."
)
@_ensemble_options
@_JSON
@click.pass_context
def limit(
    ctx: click.Context, /, name: str, words: tuple[str, ...], over: str | None, as_json: bool, **options: Any
) -> int:
    """Expand a quantity as one of its parameters approaches a point.

    Two witnesses: a symbolic argument (dominant balance, transseries) and a numerical study of the remainder. Exit
    status 1 where they disagree or nothing is decided, or where the two sides of a point differ.
    """
    from derive.cli.limits import ask, over_of, show_limit

    quantity = chosen(ctx, name, options)
    ensemble = read_ensemble(options)
    other = None if over is None else over_of(atlas_of(ctx), over, ensemble)
    with progress_bar(f"expanding {name}", None):
        found = ask(quantity, words, other, options)
    return show_limit(quantity, found, as_json)


@cli.command(epilog="Example: derive simulate collapse-time --size smoke")
@click.argument("name")
@click.option("--size", metavar="SIZE", default="smoke", show_default=True, help="smoke (seconds), cpu or full (GPU).")
@click.option("-o", "--output", metavar="FILE", default=None, help="Where the record is written (JSON).")
@click.option("--force", is_flag=True, help="Replace an existing file.")
@_JSON
@click.pass_context
def simulate(ctx: click.Context, /, name: str, size: str, output: str | None, force: bool, as_json: bool) -> None:
    """Measure a quantity by simulation.

    Needs the extra "jax": pip install derive[jax].
    """
    quantity = find(ctx, name)
    place = None if output is None else _target_file(output, force)
    try:
        from derive.simulate import SIZES as PRESETS
        from derive.simulate import SimulationError, run
    except ImportError as error:
        mistake(f"simulations need an extra: {error}", given=name, allowed="pip install derive[jax]")
    if size not in PRESETS:
        mistake(
            f"there is no size {size!r}", given=size, allowed=", ".join(PRESETS), nearest=nearest(size, list(PRESETS))
        )
    try:
        with progress_bar(f"simulating {name} ({size})", 100) as report:
            record = run(
                name,
                cast("Any", size),
                out=place,
                progress=lambda part, words: report(round(100 * part), words),
            )
    except SimulationError as error:
        mistake(str(error), given=error.given, allowed=error.allowed, nearest=error.nearest)
    if as_json:
        click.echo(json.dumps(record, default=str))
        return
    keys = ("N", "D", "P", "log_t_N", "log_t_N_error", "reason")
    rows = [[_cell(row.get(key)) for key in keys] for row in record["results"]]
    table(("N", "D", "P", "log t", "error", "reason"), rows, [True] * 5 + [False])
    for line in _comparison(quantity, record):
        click.echo(line)
    if place is not None:
        click.echo(f"record: {place}")


def _cell(value: Any) -> str:
    return "-" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _comparison(quantity: Quantity, record: Mapping[str, Any]) -> list[str]:
    """The extrapolation to large N beside the theory."""
    from derive.simulate import agreement

    end = record["extrapolation"]
    if end.get("log_t_c") is None:
        return [f"no extrapolation: {end.get('reason', '')}"]
    log_theory = float(quantity.solver()(**record["parameters"]).log_value)
    found = agreement(dict(record), log_theory)
    held = ", ".join(f"{k} = {v:g}" for k, v in record["parameters"].items())
    return [
        f"large N, {held}: log {quantity.symbol.name} = {end['log_t_c']:.4f} +- {end['error']:.4f}",
        f"theory: {log_theory:.4f}, {abs(found['z']):.1f} errors away",
    ]


def main() -> None:
    """The console script."""
    cli.main(prog_name="derive")
