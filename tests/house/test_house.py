"""The house rules that no linter knows: see docs/HOUSE.md."""

import ast
import re
from pathlib import Path

import pytest

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
    long = []
    for path in SOURCES:
        if "tests" in path.relative_to(ROOT).parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                long.append((length, f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"))
    longest = sorted(long, reverse=True)[:10]
    files = sorted(((len(p.read_text().splitlines()), p) for p in SOURCES), reverse=True)[:10]
    print("\n".join(f"{length:4} {name}" for length, name in longest))  # noqa: T201
    print("\n".join(f"{length:4} {path.relative_to(ROOT)}" for length, path in files))  # noqa: T201
    assert longest[0][0] <= 70, longest[0]


def test_the_metrics_to_watch_and_the_files_that_docs_name_exist() -> None:
    code = "\n".join(path.read_text() for path in SOURCES if "tests" not in path.parts)
    watched = re.findall(r"`(auditron_\w+)", (ROOT / "docs/OPERATIONS.md").read_text())
    assert len(watched) > 5
    assert [name for name in watched if f'"{name}"' not in code] == []
    for page in [ROOT / "README.md", ROOT / "charts/README.md", *(ROOT / "docs").glob("*.md")]:
        links = re.findall(r"\]\(([^)#:]+)[^):]*\)", page.read_text())
        assert [link for link in links if not (page.parent / link).exists()] == [], page
