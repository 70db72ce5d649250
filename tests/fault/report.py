"""The table of a run, for the terminal and for docs/FAULTS.md."""

import platform as machine
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from tests.fault.trial import Outcome

HOW = """\
The whole platform runs, each role a process. Organizations use it through the REST API alone, and
repeat a request with the same Idempotency-Key until they have an answer, which they write into a
history file. Meanwhile processes and stores are killed. When everything is quiet again, a checker
in a process of its own compares the history with the databases."""
NAMES = {
    "organization": "sign-up",
    "log_out": "log-out",
    "plan": "choice of a plan",
    "policy": "approval policy",
    "mail": "notification settings",
    "upload": "upload of an e-invoice",
    "create": "invoice by hand",
    "run_again": "failed job run again",
    "approve": "approval",
    "reject": "rejection",
    "reopen": "reopening",
    "bank_account": "bank account",
    "statement": "bank statement",
    "match": "match by hand",
    "confirm_match": "match confirmed",
    "reject_match": "match refused",
    "undo_match": "match undone",
    "report": "report",
}


def document(outcome: Outcome, command: str) -> str:
    """Everything of a run as Markdown."""
    verdict, waits = outcome.verdict, sorted(outcome.waits_s)
    where = f"Python {machine.python_version()} on {machine.machine()}"
    parts = [
        "# Faults",
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, `{command}`, seed {outcome.seed}, {where}.",
        HOW,
        _summary(outcome),
        "## Faults\n\n" + table(["what", "times"], faults(outcome.faults)),
        "## Acknowledged\n\n"
        + table(
            ["what", "times"],
            ((NAMES[k], n) for k, n in outcome.acknowledged.items() if k in NAMES),
        ),
        "## Attempts\n\n"
        + table(["answer", "times"], sorted(outcome.attempts.items()))
        + f"\n\nFrom the first attempt to the answer: half within {quantile(waits, 0.5):.2f} s, "
        f"95 % within {quantile(waits, 0.95):.2f} s, all within {quantile(waits, 1):.2f} s.",
        "## Rules\n\n"
        + table(
            ["rule", "a breach is", "checked", "breaches"],
            ((r["name"], r["kind"], r["checked"], r["count"]) for r in verdict["rules"]),
        ),
    ]
    if outcome.violations:
        parts.append("## Breaches\n\n" + "\n".join(f"- {each}" for each in outcome.violations))
    return "\n\n".join(parts) + "\n"


def _summary(outcome: Outcome) -> str:
    verdict = outcome.verdict
    return (
        f"**{sum(outcome.faults.values())} faults in {outcome.seconds:.0f} s, "
        f"{acknowledged(outcome)} requests acknowledged: {verdict['lost']} lost, "
        f"{verdict['doubled']} doubled, {verdict['broken']} other breaches.** "
        f"Quiet {outcome.quiet_after_s:.0f} s after the last answer."
    )


def acknowledged(outcome: Outcome) -> int:
    """How many requests that change something were acknowledged."""
    return sum(n for kind, n in outcome.acknowledged.items() if kind in NAMES)


def faults(done: Counter[str]) -> Iterable[tuple[str, int]]:
    """Names as they are told, in their order."""
    return sorted((name if " " in name else f"kill -9 of {name}", n) for name, n in done.items())


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def quantile(ordered: Sequence[float], part: float) -> float:
    """A quantile of what is sorted; 0 of nothing."""
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)] if ordered else 0.0
