"""agent as a process of its own, killed in the middle of its work, beside real auth and invoice."""

import asyncio
import base64
import hashlib
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import asyncpg
import grpc
from auditron.agent.v1 import agent_pb2, agent_pb2_grpc
from auditron.auth.v1 import auth_pb2, auth_pb2_grpc
from auditron.invoice.v1 import invoice_pb2, invoice_pb2_grpc

from libs.embedded.server import free_port
from libs.pg import uuid7
from libs.testkit import Client, Stores, eventually, running_services
from services.agent import store
from services.agent.tests.conftest import (
    EXAMPLES,
    OWN_NAME,
    PEERS,
    SAID,
    THREE,
    chunks,
    merged,
)

ROOT = Path(__file__).resolve().parents[3]
SECRET = "the agent's own"


def settings() -> dict[str, str]:
    digest = hashlib.sha256(SECRET.encode()).hexdigest()
    return PEERS | {
        "AUTH_KEY_ENCRYPTION_KEY": base64.b64encode(os.urandom(32)).decode(),
        "AUTH_SERVICE_SECRETS": f"agent={digest},invoice={digest}",
        "AGENT_SERVICE_SECRET": SECRET,
        "INVOICE_SERVICE_SECRET": SECRET,
    }


@asynccontextmanager
async def process(env: dict[str, str], log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    with log.open("ab") as file:
        running = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "libs.run", "agent", "--role", "all",
            env=env, cwd=ROOT, stdout=file, stderr=file,
        )  # fmt: skip
    try:
        yield running
    finally:
        if running.returncode is None:
            running.kill()
        await running.wait()


async def job_of(agent: Client, job_id: str) -> agent_pb2.Job | None:
    try:
        return await agent.GetJob(agent_pb2.GetJobRequest(job_id=job_id), timeout=2)
    except grpc.aio.AioRpcError as error:
        if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.NOT_FOUND):
            return None
        raise


def in_extraction(job: agent_pb2.Job | None) -> bool:
    return bool(job and job.steps and job.steps[0].state == agent_pb2.STEP_STATE_RUNNING)


async def facts(admin_url: str, schema: str, aggregate_id: str) -> list[str]:
    connection = await asyncpg.connect(admin_url)
    try:
        rows = await connection.fetch(
            f"select payload from {schema}.events where aggregate_id = $1 order by seq",
            aggregate_id,
        )
    finally:
        await connection.close()
    return [row["payload"].split(b"\x12")[0].decode("utf-8", "ignore") for row in rows]


# Who writes what a step has found, or a job's success (after invoice was told), waits for a lock.
HOLD = f"""
create function agent.hold() returns trigger language plpgsql as $$ begin
  perform pg_advisory_xact_lock(hashtext(coalesce(to_jsonb(new) ->> 'step', 'success')));
  return new;
end $$;
create trigger hold before insert on agent.step_results for each row execute function agent.hold();
create trigger hold before update on agent.jobs for each row
  when (new.state = {agent_pb2.JOB_STATE_SUCCEEDED}) execute function agent.hold()
"""
HELD = """
select exists (select from pg_locks where locktype = 'advisory' and not granted
  and database = (select oid from pg_database where datname = current_database())
  and objid::bigint = hashtext($1)::bigint & 4294967295)
"""
# What a dead process held is taken over at once.
END_LEASES = "update agent.tasks set due_time = now() where state = 'RUNNING'"
Start = Callable[[], AbstractAsyncContextManager[object]]


async def kill_at(start: Start, agent_url: str, *places: str) -> None:
    """Start the process again and again, and kill it when it has come to the next place."""
    connection = await asyncpg.connect(agent_url)
    try:
        await connection.execute(HOLD)
        for place in places:
            await connection.execute("select pg_advisory_lock(hashtext($1))", place)
        for place in places:
            await connection.execute(END_LEASES)
            async with start():
                await eventually(partial(connection.fetchval, HELD, place), bool, 60)
            await connection.execute("select pg_advisory_unlock(hashtext($1))", place)
        await connection.execute(END_LEASES)
    finally:
        await connection.close()


@dataclass
class World:
    """A person of real auth and invoice, an agent to be started, and where each keeps its data."""

    invoices: Client
    agent: Client
    start: Start
    agent_url: str
    invoice_url: str

    async def ended(self, job_id: str) -> agent_pb2.Job:
        return await eventually(
            lambda: job_of(self.agent, job_id),
            lambda found: bool(found) and found.state in store.ENDED,
            60,
        )


