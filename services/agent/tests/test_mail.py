"""Mail handed to a server, or written where there is none."""

import email
from dataclasses import replace
from pathlib import Path

import pytest

from services.agent import errors, mail
from services.agent.settings import MailSettings


@pytest.fixture
def settings(tmp_path: Path) -> MailSettings:
    return MailSettings(smtp_url="", sender="books@acme.example", folder=tmp_path / "mail")


def made(settings: MailSettings, to: str = "a@example.com", subject: str = "Grüße"):
    return mail.message(settings, "d-1", to, subject, "Zeile 1\n.\nZeile 2: 12 €")


async def test_without_a_server_mail_is_written_to_a_folder(settings):
    outcome = await mail.send(settings, made(settings), "d-1")
    assert outcome.startswith("written to d-1.eml")
    await mail.send(settings, made(settings), "d-1")
    [file] = settings.folder.iterdir()
    found = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
    assert (found["To"], found["Subject"]) == ("a@example.com", "Grüße")
    assert found["Message-ID"] == "<d-1@acme.example>"
    assert found.get_content().splitlines() == ["Zeile 1", ".", "Zeile 2: 12 €"]


async def test_a_server_gets_it_whole(settings, mailbox):
    mailbox.mails.clear()
    outcome = await mail.send(replace(settings, smtp_url=mailbox.url), made(settings), "d-1")
    assert outcome == "taken by 127.0.0.1"
    [(recipients, raw)] = mailbox.mails
    assert recipients == ["a@example.com"]
    found = email.message_from_bytes(raw, policy=email.policy.default)
    assert found.get_content().splitlines()[-1] == "Zeile 2: 12 €"


async def test_a_refused_recipient_and_a_server_that_is_gone_are_failures(settings, mailbox):
    refused = made(settings, to="x@refused.example")
    with pytest.raises(errors.DeliveryRefused, match="no such mailbox"):
        await mail.send(replace(settings, smtp_url=mailbox.url), refused, "d")
    gone = replace(settings, smtp_url="smtp://127.0.0.1:1")
    with pytest.raises(errors.DeliveryRefused, match="not taken"):
        await mail.send(gone, made(settings), "d")
    wrong = replace(settings, smtp_url=mailbox.url.replace("smtp:", "smtps:"))
    with pytest.raises(errors.DeliveryRefused, match="not taken"):
        await mail.send(wrong, made(settings), "d")


async def test_a_folder_that_cannot_be_written_is_a_failure(settings, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.DeliveryRefused, match="not taken"):
        await mail.send(replace(settings, folder=tmp_path / "file"), made(settings), "d")


@pytest.mark.parametrize("text", ["a@example.com\r\nBcc: x@example.org", "a\n@example.com"])
def test_nothing_can_be_slipped_into_the_head(settings, text):
    with pytest.raises(ValueError, match=r"linefeed|newline|header"):
        made(settings, to=text)
    with pytest.raises(ValueError, match=r"linefeed|newline|header"):
        made(settings, subject=text)
