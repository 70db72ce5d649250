"""Sends mail to a server, or writes it into a folder where none is set."""

import asyncio
import logging
import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate
from pathlib import Path
from urllib.parse import unquote, urlsplit

from . import errors
from .settings import MailSettings

log = logging.getLogger(__name__)

SEND_S = 20.0
_PORTS = {"smtp": 25, "smtps": 465}
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def message(
    settings: MailSettings, delivery_id: str, recipient: str, subject: str, text: str
) -> EmailMessage:
    """Return a mail; ValueError for a line break in what goes into its head.

    Sent twice, it has the same id, so that a server can tell.
    """
    made = EmailMessage()
    made["From"] = settings.sender
    made["To"] = recipient
    made["Subject"] = subject
    made["Date"] = formatdate()
    made["Message-ID"] = f"<{delivery_id}@{settings.sender.partition('@')[2] or 'localhost'}>"
    made["Auto-Submitted"] = "auto-generated"
    made.set_content(text, cte="quoted-printable")
    return made


async def send(settings: MailSettings, mail: EmailMessage, delivery_id: str) -> str:
    """Send a mail and return how, in words. Raises DeliveryRefused."""
    try:
        if settings.smtp_url:
            return await asyncio.to_thread(_hand_over, settings.smtp_url, mail)
        file = settings.folder / f"{delivery_id}.eml"
        await asyncio.to_thread(_write, file, mail)
    except (smtplib.SMTPException, OSError) as error:
        text = str(error) or type(error).__name__
        raise errors.DeliveryRefused(f"mail was not taken: {text[:300]}") from error
    log.info("mail written", extra={"file": str(file), "subject": mail["Subject"]})
    return f"written to {file.name}, because no mail server is set"


def _write(file: Path, mail: EmailMessage) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_suffix(".new")
    aside.write_bytes(bytes(mail))
    aside.replace(file)


def _hand_over(url: str, mail: EmailMessage) -> str:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    context = ssl.create_default_context()
    if parts.scheme == "smtps":
        server: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=SEND_S, context=context)
    else:
        server = smtplib.SMTP(host, port, timeout=SEND_S)
    with server:
        server.ehlo()
        encrypted = parts.scheme == "smtps"
        if not encrypted and server.has_extn("starttls"):
            server.starttls(context=context)
            server.ehlo()
            encrypted = True
        if parts.username:
            if not encrypted and host not in _LOOPBACK:
                raise smtplib.SMTPException("the server offers no encryption for the password")
            server.login(unquote(parts.username), unquote(parts.password or ""))
        refused = server.send_message(mail)
    assert not refused, "there is one recipient, and its refusal raises"
    return f"taken by {host}"