@asynccontextmanager
async def world_of(stores: Stores, log: Path) -> AsyncIterator[World]:
    chosen = settings()
    own = await stores.service_env("agent")
    async with running_services(stores, "auth", "invoice", settings=chosen) as running:
        peer = running["invoice"].runtime.env
        shared = {name: peer[name] for name in ("AUTH_ADDRESS", "INVOICE_ADDRESS", "REDIS_URL")}
        listen = f"127.0.0.1:{free_port()}"
        env = os.environ | own | chosen | shared
        env |= {"AGENT_LISTEN": listen, "AGENT_METRICS_LISTEN": f"127.0.0.1:{free_port()}"}
        env |= {"PYTHONPATH": str(ROOT)}
        tokens = await running["auth"].anonymous(auth_pb2_grpc.AuthServiceStub).SignUp(
            auth_pb2.SignUpRequest(
                email=f"{uuid7()}@example.com", password="correct horse battery",
                organization_name=OWN_NAME, base_currency_code="EUR",
            )
        )  # fmt: skip
        token, organization_id = tokens.access_token, tokens.organization.organization_id
        invoice_stub = invoice_pb2_grpc.InvoiceServiceStub(running["invoice"].channel)
        async with grpc.aio.insecure_channel(listen) as channel:
            yield World(
                Client(invoice_stub, token, organization_id),
                Client(agent_pb2_grpc.AgentServiceStub(channel), token, organization_id),
                partial(process, env, log),
                own["ADMIN_DATABASE_URL"],
                peer["ADMIN_DATABASE_URL"],
            )


async def test_a_process_killed_in_every_step_loses_and_doubles_nothing(
    stores: Stores, tmp_path: Path
):
    [scan] = EXAMPLES.glob("07-*.pdf")
    async with world_of(stores, tmp_path / "log") as world:
        uploaded = await world.invoices.UploadInvoice(chunks(scan.read_bytes(), scan.name))
        async with world.start():
            await eventually(lambda: job_of(world.agent, uploaded.job_id), in_extraction, 60)
        await kill_at(world.start, world.agent_url, "categorization", "compliance", "success")
        async with world.start():
            job = await world.ended(uploaded.job_id)
        assert job.state == agent_pb2.JOB_STATE_SUCCEEDED, job.failure
        assert [step.attempt for step in job.steps] == [2, 2, 2]
        request = invoice_pb2.GetInvoiceRequest(invoice_id=uploaded.invoice_id)
        invoice = await world.invoices.GetInvoice(request)
        assert (invoice.gross.amount, invoice.direction) == ("895.48", 1)
        assert invoice.supplier.display_name == "Blankform Gebaeudereinigung"
        said = await facts(world.agent_url, "agent", uploaded.job_id)
        assert sum("JobFinished" in each for each in said) == 1
        said = await facts(world.invoice_url, "invoice", uploaded.invoice_id)
        assert sum("InvoiceExtracted" in each for each in said) == 1


# Whoever adds the document of the third page waits for a lock.
HOLD_UPLOAD = """
create function invoice.hold() returns trigger language plpgsql as $$ begin
  perform pg_advisory_xact_lock(hashtext('upload'));
  return new;
end $$;
create trigger hold before insert on invoice.documents for each row
  when (new.last_page = 3) execute function invoice.hold()
"""


async def test_a_process_killed_between_upload_and_record_makes_no_second_invoice(
    stores: Stores, tmp_path: Path
):
    async with world_of(stores, tmp_path / "log") as world:
        whole = await world.invoices.UploadInvoice(chunks(merged(*THREE), "scan.pdf"))
        connection = await asyncpg.connect(world.invoice_url)
        await connection.execute(HOLD_UPLOAD)
        await connection.execute("select pg_advisory_lock(hashtext('upload'))")
        async with world.start():  # and killed with one document uploaded and one under way
            await eventually(partial(connection.fetchval, HELD, "upload"), bool, 60)
        await connection.execute("select pg_advisory_unlock(hashtext('upload'))")
        await connection.close()
        await kill_at(world.start, world.agent_url, "splitting")  # with all of them uploaded
        listing = invoice_pb2.ListInvoicesRequest()
        made = (await world.invoices.ListInvoices(listing)).invoices
        async with world.start():
            jobs = [await world.ended(each.job_id) for each in reversed(made)]
        assert jobs[0].job_id == whole.job_id
        assert {job.state for job in jobs} == {agent_pb2.JOB_STATE_SUCCEEDED}
        attempts = {step.name: step.attempt for step in jobs[0].steps}
        assert (attempts["extraction"], attempts["splitting"]) == (1, 3)
        found = (await world.invoices.ListInvoices(listing)).invoices
        assert [(each.invoice_number, each.gross.amount) for each in reversed(found)] == SAID
        for each in found:
            said = await facts(world.invoice_url, "invoice", each.invoice_id)
            assert sum("InvoiceReceived" in fact for fact in said) == 1
