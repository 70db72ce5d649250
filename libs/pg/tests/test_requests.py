import asyncio

import pytest
from auditron.event.v1.event_pb2 import Event, ListEventsRequest
from auditron.type.v1.money_pb2 import Money

from libs.pg import Database, InvalidRequestId, RequestIdReused, Tx, uuid7
from libs.pg.requests import forget_old, once, remember

OURS, THEIRS = uuid7(), uuid7()
REQUEST = ListEventsRequest(partition=1)
ANSWER = Event(event_id="e", position=7)


async def answered(tx: Tx, request_id: str, organization_id: str = OURS) -> Event | None:
    return await once(tx, organization_id, request_id, "CreateEvent", REQUEST, Event)


async def answer_first(db: Database) -> str:
    request_id = uuid7()
    async with db.tenant(OURS) as tx:
        assert await answered(tx, request_id) is None
        await remember(tx, OURS, request_id, ANSWER)
    return request_id


async def test_the_same_request_again_gets_the_same_answer(db: Database) -> None:
    request_id = await answer_first(db)
    for form in (request_id, request_id.upper()):
        async with db.tenant(OURS) as tx:
            assert await answered(tx, form) == ANSWER


async def test_an_empty_answer_is_an_answer(db: Database) -> None:
    request_id = uuid7()
    for expected in (None, Money()):
        async with db.tenant(OURS) as tx:
            assert await once(tx, OURS, request_id, "Delete", REQUEST, Money) == expected
            if expected is None:
                await remember(tx, OURS, request_id, Money())


async def test_another_request_with_the_same_id_is_refused(db: Database) -> None:
    request_id = await answer_first(db)
    others = [("CreateEvent", ListEventsRequest(partition=2)), ("DeleteEvent", REQUEST)]
    for method, request in others:
        async with db.tenant(OURS) as tx:
            with pytest.raises(RequestIdReused):
                await once(tx, OURS, request_id, method, request, Event)


async def test_an_id_belongs_to_its_organization_alone(db: Database) -> None:
    request_id = await answer_first(db)
    async with db.tenant(THEIRS) as tx:
        assert await answered(tx, request_id, THEIRS) is None
        await remember(tx, THEIRS, request_id, ANSWER)


async def test_a_request_that_was_rolled_back_may_be_tried_again(db: Database) -> None:
    async def fail() -> None:
        async with db.tenant(OURS) as tx:
            assert await answered(tx, request_id) is None
            raise KeyError

    request_id = uuid7()
    with pytest.raises(KeyError):
        await fail()
    async with db.tenant(OURS) as tx:
        assert await answered(tx, request_id) is None
        await remember(tx, OURS, request_id, ANSWER)


async def test_of_duplicates_at_the_same_time_one_works_and_the_others_wait(db: Database) -> None:
    request_id, at_work, worked = uuid7(), 0, 0

    async def handle() -> Event:
        nonlocal at_work, worked
        async with db.tenant(OURS) as tx:
            answer = await answered(tx, request_id)
            if answer is None:
                at_work += 1
                assert at_work == 1
                await asyncio.sleep(0.05)
                worked += 1
                answer = Event(event_id=f"made {worked}")
                await remember(tx, OURS, request_id, answer)
            return answer

    answers = await asyncio.gather(*(handle() for _ in range(12)))
    assert answers == [Event(event_id="made 1")] * 12


async def test_without_an_id_every_request_is_new(db: Database) -> None:
    for _ in range(2):
        async with db.tenant(OURS) as tx:
            assert await answered(tx, "") is None
            await remember(tx, OURS, "", ANSWER)


@pytest.mark.parametrize(
    "form", ["again", "{id}\n", "urn:uuid:{id}", "{{{id}}}", "{digits}", "{digits:-<36}", " {id}"]
)
async def test_an_id_that_is_no_uuid_is_refused(db: Database, form: str) -> None:
    request_id = uuid7()
    written = form.format(id=request_id, digits=request_id.replace("-", ""))
    async with db.tenant(OURS) as tx:
        with pytest.raises(InvalidRequestId):
            await answered(tx, written)


async def test_answers_are_forgotten_after_seven_days(db: Database) -> None:
    old, new = await answer_first(db), await answer_first(db)
    async with db.tenant(OURS) as tx:
        week = "now() - interval '7 days 1 second'"
        await tx.execute(f"update requests set create_time = {week} where request_id = $1", old)
    async with db.system() as tx:
        assert await forget_old(tx) == 1
        assert await forget_old(tx) == 0
    async with db.tenant(OURS) as tx:
        assert await answered(tx, new) == ANSWER
        assert await answered(tx, old) is None
        await remember(tx, OURS, old, ANSWER)
