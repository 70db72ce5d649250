"""What models were asked, what it cost, and how much an organization allows itself."""

from auditron.agent.v1.agent_pb2 import ModelBudget, ModelUsage

from libs.pg import Record, Tx, uuid7
from libs.pg.rows import columns_of, to_message, values

from .workflows import Work

_USAGE = ", ".join(columns_of(ModelUsage))
_SPENT = ("input_tokens", "output_tokens", "latency_ms", "cost", "cost_currency_code")


async def open_model_call(
    tx: Tx, work: Work, request_hash: bytes, model: str, prompt_version: str
) -> Record:
    """The intent to ask: call_id, and the answer with its usage if it was asked before."""
    row = await tx.fetchrow(
        f"""
        insert into model_calls (organization_id, job_id, request_hash, call_id, model,
          prompt_version)
        values ($1, $2, $3, $4, $5, $6)
        on conflict (organization_id, job_id, request_hash) do update set error = ''
        returning call_id, answer, {_USAGE}
        """,
        work.organization_id, work.job.job_id, request_hash, uuid7(), model, prompt_version,
    )  # fmt: skip
    assert row is not None, "it is there or was added"
    return row


async def end_model_call(
    tx: Tx, call_id: str, answer: str | None, usage: ModelUsage, error: str = ""
) -> None:
    """Note what the model answered, or why it did not; what it cost is added to what it had."""
    await tx.execute(
        """
        update model_calls set answer = $2, error = $3, input_tokens = input_tokens + $4,
          output_tokens = output_tokens + $5, latency_ms = latency_ms + $6,
          cost = coalesce(cost + $7, $7, cost),
          cost_currency_code = coalesce($8, cost_currency_code), end_time = now()
        where call_id = $1
        """,
        call_id, answer, error[:2_000], *values(usage, *_SPENT),
    )  # fmt: skip


async def get_model_budget(tx: Tx, allowed: int) -> ModelBudget:
    """The month's budget, at most what is allowed, and what is used of it."""
    row = await tx.fetchrow(
        """
        select least($1, (select monthly_tokens_max from model_budgets)) as monthly_tokens_max,
          coalesce(sum(input_tokens + output_tokens), 0)::bigint as used_tokens
        from model_calls where create_time >= date_trunc('month', now(), 'UTC')
        """,
        allowed,
    )
    return to_message(row, ModelBudget)


async def update_model_budget(tx: Tx, organization_id: str, monthly_tokens_max: int) -> None:
    """Set how many tokens the organization allows itself in a month."""
    await tx.execute(
        """
        insert into model_budgets (organization_id, monthly_tokens_max) values ($1, $2)
        on conflict (organization_id) do update set monthly_tokens_max = excluded.monthly_tokens_max
        """,
        organization_id, monthly_tokens_max,
    )  # fmt: skip
