"""Suppliers and where their values stand, how fields were read, and how many errors are allowed."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from auditron.agent.v1.agent_pb2 import AutomationSettings, FieldCoverage
from auditron.invoice.v1 import invoice_pb2

from libs import jobs
from libs.pg import Tx, uuid7
from libs.pg.rows import columns_of, to_message, values

from .. import rules
from ..rules import AUTOMATIC, MANUAL, PAGE_SOURCES, SUGGESTED, Checked, Evidence, Outcome

LEARN = "learn"  # the task; it carries a GetInvoiceRequest
UNKNOWN = "00000000-0000-0000-0000-000000000000"  # the supplier that nobody has confirmed
CHECKED_MAX = 1_000  # the latest checks of a field count: what was long ago says little
_SETTINGS = ", ".join(columns_of(AutomationSettings))
Keys = tuple[str, str, str]  # of name, tax id and bank account

# A tax id says most; another one means another supplier, whatever else is the same. A bank account
# says who it is as long as the name is only read; several may be paid through one.
_FOUND = """
  from suppliers where ($2 <> '' and tax_key = $2)
    or (($2 = '' or tax_key = '')
      and (($1 <> '' and name_key = $1)
        or ($3 <> '' and iban = $3 and (not $4 or $1 = '' or name_key = ''))))
  order by ($2 <> '' and tax_key = $2) desc, name_key = $1 desc, update_time desc limit 1
"""


async def get_supplier(tx: Tx, keys: Keys) -> tuple[str, Any]:
    """The id of the supplier by what was read, or UNKNOWN, and the hints for its documents."""
    row = await tx.fetchrow(f"select supplier_id, hints {_FOUND}", *keys, False)
    return (str(row["supplier_id"]), json.loads(row["hints"])) if row else (UNKNOWN, {})


async def lock_supplier(
    tx: Tx, organization_id: str, keys: Keys, display_name: str
) -> tuple[str, Any]:
    """The supplier's id and hints by what a person has confirmed, added if it is not there."""
    if not any(keys):
        return UNKNOWN, {}
    # One at a time, so that none is added twice.
    await tx.execute("select pg_advisory_xact_lock(hashtextextended($1, 1))", organization_id)
    row = await tx.fetchrow(f"select supplier_id, hints {_FOUND}", *keys, True)
    supplier_id, hints = (row["supplier_id"], row["hints"]) if row else (uuid7(), "{}")
    await tx.execute(
        """
        insert into suppliers (organization_id, supplier_id, name_key, tax_key, iban, display_name)
        values ($1, $2, $3, $4, $5, $6)
        on conflict (organization_id, supplier_id) do update set
          name_key = coalesce(nullif(excluded.name_key, ''), suppliers.name_key),
          tax_key = coalesce(nullif(excluded.tax_key, ''), suppliers.tax_key),
          iban = coalesce(nullif(excluded.iban, ''), suppliers.iban),
          display_name = coalesce(nullif(excluded.display_name, ''), suppliers.display_name),
          update_time = now()
        """,
        organization_id, supplier_id, *keys, display_name,
    )  # fmt: skip
    return str(supplier_id), json.loads(hints)


async def update_hints(tx: Tx, supplier_id: str, hints: Mapping[str, Any]) -> None:
    """Replace the hints of a supplier that was locked before."""
    await tx.execute(
        "update suppliers set hints = $2, update_time = now() where supplier_id = $1",
        supplier_id,
        json.dumps(hints),
    )


async def upsert_outcomes(
    tx: Tx, organization_id: str, invoice_id: str, supplier_id: str, outcomes: Sequence[Outcome]
) -> None:
    """Keep how the fields of an invoice were read; what was checked stays so."""
    await tx.executemany(
        """
        insert into field_outcomes as kept (organization_id, invoice_id, supplier_id, field, value,
          source, confidence, handling)
        values ($1, $2, $3, $4, $5, $6, $7, $8)
        on conflict (organization_id, invoice_id, field) do update set
          supplier_id = excluded.supplier_id, value = excluded.value, source = excluded.source,
          confidence = excluded.confidence, handling = excluded.handling
        where kept.check_time is null
        """,
        [
            (organization_id, invoice_id, supplier_id, each.field, each.value, each.source,
             each.confidence, each.handling)
            for each in outcomes
        ],
    )  # fmt: skip


async def get_outcomes(tx: Tx, invoice_id: str) -> dict[str, str]:
    """What was read in the fields of an invoice, by field; none of one that was not read."""
    rows = await tx.fetch(
        "select field, value from field_outcomes where invoice_id = $1", invoice_id
    )
    return {row["field"]: row["value"] for row in rows}


async def check_outcomes(
    tx: Tx, invoice_id: str, supplier_id: str, is_right: Mapping[str, bool | None]
) -> None:
    """Note of each field of an invoice whether it was read rightly, and whose document it is.

    None: there is nothing to note.
    """
    await tx.execute(
        """
        update field_outcomes as kept set supplier_id = $2, is_right = given.is_right,
          check_time = case when given.is_right is not null then coalesce(check_time, now()) end
        from unnest($3::text[], $4::boolean[]) as given (field, is_right)
        where invoice_id = $1 and kept.field = given.field
        """,
        invoice_id, supplier_id, list(is_right), list(is_right.values()),
    )  # fmt: skip


