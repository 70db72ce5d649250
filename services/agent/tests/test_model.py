"""A model's server in all its moods, over the wire."""

import asyncio
import base64
import json

import pytest

from services.agent import model as models
from services.agent.model import Model, ModelUnavailable
from services.agent.settings import ModelSettings
from services.agent.tests.peers import Answer, completion

FIELDS = ("invoice_number", "gross")
CLAIMS = {"invoice_number": "A-1", "gross": "119.00"}


@pytest.fixture
async def asked(receiver, monkeypatch):
    monkeypatch.setattr(models, "PAUSE_S", 0.01)
    settings = ModelSettings("key", f"{receiver.url}/v1", "test-model", timeout_s=0.5)
    model = Model(settings, FIELDS)
    yield model
    await model.close()


async def test_an_answer_comes_with_what_it_cost(asked, receiver):
    receiver.answers(completion(CLAIMS | {"surplus": "x"}))
    question = models.question(["Invoice A-1", "Total 119.00"])
    answer = await asked.ask(question, "call-1")
    assert answer.claims == CLAIMS
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (120, 30)
    assert (answer.usage.model, answer.usage.prompt_version) == ("test-model", "2")
    [call] = receiver.calls
    assert call.path == "/v1/chat/completions"
    assert call.headers["idempotency-key"] == "call-1"
    assert call.headers["authorization"] == "Bearer key"
    system, user = call.json["messages"]
    assert "never instructions" in system["content"]
    assert json.loads(user["content"]) == {"pages": ["Invoice A-1", "Total 119.00"]}
    schema = call.json["response_format"]["json_schema"]
    assert schema["strict"] is True
    assert schema["schema"]["required"] == list(FIELDS)


@pytest.mark.parametrize(
    "trouble",
    [
        Answer(429, b'{"error":{"message":"slow down"}}', {"Retry-After": "0.01"}),
        Answer(500, b"<html>"),
        Answer(503),
        Answer(200, b"{not json", {"Content-Type": "application/json"}),
        Answer(200, b"<html>hello</html>", {"Content-Type": "text/html"}),
        Answer(200, b"{}", {"Content-Type": "application/json"}),
        Answer(200, b"null", {"Content-Type": "application/json"}),
        Answer(body=completion(CLAIMS).body, cut_at=40),
        Answer(late_s=0.8),
        completion("no json at all"),
        completion('{"invoice_number": '),
        completion("[1]"),
        completion("null"),
        completion(""),
        completion(CLAIMS, finish="length"),
    ],
)
async def test_trouble_that_may_pass_is_tried_again(asked, receiver, trouble):
    receiver.answers(trouble, completion(CLAIMS))
    assert (await asked.ask("{}", "c")).claims == CLAIMS
    assert len(receiver.calls) == 2


@pytest.mark.parametrize("status", [400, 401, 404])
async def test_trouble_that_will_not_pass_is_not(asked, receiver, status):
    receiver.answers(Answer(status, b"{}"))
    with pytest.raises(ModelUnavailable, match=str(status)):
        await asked.ask("{}", "c")
    assert len(receiver.calls) == 1


async def test_what_could_not_be_used_has_cost_something_too(asked, receiver):
    receiver.answers(completion("no json"), completion("[]"), completion(CLAIMS))
    usage = (await asked.ask("{}", "c")).usage
    assert (usage.input_tokens, usage.output_tokens) == (360, 90)
    assert (usage.cost.amount, usage.cost.currency_code) == ("0.000288", "USD")
    receiver.answers(completion(CLAIMS, refusal="No."))
    with pytest.raises(ModelUnavailable) as refused:
        await asked.ask("{}", "c")
    assert refused.value.usage.input_tokens == 120
    receiver.answers(completion("no json"))
    with pytest.raises(ModelUnavailable) as unusable:
        await asked.ask("{}", "c")
    assert unusable.value.usage.output_tokens == 90


async def test_pictures_of_pages_follow_the_text(asked, receiver):
    receiver.answers(completion(CLAIMS))
    await asked.ask("{}", "c", [b"\x89PNG1", b"\x89PNG2"])
    text, *pictures = receiver.calls[0].json["messages"][1]["content"]
    assert text == {"type": "text", "text": "{}"}
    urls = [each["image_url"]["url"] for each in pictures]
    assert [base64.b64decode(url.removeprefix("data:image/png;base64,")) for url in urls] == [
        b"\x89PNG1",
        b"\x89PNG2",
    ]


async def test_a_refusal_is_taken_as_one(asked, receiver):
    receiver.answers(completion(CLAIMS, refusal="I cannot help with that."))
    with pytest.raises(ModelUnavailable, match="refused"):
        await asked.ask("{}", "c")
    assert len(receiver.calls) == 1


async def test_the_server_says_how_long_to_wait(asked, receiver):
    receiver.answers(Answer(429, headers={"Retry-After": "0.3"}), completion(CLAIMS))
    begun = asyncio.get_running_loop().time()
    await asked.ask("{}", "c")
    assert asyncio.get_running_loop().time() - begun >= 0.3


@pytest.mark.parametrize(
    ("header", "pause"), [(None, 2), ("", 2), ("soon", 2), ("nan", 2), ("5", 5), ("9999", 20)]
)
def test_how_long_is_within_reason(header, pause):
    assert models._asked_pause(header, 2) == pause


async def test_a_server_without_answers_is_left_alone_for_a_while(receiver, monkeypatch):
    monkeypatch.setattr(models, "PAUSE_S", 0)
    now = 100.0
    settings = ModelSettings("key", f"{receiver.url}/v1", "test-model")
    model = Model(settings, FIELDS, clock=lambda: now)
    receiver.answers(Answer(500))
    for _ in range(models.TROUBLE_MAX):
        with pytest.raises(ModelUnavailable, match="500"):
            await model.ask("{}", "c")
    tried = len(receiver.calls)
    with pytest.raises(ModelUnavailable, match="left alone"):
        await model.ask("{}", "c")
    assert len(receiver.calls) == tried
    now += models.REST_S + 1
    with pytest.raises(ModelUnavailable, match="500"):
        await model.ask("{}", "c")
    with pytest.raises(ModelUnavailable, match="left alone"):
        await model.ask("{}", "c")
    now += models.REST_S + 1
    receiver.answers(completion(CLAIMS))
    assert (await model.ask("{}", "c")).claims == CLAIMS
    receiver.answers(Answer(500), completion(CLAIMS))
    assert (await model.ask("{}", "c")).claims == CLAIMS
    await model.close()


def test_a_long_document_is_cut():
    pages = models.shown(["x" * 20_000] * 5)
    assert [len(page) for page in pages] == [20_000, 4_000]
