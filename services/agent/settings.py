"""Everything that an operator of agent can set."""

import hmac
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path


@dataclass(frozen=True)
class ModelSettings:
    """Which model is asked, and when: for a document with a field less sure than `ask_below`."""

    api_key: str = field(repr=False)
    base_url: str | None = None
    name: str = "gpt-4.1-mini"
    timeout_s: float = 30.0
    ask_below: float = 0.9
    # What an organization may use of it in a month; its own budget may be less.
    monthly_tokens_max: int = 2_000_000
    # Of a million tokens, read and written; and in which currency. '': unknown.
    prices: tuple[Decimal, Decimal] = (Decimal("0.40"), Decimal("1.60"))
    price_currency_code: str = "USD"


@dataclass(frozen=True)
class MailSettings:
    """Where mail goes: to a server, or without one into a folder."""

    # smtp://user:password@host:port (STARTTLS where the server has it) or smtps://…
    smtp_url: str = field(repr=False)
    sender: str
    folder: Path


@dataclass(frozen=True)
class Settings:
    """Secrets, and whom we talk to."""

    # Signs what webhooks are sent: each has a secret of its own, derived from this.
    webhook_key: bytes = field(repr=False)
    mail: MailSettings
    model: ModelSettings | None = None
    # Whether webhooks may be plain http and lie in private networks.
    webhooks_may_be_private: bool = False
    # Pages that are recognised at the same time, each by a process of up to 2 GB.
    ocr_processes: int = 1

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> "Settings":
        """Read AGENT_*, OPENAI_* and SMTP_URL; ValueError for what is missing or malformed."""
        key = env.get("AGENT_WEBHOOK_KEY", "").encode()
        secret = env.get("AGENT_SERVICE_SECRET", "").encode()
        if not key and not secret:
            raise ValueError("neither AGENT_WEBHOOK_KEY nor AGENT_SERVICE_SECRET is set")
        smtp_url = env.get("SMTP_URL", "")
        if smtp_url and not smtp_url.startswith(("smtp://", "smtps://")):
            raise ValueError("SMTP_URL is neither smtp://… nor smtps://…")
        aside = Path(tempfile.gettempdir(), f"auditron-{os.getuid()}", "mail")
        return cls(
            webhook_key=key or hmac.digest(secret, b"webhooks", "sha256"),
            mail=MailSettings(
                smtp_url=smtp_url,
                sender=env.get("AGENT_MAIL_FROM", "auditron@localhost"),
                folder=Path(env.get("AGENT_MAIL_FOLDER") or aside),
            ),
            model=_model(env),
            webhooks_may_be_private=env.get("AGENT_WEBHOOK_ALLOW_PRIVATE", "") == "1",
            ocr_processes=int(env.get("AGENT_OCR_PROCESSES", "1")),
        )


def _model(env: Mapping[str, str]) -> ModelSettings | None:
    key = env.get("OPENAI_API_KEY", "")
    if not key:
        return None
    name = env.get("AGENT_MODEL") or ModelSettings.name
    read, written, currency_code = _prices(env.get("AGENT_MODEL_PRICES", ""), name)
    most = int(env.get("AGENT_MODEL_MONTHLY_TOKENS", str(ModelSettings.monthly_tokens_max)))
    return ModelSettings(
        api_key=key,
        base_url=env.get("OPENAI_BASE_URL") or None,
        name=name,
        timeout_s=float(env.get("AGENT_MODEL_TIMEOUT_S", str(ModelSettings.timeout_s))),
        ask_below=float(env.get("AGENT_MODEL_ASK_BELOW", str(ModelSettings.ask_below))),
        monthly_tokens_max=most,
        prices=(read, written),
        price_currency_code=currency_code,
    )


def _prices(text: str, model: str) -> tuple[Decimal, Decimal, str]:
    """Read "0.40 1.60 USD"; without it, those of the model that is asked by default."""
    if not text and model == ModelSettings.name:
        return *ModelSettings.prices, ModelSettings.price_currency_code
    if not text:
        return Decimal(0), Decimal(0), ""
    try:
        read, written, currency_code = text.split()
        return Decimal(read), Decimal(written), currency_code
    except (ValueError, InvalidOperation) as error:
        raise ValueError("AGENT_MODEL_PRICES is not like 0.40 1.60 USD") from error