async def enqueue_learning(tx: Tx, organization_id: str, invoice_id: str) -> None:
    """Have what a person has corrected of an invoice looked up in its document."""
    await jobs.enqueue(
        tx, LEARN, invoice_pb2.GetInvoiceRequest(invoice_id=invoice_id),
        organization_id=organization_id,
    )  # fmt: skip


async def list_evidence(
    tx: Tx, supplier_ids: Sequence[str], fields: Sequence[str]
) -> dict[str, dict[tuple[str, bool], Evidence]]:
    """What was checked of the fields, by supplier: of its own documents, and of all."""
    rows = await tx.fetch(
        """
        select coalesce(wanted.supplier_id::text, '') as supplier_id, seen.field, from_page, step,
          count(*) as count, count(*) filter (where not is_right) as wrong
        from unnest($1::uuid[]) as wanted (supplier_id) cross join unnest($2::text[]) as f (field)
        cross join lateral (
          select field, source = any($4) as from_page, is_right,
            floor(confidence * 100 + 1e-6) / 100 as step
          from field_outcomes as o where o.field = f.field and check_time is not null
            and o.supplier_id = wanted.supplier_id
          order by check_time desc limit $3
        ) as seen
        group by 1, 2, 3, 4
        union all
        select '', seen.field, from_page, step, count(*), count(*) filter (where not is_right)
        from unnest($2::text[]) as f (field)
        cross join lateral (
          select field, source = any($4) as from_page, is_right,
            floor(confidence * 100 + 1e-6) / 100 as step
          from field_outcomes as o where o.field = f.field and check_time is not null
          order by check_time desc limit $3
        ) as seen
        group by 1, 2, 3, 4
        """,
        list(supplier_ids), list(fields), CHECKED_MAX, list(PAGE_SOURCES),
    )  # fmt: skip
    found: dict[tuple[str, str, bool], list[Checked]] = {}
    for row in rows:
        key = row["supplier_id"], row["field"], row["from_page"]
        found.setdefault(key, []).append(Checked(row["step"], row["count"], row["wrong"]))
    return {
        supplier_id: {
            (field, from_page): Evidence(
                tuple(found.get((supplier_id, field, from_page), ())),
                tuple(found.get(("", field, from_page), ())),
            )
            for field in fields
            for from_page in (True, False)
        }
        for supplier_id in supplier_ids
    }


async def list_coverage(
    tx: Tx, supplier_id: str | None, after: tuple[str, str] | None, limit: int
) -> list[FieldCoverage]:
    """How each supplier's fields were read and checked, by supplier and field."""
    last_supplier, last_field = after or (None, None)
    rows = await tx.fetch(
        """
        select o.supplier_id, o.field,
          (select display_name from suppliers as s where s.supplier_id = o.supplier_id)
            as supplier_name,
          count(*) filter (where handling = $5) as automatic_count,
          count(*) filter (where handling = $6) as suggested_count,
          count(*) filter (where handling = $7) as manual_count,
          count(*) filter (where is_right is not null) as checked_count,
          count(*) filter (where not is_right) as wrong_count,
          count(*) filter (where handling = $5 and is_right is not null)
            as automatic_checked_count,
          count(*) filter (where handling = $5 and not is_right) as automatic_wrong_count
        from field_outcomes as o
        where ($1::uuid is null or supplier_id = $1)
          and ($2::uuid is null or (supplier_id, field) > ($2, $3))
        group by o.supplier_id, o.field order by o.supplier_id, o.field limit $4
        """,
        supplier_id, last_supplier, last_field, limit, AUTOMATIC, SUGGESTED, MANUAL,
    )  # fmt: skip
    found = [to_message(row, FieldCoverage) for row in rows]
    for row in found:
        row.supplier_id = row.supplier_id.replace(UNKNOWN, "")
    return found


async def get_automation_settings(tx: Tx) -> AutomationSettings:
    """How many errors the transaction's organization allows; the usual, if it has not said so."""
    row = await tx.fetchrow(f"select {_SETTINGS} from automation_settings")
    if row is None:
        return AutomationSettings(error_max=rules.ERROR_MAX, sample_share=rules.SAMPLE_SHARE)
    return to_message(row, AutomationSettings)


async def update_automation_settings(
    tx: Tx, organization_id: str, settings: AutomationSettings
) -> None:
    """Replace how many errors the organization allows."""
    await tx.execute(
        """
        insert into automation_settings (organization_id, error_max, sample_share)
        values ($1, $2, $3)
        on conflict (organization_id) do update set error_max = excluded.error_max,
          sample_share = excluded.sample_share
        """,
        organization_id, *values(settings, "error_max", "sample_share"),
    )  # fmt: skip
