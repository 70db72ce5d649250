"""Composition root of agent."""

from auditron.agent.v1 import agent_pb2
from auditron.invoice.v1 import invoice_pb2_grpc

from libs.jobs import Task
from libs.run.runtime import Runtime, Service
from libs.sandbox import MIB, Limits, Sandbox

from . import jobs, rules, store, webhooks
from .api import servicer
from .model import Model
from .settings import Settings

# What is cut out of a file may be as large as the file.
TEXT_LIMITS = Limits(memory_bytes=512 * MIB, cpu_s=20, wall_s=60, output_bytes=64 * MIB)
# Sixty pages, the most that are read, take 80 s.
OCR_LIMITS = Limits(memory_bytes=2048 * MIB, cpu_s=240, wall_s=600)


async def assemble(runtime: Runtime) -> Service:
    """Put the service together."""
    settings = Settings.from_env(runtime.env)
    invoices = runtime.channels.stub(invoice_pb2_grpc.InvoiceServiceStub)
    model = Model(settings.model, rules.CLAIM_FIELDS) if settings.model else None
    text_readers = Sandbox(TEXT_LIMITS, preload=[jobs.READING_MODULE])
    ocr_readers = Sandbox(OCR_LIMITS, settings.ocr_processes, preload=[jobs.OCR_MODULE])
    extraction = jobs.Extraction(runtime.db, text_readers, ocr_readers, model)
    learning = jobs.Learning(runtime.db, invoices, extraction)
    steps = jobs.Steps(runtime.db, invoices, extraction)
    workflow = jobs.Workflow(runtime.db, invoices, steps.by_name)
    client = webhooks.client()
    deliveries = jobs.Deliveries(runtime.db, settings, client)

    async def on_failed(task: Task, error: Exception) -> None:
        if task.kind == store.RUN_JOB:
            await jobs.on_failed(runtime.db, task, error)
        elif task.kind == store.DELIVER:
            await deliveries.give_up(task, error)

    return Service(
        servicers=[
            (
                agent_pb2.DESCRIPTOR.services_by_name["AgentService"],
                servicer(runtime.db, settings),
            )
        ],
        handlers=jobs.HANDLERS,
        tasks={
            store.RUN_JOB: workflow.run,
            store.TELL_INVOICE: workflow.tell_invoice,
            store.LEARN: learning.learn,
        },
        foreign_tasks={store.DELIVER: deliveries.deliver},
        on_failed=on_failed,
        loops=[extraction.warm],
        worker_sandboxes=[text_readers],
        closing=[ocr_readers.close, client.aclose, *([model.close] if model else [])],
    )
