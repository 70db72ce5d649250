"""Has a document read in a sandbox, and asks the model about what was not read surely."""

import asyncio
import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from auditron.agent.v1.agent_pb2 import ModelUsage

from libs.pg import Database
from libs.pg.rows import to_message
from libs.sandbox import Sandbox, SandboxError, SandboxKilled

from .. import errors, rules, store
from ..model import PROMPT_VERSION, Model, ModelUnavailable, question, shown

log = logging.getLogger(__name__)

READING_MODULE = "services.agent.reading"
OCR_MODULE = "services.agent.reading.ocr_loaded"
READ = f"{READING_MODULE}:read_document"
LEARN = f"{READING_MODULE}.learning:learn"
PICTURES = f"{READING_MODULE}.pictures:pictures"
CUT = f"{READING_MODULE}.cutting:cut"
PDF = "application/pdf"
# What a text layer may lack and its picture have.
_PERHAPS_SCANNED = ("EMPTY", "NOT_AN_INVOICE")
# Failures that are the machine's and not the document's.
_OURS = frozenset({"StartFailed", "ImportError", "ModuleNotFoundError", "OSError"})

NO_MEMORY = "It takes more memory than it may"
NO_TIME = "It takes more time than it may"

Answer = dict[str, Any]


class Extraction:
    """Two pools of readers, of little memory for text and of much for pictures, and the model."""

    def __init__(
        self, db: Database, text_readers: Sandbox, ocr_readers: Sandbox, model: Model | None
    ) -> None:
        self._db = db
        self._text_readers = text_readers
        self._ocr_readers = ocr_readers
        self._model = model

    async def warm(self, _: asyncio.Event) -> None:
        """Have the models for pictures loaded before the first one comes, beside other work."""
        try:
            await self._ocr_readers.run(f"{OCR_MODULE}:load")
        except (SandboxKilled, SandboxError) as error:
            log.warning("the models for pictures did not load", extra={"error": str(error)})

    async def read(
        self, path: Path, content_type: str, hints: Mapping[str, Any] | None = None
    ) -> tuple[Answer, list[str]]:
        """Return what the engine answers, and how it was read, in words.

        Pictures are recognised, those between pages of text too, and so are pages whose text layer
        has no total. The hints are the supplier's, as `learn` gives them. Raises
        DocumentUnreadable, and SandboxKilled or SandboxError where another attempt may do better.
        """
        if content_type.startswith("image/"):
            return await self._read(self._ocr_readers, path, content_type, hints, ocr=True), []
        answer, unreadable = None, None
        try:
            answer = await self._read(self._text_readers, path, content_type, hints, ocr=False)
        except errors.DocumentUnreadable as error:
            if content_type != PDF or error.metadata["cause"] not in _PERHAPS_SCANNED:
                raise
            unreadable = error
        layered = answer is not None and rules.is_scan(answer)
        pictured = answer is not None and rules.has_pictures(answer)
        done = answer and (answer["syntax"] or "gross" in answer["fields"])
        if answer and done and not layered and not pictured:
            return answer, []
        try:
            seen = await self._read(self._ocr_readers, path, content_type, hints, ocr=True)
        except errors.DocumentUnreadable:
            if answer is None or layered:  # nobody sees what a scan's own layer says
                raise
            return answer, ["the pages were looked at too, which gave nothing more"]
        why = "has no text" if unreadable else "has no total in its text"
        why = "is a scan" if layered else "has pages that are pictures" if done else why
        return seen, [f"the document {why}, so its pages were recognised"]

    async def complete(
        self, work: store.Work, answer: Answer, path: Path | None = None
    ) -> tuple[Answer, list[str], ModelUsage | None]:
        """Return the answer with what the model adds where it is unsure, notes, and the cost.

        Without a model, or where it does not answer, the answer stands as it is. Of a document
        without text layer it is shown the pages themselves, unless they speak to it.
        """
        model = self._model
        if model is None or not rules.is_unsure(answer, model.settings.ask_below):
            return answer, [], None
        pages = shown(answer["text"])
        try:
            pictures = await self._pictures(path) if path and rules.is_shown(answer) else []
            claims, usage = await self._ask(model, work, question(pages), pictures)
        except ModelUnavailable as error:
            spent = error.usage if error.usage.input_tokens else None
            return answer, [f"the model {model.settings.name} did not help: {error}"], spent
        # In a thread: of some texts it takes half a second.
        admitted, dropped = await asyncio.to_thread(rules.admit, claims, pages)
        answer, notes = rules.merge(answer, admitted, model.settings.name)
        asked = f"{model.settings.name} was asked and read {len(admitted)} fields"
        return answer, [asked, *dropped, *notes], usage

    async def _ask(
        self, model: Model, work: store.Work, asked: str, pictures: Sequence[bytes]
    ) -> tuple[dict[str, Any], ModelUsage]:
        """Ask once: the intent is written before, and an answer that is there is used again."""
        named = f"{model.settings.name}\0{PROMPT_VERSION}\0{asked}".encode("utf-8", "replace")
        digest = hashlib.sha256(b"".join((named, *pictures))).digest()
        async with self._db.tenant(work.organization_id) as tx:
            call = await store.open_model_call(
                tx, work, digest, model.settings.name, PROMPT_VERSION
            )
            budget = await store.get_model_budget(tx, model.settings.monthly_tokens_max)
        if call["answer"] is not None:
            return json.loads(call["answer"]), to_message(call, ModelUsage)
        call_id = str(call["call_id"])
        try:
            if rules.is_spent(budget):
                most = f"{budget.monthly_tokens_max:,} tokens"
                raise ModelUnavailable(f"the month's budget of {most} is used up")
            answer = await model.ask(asked, call_id, pictures)
        except ModelUnavailable as error:
            async with self._db.tenant(work.organization_id) as tx:
                await store.end_model_call(tx, call_id, None, error.usage, str(error))
            raise
        async with self._db.tenant(work.organization_id) as tx:
            await store.end_model_call(tx, call_id, json.dumps(answer.claims), answer.usage)
        return answer.claims, answer.usage

    async def _pictures(self, path: Path) -> list[bytes]:
        """Return the first pages as pictures; none where that fails: the text is there too."""
        try:
            pictures: list[bytes] = await self._text_readers.run(PICTURES, path)
        except (SandboxKilled, SandboxError) as error:
            log.warning("the pages were not painted", extra={"error": str(error)})
            return []
        return pictures

    async def learn(
        self, path: Path, content_type: str, values: Mapping[str, str], *, ocr: bool
    ) -> dict[str, Any]:
        """Return hints by field: where these values stand. Raises as `read` does."""
        readers = self._ocr_readers if ocr else self._text_readers
        options = {"ocr": ocr, "values": dict(values)}
        return await self._run(readers, LEARN, path, content_type, options)

    async def cut(
        self, path: Path, content_type: str, first_page: int, last_page: int
    ) -> tuple[bytes, int]:
        """Return these pages as a file of their own, and which was the last; given 0, the file's.

        Raises as `read` does.
        """
        options = {"first_page": first_page, "last_page": last_page}
        made = await self._run(self._text_readers, CUT, path, content_type, options)
        return made["data"], made["last_page"]

    async def _read(
        self,
        readers: Sandbox,
        path: Path,
        content_type: str,
        hints: Mapping[str, Any] | None,
        *,
        ocr: bool,
    ) -> Answer:
        options = {"ocr": ocr, "text": self._model is not None, "hints": dict(hints or {})}
        return await self._run(readers, READ, path, content_type, options)

    async def _run(
        self,
        readers: Sandbox,
        function: str,
        path: Path,
        content_type: str,
        options: dict[str, Any],
    ) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = await readers.run(function, path, content_type, options)
        except SandboxKilled as killed:
            if killed.reason in ("time", "crash"):
                raise  # the machine may have been busy, or going down
            text = NO_MEMORY if killed.reason == "memory" else NO_TIME
            raise _unreadable("LIMIT_EXCEEDED", text) from killed
        except SandboxError as error:
            if error.kind in _OURS:
                raise
            if error.kind == "Unreadable":
                cause, _, message = error.message.partition(": ")
                raise _unreadable(cause, message) from error
            if "bad_alloc" in error.message:  # as libraries in C++ say it
                raise _unreadable("LIMIT_EXCEEDED", NO_MEMORY) from error
            log.exception("the reader failed", extra={"kind": error.kind})
            raise _unreadable("READER_FAILED", "It has a form that the reader fails on.") from error
        return answer


def _unreadable(cause: str, message: str) -> errors.DocumentUnreadable:
    return errors.DocumentUnreadable(rules.unreadable_text(cause, message), cause=cause)
