"""What requests must look like, and what those are told who want to know of a job's end."""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from auditron.agent.v1 import agent_pb2
from auditron.agent.v1.agent_pb2 import Job, ModelBudget, NotificationSettings
from google.protobuf.field_mask_pb2 import FieldMask

from libs.rpc import Violation, check, check_changeable

from .. import errors

EMAILS_MAX = 20
URL_LENGTH_MAX = 2_000
# Narrower than the standards: what stands in a header is seen through at a glance.
_EMAIL = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z0-9-]{2,63}", re.ASCII
)
_URL = re.compile(r"[!-~]+", re.ASCII)
_ENDS = {
    agent_pb2.JOB_STATE_SUCCEEDED: "was read",
    agent_pb2.JOB_STATE_FAILED: "could not be read",
    agent_pb2.JOB_STATE_CANCELLED: "was not read: the job was cancelled",
}


def merged_settings(
    before: NotificationSettings, given: NotificationSettings, mask: FieldMask
) -> NotificationSettings:
    """Return the settings with the fields that the mask names; none named: those that are set."""
    paths = list(mask.paths) or [field.name for field, _ in given.ListFields()]
    check_changeable(given.DESCRIPTOR, paths)
    after = NotificationSettings()
    after.CopyFrom(before)
    FieldMask(paths=paths).MergeMessage(given, after, replace_repeated_field=True)
    check(_settings(after))
    unique = dict.fromkeys(after.emails)
    del after.emails[:]
    after.emails.extend(unique)
    return after


def check_budget(given: ModelBudget, mask: FieldMask, allowed: int) -> None:
    """Raise InvalidArgument for a budget that cannot be set; the platform allows so many tokens."""
    check_changeable(given.DESCRIPTOR, mask.paths)
    if not given.HasField("monthly_tokens_max") or not 0 <= given.monthly_tokens_max <= allowed:
        check([("model_budget.monthly_tokens_max", f"must be from 0 to {allowed}")])


def check_url_form(url: str, *, plain_http: bool) -> None:
    """Raise WebhookUrlForbidden for what is no URL that we would call."""
    schemes = ("https", "http") if plain_http else ("https",)
    wrong = _url_fault(url, schemes)
    if wrong:
        raise errors.WebhookUrlForbidden(
            "The webhook's URL cannot be called.", violations=[("webhook.url", wrong)]
        )


def job_mail(job: Job) -> tuple[str, str]:
    """Return subject and text of the mail about a job that has ended."""
    end = _ENDS[job.state]
    lines = [f"The document of invoice {job.invoice_id} {end}."]
    if job.failure.message:
        lines += ["", job.failure.message]
    for step in job.steps:
        lines += ["", f"{step.name}:", *(f"- {line}" for line in step.log)]
    lines += ["", f"Job {job.job_id}"]
    return f"AUDITRON: a document {end}", "\n".join(lines)


def _settings(settings: NotificationSettings) -> Iterator[Violation]:
    if len(settings.emails) > EMAILS_MAX:
        yield "notification_settings.emails", f"must be at most {EMAILS_MAX}"
    for index, email in enumerate(settings.emails[:EMAILS_MAX]):
        if not _EMAIL.fullmatch(email) or len(email) > 254:
            yield f"notification_settings.emails.{index}", "must be an e-mail address"


def _url_fault(url: str, schemes: tuple[str, ...]) -> str:
    if not _URL.fullmatch(url) or len(url) > URL_LENGTH_MAX:
        return f"must have at most {URL_LENGTH_MAX} characters of ASCII, without blanks"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "must be a URL"
    if parts.scheme not in schemes or not parts.hostname or "%" in parts.hostname:
        return f"must begin with {' or '.join(f'{each}://' for each in schemes)} and name a host"
    if parts.username is not None or parts.password is not None or parts.fragment or port == 0:
        return "must have neither user name, password nor fragment"
    return ""
