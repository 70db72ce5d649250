"""The agents, extraction to compliance, each from a job to what it found."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from auditron.agent.v1.agent_pb2 import ModelUsage
from auditron.event.v1 import event_pb2
from auditron.invoice.v1 import invoice_pb2
from auditron.invoice.v1.invoice_pb2 import FieldReading

from libs.pg import Database

from .. import rules, store
from ..documents import fetched
from .extraction import Extraction
from .facts import known_invoice
from .splitting import Splitting

Results = Mapping[str, Any]
SPLITTING = "splitting"


@dataclass(frozen=True)
class Found:
    """What a step found (JSON), in words for a person, and what it cost."""

    result: dict[str, Any]
    log: list[str]
    usage: ModelUsage | None = None


class Steps:
    """What the orchestrator runs, by name, in this order."""

    def __init__(self, db: Database, invoices: Any, extraction: Extraction) -> None:
        self._db = db
        self._invoices = invoices
        self._extraction = extraction
        self._splitting = Splitting(invoices, extraction)
        self.by_name = {
            "extraction": self.extract,
            SPLITTING: self.split,
            "categorization": self.categorize,
            "compliance": self.comply,
        }

    async def extract(self, work: store.Work, _: Results) -> Found:
        """Read the document's fields."""
        async with fetched(self._invoices, work.job.invoice_id) as path:
            answer, notes = await self._extraction.read(path, work.content_type)
            answer, learned = await self._read_again(work, path, answer)
            notes += learned
            answer, asked, usage = await self._extraction.complete(work, answer, path)
        answer["text"] = []  # needed no more, and the customer's own
        # The same holds for what was read of the others: each is read again by itself.
        answer["documents"] = [
            {name: each[name] for name in ("first_page", "last_page")}
            for each in answer.get("documents", ())
        ]
        return Found(answer, [*_how(answer), *notes, *asked], usage)

    async def _read_again(
        self, work: store.Work, path: Path, answer: dict[str, Any]
    ) -> tuple[dict[str, Any], list[str]]:
        """Return what is read with what persons corrected on the supplier's earlier documents."""
        if answer["syntax"]:
            return answer, []
        async with self._db.tenant(work.organization_id) as tx:
            own = await store.get_organization(tx)
            keys = rules.supplier_keys(rules.issuer(answer), own.tax_ids)
            _, hints = await store.get_supplier(tx, keys)
        if not hints:
            return answer, []
        answer, _ = await self._extraction.read(path, work.content_type, hints)
        names = ", ".join(sorted(hints))
        return answer, [f"read by what was corrected on the supplier's earlier documents: {names}"]

    async def split(self, work: store.Work, results: Results) -> Found:
        """Have the documents behind the first one become invoices of their own."""
        fates = await self._splitting.split(work, rules.further(results["extraction"]))
        return Found({"warnings": rules.fate_warnings(fates)}, [str(each) for each in fates])

    async def categorize(self, work: store.Work, results: Results) -> Found:
        """Find out who owes whom, and which account it goes to."""
        async with self._db.tenant(work.organization_id) as tx:
            own = await store.get_organization(tx)
        answer, direction, why = rules.placed(
            results["extraction"], own.display_name, own.tax_ids, work.direction
        )
        reading = rules.to_reading(answer, own.base_currency_code)
        invoice = _as_known(reading.invoice, work, direction)
        past = await self._past(work, invoice)
        booking = rules.booking(invoice, past.account_code)
        log = [f"account {booking.account_code}: {booking.reason}"]
        if direction:
            log.insert(0, f"{invoice_pb2.Direction.Name(direction)[10:].lower()}: {why}")
        result = {
            "answer": answer, "base_currency_code": own.base_currency_code,
            "direction": direction, "direction_reason": why,
            "account_code": booking.account_code, "account_confidence": booking.confidence,
            "account_reason": booking.reason,
        }  # fmt: skip
        return Found(result, log)

    async def comply(self, work: store.Work, results: Results) -> Found:
        """Say what a person should look at."""
        chosen = results["categorization"]
        reading = rules.to_reading(chosen["answer"], chosen["base_currency_code"])
        invoice = _as_known(reading.invoice, work, chosen["direction"])
        past = await self._past(work, invoice)
        warnings = rules.warnings(
            invoice,
            [*results.get(SPLITTING, {}).get("warnings", ()), *reading.notes],
            datetime.now(UTC).date(),
            known_ibans=past.ibans,
            same_number=past.same_number,
            same_amount=past.same_amount,
        )
        review = await self._review(work, results)
        log = warnings or ["nothing speaks against it"]
        if review.why:
            log = [*log, f"for a person: {review.why}"]
        return Found({"warnings": warnings, "needs_review": bool(review.why)}, log)

    async def _review(self, work: store.Work, results: Results) -> rules.Review:
        """Decide of each field whether it needs a person, and keep that."""
        invoice, readings = _found(results)
        async with self._db.tenant(work.organization_id) as tx:
            own = await store.get_organization(tx)
            keys = rules.supplier_keys(invoice.supplier, own.tax_ids)
            supplier_id, _ = await store.get_supplier(tx, keys)
            settings = await store.get_automation_settings(tx)
            known = await store.list_evidence(tx, [supplier_id], rules.MEASURED)
            review = rules.reviewed(
                invoice, readings, known[supplier_id], settings, work.job.job_id
            )
            await store.upsert_outcomes(
                tx, work.organization_id, work.job.invoice_id, supplier_id, review.outcomes
            )
        return review

    async def _past(self, work: store.Work, invoice: invoice_pb2.Invoice) -> store.Past:
        now = known_invoice(event_pb2.Event(), invoice)
        return await store.get_past(self._db, work.organization_id, now)


