"""The house rules that no linter knows: see docs/HOUSE.md."""

import ast
import base64
import importlib
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

import gateway.settings
from libs.blobs import BlobSettings
from libs.rpc import RpcSettings
from libs.run.runtime import ProcessSettings
from libs.telemetry.settings import TelemetrySettings

ROOT = Path(__file__).resolve().parents[2]
SERVICES = sorted(path.parent.name for path in ROOT.glob("services/*/pyproject.toml"))
SKELETON = ("app", "api", "jobs", "rules", "store", "errors", "settings")
BANNED = {
    "util",
    "utils",
    "common",
    "helper",
    "helpers",
    "misc",
    "base",
    "core",
    "shared",
    "manager",
}
FUNCTION_LINES_MAX = 50
MODULE_LINES_MAX = 420
# What some settings do not go without.
SET = {
    "X_DATABASE_URL": "postgresql://",
    "X_SYSTEM_DATABASE_URL": "postgresql://",
    "REDIS_URL": "redis://",
    "AUTH_KEY_ENCRYPTION_KEY": base64.b64encode(bytes(32)).decode(),
    "AGENT_WEBHOOK_KEY": "key",
    "OPENAI_API_KEY": "key",
}
# What no caller is told: a delivery's outcome says it in words.
UNTOLD = {"DELIVERY_REFUSED"}
# An image holds no embedded stores and no stubs for the type checker; boto3 is botocore.
UNDECLARED = ("libs.embedded", "mypy_boto3_s3", "botocore")
SOURCES = [
    path
    for top in ("libs", "services", "gateway", "examples", "tests", "protos")
    for path in sorted((ROOT / top).rglob("*.py"))
    if "__pycache__" not in path.parts
]


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_the_skeleton_a_contract_and_a_chart(service: str) -> None:
    folder = ROOT / "services" / service
    missing = [
        name
        for name in SKELETON
        if not (folder / f"{name}.py").exists() and not (folder / name / "__init__.py").exists()
    ]
    assert not missing
    assert list((folder / "schema").glob("0001_*.sql"))
    for kind in ("api", "rules", "store", "jobs"):
        assert (folder / "tests" / f"test_{kind}.py").exists(), f"tests/test_{kind}.py"
    assert (ROOT / "protos" / "auditron" / service / "v1" / f"{service}.proto").exists()
    assert (ROOT / "charts" / service / "Chart.yaml").exists()


def test_no_file_or_folder_has_a_name_that_says_nothing() -> None:
    named = {path for path in SOURCES if BANNED & {path.stem, *path.relative_to(ROOT).parts}}
    assert not named


def test_every_module_says_in_a_sentence_what_it_holds() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if "tests" not in path.parts
        and path.read_text().strip()
        and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert not silent


def test_test_folders_are_not_packages() -> None:
    assert not list(ROOT.glob("*/*/tests/__init__.py"))


def test_functions_are_no_longer_than_a_screen() -> None:
    long = {
        f"{path.relative_to(ROOT)} {node.name}"
        for path in SOURCES
        if "tests" not in path.relative_to(ROOT).parts
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= FUNCTION_LINES_MAX
    }
    assert not long


def test_modules_are_split_before_they_are_long() -> None:
    long = {
        str(path.relative_to(ROOT))
        for path in SOURCES
        if path.relative_to(ROOT).parts[0] in ("services", "libs")
        and "tests" not in path.parts
        and len(path.read_text().splitlines()) > MODULE_LINES_MAX
    }
    assert not long


def test_what_touches_stores_is_tried_on_their_own_servers_too() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    (second,) = re.findall(r'^second="(.+)"$', script, re.MULTILINE)
    folders = [ROOT / folder for folder in second.split()]
    left_out = [
        path
        for path in SOURCES
        if "tests" in path.parts
        and re.search(r"\bstores: Stores[,)]", path.read_text())
        and not any(path.is_relative_to(folder) for folder in folders)
    ]
    assert not left_out


class Asked(dict[str, str]):
    """An environment that remembers what it was asked for."""

    def __init__(self, values: dict[str, str]) -> None:
        super().__init__(values)
        self.names: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        self.names.add(key)
        return super().get(key, default)


def test_every_setting_is_on_the_page_for_operators() -> None:
    env = Asked(SET)
    for service in SERVICES:
        importlib.import_module(f"services.{service}.settings").Settings.from_env(env)
    gateway.settings.Settings.from_env(env)
    for settings in (ProcessSettings, RpcSettings):
        settings.from_env("x", env)
    for settings in (BlobSettings, TelemetrySettings):
        settings.from_env(env)
    page = (ROOT / "docs/OPERATIONS.md").read_text()
    named = set(re.findall(r"`([A-Z<][A-Z0-9_<>]+)", page))
    for name in env.names:
        assert {name, re.sub("^[A-Z]+_", "<SERVICE>_", name)} & named


def test_the_metrics_to_watch_and_the_files_that_docs_name_exist() -> None:
    code = "\n".join(path.read_text() for path in SOURCES if "tests" not in path.parts)
    watched = re.findall(r"`(auditron_\w+)", (ROOT / "docs/OPERATIONS.md").read_text())
    assert len(watched) > 5
    assert [name for name in watched if f'"{name}"' not in code] == []
    for page in [ROOT / "README.md", ROOT / "charts/README.md", *(ROOT / "docs").glob("*.md")]:
        links = re.findall(r"\]\(([^)#:]+)[^):]*\)", page.read_text())
        assert [link for link in links if not (page.parent / link).exists()] == [], page


@pytest.mark.parametrize("service", SERVICES)
def test_a_contract_names_the_reasons_of_its_service(service: str) -> None:
    contracts = "".join(
        p.read_text() for p in (ROOT / "protos/auditron" / service).rglob("*.proto")
    )
    errors = (ROOT / "services" / service / "errors.py").read_text()
    reasons = re.findall(r'reason[^=\n]*=.*?"([A-Z][A-Z_]+)"', errors)
    assert reasons
    assert {reason for reason in reasons if reason not in contracts} <= UNTOLD


@pytest.mark.parametrize("lib", sorted(path.parent for path in ROOT.glob("libs/*/pyproject.toml")))
def test_a_lib_declares_what_it_imports(lib: Path) -> None:
    declared = tomllib.loads((lib / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.split(r"[\[<>=; ]", each)[0].lower() for each in declared}
    owners = packages_distributions()
    for path in lib.rglob("*.py"):
        if "tests" in path.relative_to(lib).parts:
            continue
        for module in _imported(ast.parse(path.read_text())):
            top, *rest = module.split(".")
            if top in sys.stdlib_module_names or (top == "libs" and rest[:1] == [lib.name]):
                continue
            owning = {f"auditron-{rest[0]}"} if top == "libs" else {*owners.get(top, [top])}
            found = {each.lower().replace("_", "-") for each in owning}
            is_known = found & names or module.startswith(UNDECLARED)
            assert is_known, f"{path}: {module}"


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            plain = node.module == "libs"
            yield from (f"libs.{alias.name}" for alias in node.names) if plain else [node.module]
