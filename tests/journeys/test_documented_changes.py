"""The changes that ARCHITECTURE.md follows, made in a copy of the tree as they stand there."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from examples.demo import NOTHING_FOREIGN
from libs.embedded.embedded import REPLACED_BY
from libs.run.platform import ROOT

COPIED = ("gateway", "libs", "protos", "services")
START_S = 120


def documented() -> list[str]:
    """The diffs of the section, in their order."""
    page = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
    return re.findall(
        r"```diff\n(.*?)```", page.partition("## Two changes, followed")[2], re.DOTALL
    )


def apply(diff: str, root: Path) -> None:
    """Make the changes of a diff whose files begin by `--- path`, and whose hunks `@@` parts."""
    for change in re.split(r"^--- ", diff, flags=re.MULTILINE)[1:]:
        name, _, body = change.partition("\n")
        file = root / name
        text = file.read_text() if file.exists() else ""
        for hunk in re.split(r"^@@\n", body, flags=re.MULTILINE):
            lines = hunk.splitlines(keepends=True)
            before = "".join(line[1:] for line in lines if line[0] != "+")
            after = "".join(line[1:] for line in lines if line[0] != "-")
            assert text.count(before) == 1, f"{name} has no such place, or several: {before}"
            text = text.replace(before, after)
        file.write_text(text)


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree with both changes, and the code made of its contracts."""
    root = tmp_path_factory.mktemp("changed")
    for name in COPIED:
        shutil.copytree(ROOT / name, root / name)
    shutil.copy(ROOT / "pyproject.toml", root)
    field, rpc = documented()
    apply(field, root)
    apply(rpc, root)
    pip = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-index", "--no-deps"]
    run(root, *pip, "--no-build-isolation", "--target", str(root), "./protos")
    (root / "auditron" / "__init__.py").touch()  # so that it hides the contracts as installed
    return root


def environment(root: Path) -> dict[str, str]:
    """The environment of a process that runs the copy, over stores of its own."""
    kept = {name: value for name, value in os.environ.items() if name not in REPLACED_BY.values()}
    return kept | NOTHING_FOREIGN | {"PYTHONPATH": str(root)}


def run(root: Path, *arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], cwd=root, env=environment(root), check=True)


@pytest.fixture(scope="module")
def http(changed: Path) -> Iterator[httpx.Client]:
    """Somebody who has signed up at the changed platform."""
    log = changed / "platform.log"
    command = [sys.executable, "-m", "libs.run", "--data", str(changed / "data")]
    with (
        log.open("w") as out,
        subprocess.Popen(command, cwd=changed, env=environment(changed), stderr=out) as platform,
    ):
        try:
            deadline = time.monotonic() + START_S
            while "first login" not in log.read_text():
                assert platform.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            [url] = re.findall(r"REST API +(\S+)/v1", log.read_text())
            with httpx.Client(base_url=url, timeout=30) as client:
                tokens = client.post("/v1/signup", json={
                    "email": "somebody@example.com", "password": "a password for changes",
                    "organization_name": "Harbour Lane", "base_currency_code": "EUR",
                }).raise_for_status().json()  # fmt: skip
                client.headers["Authorization"] = f"Bearer {tokens['access_token']}"
                yield client
        finally:
            platform.terminate()


def test_a_field_is_created_read_changed_listed_and_described(http: httpx.Client) -> None:
    made = http.post("/v1/invoices", json={"invoice_number": "1", "cost_centre": "CC7"}).json()
    assert made["cost_centre"] == "CC7"
    path = f"/v1/invoices/{made['invoice_id']}"
    assert http.get(path).json() == made
    patched = http.patch(path, json={"cost_centre": "CC8"})
    assert (patched.status_code, patched.json()["cost_centre"]) == (200, "CC8")
    assert [each["cost_centre"] for each in http.get("/v1/invoices").json()["invoices"]] == ["CC8"]
    refused = http.patch(path, json={"cost_centre": "x" * 201})
    assert (refused.status_code, refused.json()["reason"]) == (400, "INVALID_ARGUMENT")
    assert "Code of the cost centre." in http.get("/openapi.json").text


def test_an_rpc_is_served_through_rest(http: httpx.Client) -> None:
    before = http.get("/v1/invoices:count_in_review").json().get("invoice_count", 0)
    http.post("/v1/invoices", json={"invoice_number": "2"}).raise_for_status()
    assert http.get("/v1/invoices:count_in_review").json() == {"invoice_count": before + 1}


def test_the_documented_test_of_the_rpc_passes(changed: Path) -> None:
    run(changed, "-m", "pytest", "services/invoice/tests/test_api.py", "-k", "are_counted")