def is_needed(name: str, results: Results) -> bool:
    """Return whether a step has anything to do after those that have found these results."""
    return name != SPLITTING or bool(rules.further(results["extraction"]))


def outcome(work: store.Work, results: Results) -> invoice_pb2.RecordReadingRequest:
    """Return what invoice is told of what the steps have found."""
    invoice, readings = _found(results)
    compliance = results["compliance"]
    return invoice_pb2.RecordReadingRequest(
        invoice_id=work.job.invoice_id,
        job_id=work.job.job_id,
        invoice=invoice,
        readings=readings,
        warnings=compliance["warnings"],
        # A step that ended before there was such a decision has left it to a person.
        needs_review=compliance.get("needs_review", True),
    )


def _found(results: Results) -> tuple[invoice_pb2.Invoice, list[FieldReading]]:
    """Return the invoice as the steps have found it, with how each field was read."""
    chosen = results["categorization"]
    reading = rules.to_reading(chosen["answer"], chosen["base_currency_code"])
    invoice, readings = reading.invoice, reading.readings
    if chosen["direction"]:
        invoice.direction = chosen["direction"]
        readings.append(
            FieldReading(
                field="direction",
                value=invoice_pb2.Direction.Name(chosen["direction"]),
                confidence=1,
                reason=chosen["direction_reason"],
            )
        )
    invoice.account_code = chosen["account_code"]
    readings.append(
        FieldReading(
            field="account_code",
            value=chosen["account_code"],
            confidence=chosen["account_confidence"],
            reason=chosen["account_reason"],
        )
    )
    return invoice, readings


def _as_known(read: invoice_pb2.Invoice, work: store.Work, direction: int) -> invoice_pb2.Invoice:
    invoice = invoice_pb2.Invoice()
    invoice.CopyFrom(read)
    declared = work.direction or invoice_pb2.DIRECTION_PAYABLE
    name = invoice_pb2.Direction.Name(direction or declared)
    invoice.MergeFrom(invoice_pb2.Invoice(invoice_id=work.job.invoice_id, direction=name))
    return invoice


def _how(answer: Mapping[str, Any]) -> list[str]:
    fields = answer["fields"]
    sources = sorted({each["source"] for each in fields.values()})
    names = {"E_INVOICE": "e-invoice", "TEXT_LAYER": "text", "OCR": "recognised pages"}
    origin = " and ".join(names.get(each, each.lower()) for each in sources) or "nothing"
    said = [f"{len(fields)} fields and {len(answer['lines'])} lines from the {origin}"]
    unsure = [name for name, each in fields.items() if each["confidence"] < 0.7]
    if unsure:
        said.append(f"unsure: {', '.join(sorted(unsure))}")
    return said
