"""A process to be killed: `worker.py relay|consumer ADMIN_URL REDIS_URL PORT`."""

import asyncio
import sys

import grpc
from auditron.event.v1.event_pb2_grpc import EventLogServiceStub
from auditron.type.v1.money_pb2 import Money

from libs.events import Consumer, Relay
from libs.events.tests.trial.world import book, open_database, redis_client
from libs.pg import Database, DatabaseUnavailable


async def main(role: str, admin_url: str, redis_url: str, port: str) -> None:
    """Work until killed; a line on standard output says that it begins."""
    redis = redis_client(redis_url)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    db = await patiently_open(admin_url, "producer" if role == "relay" else "follower")
    if role == "relay":
        await Relay(db, redis, "producer").run(asyncio.Event())
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = EventLogServiceStub(channel)
        consumer = Consumer(db, redis, "producer", stub, {Money: book}, page_size=50)
        await consumer.run(asyncio.Event())


async def patiently_open(admin_url: str, schema: str) -> Database:
    """Connect as soon as the database is there."""
    while True:
        try:
            return await open_database(admin_url, schema)
        except DatabaseUnavailable:
            await asyncio.sleep(0.1)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
