"""The install of services/Dockerfile in a clean folder: what is in it, what is not, that it runs.

By default for one service; AUDITRON_IMAGES="auth gateway" names others, AUDITRON_IMAGES=all each.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Template

import pytest
from hatchling.builders.wheel import WheelBuilder

from libs.testkit.stores import Stores

from .conftest import RELEASES, ROOT, SERVICES, Objects, Render
from .starting import Place, held_secrets, run_release

DOCKERFILE = ROOT / "services" / "Dockerfile"
NAMED = os.environ.get("AUDITRON_IMAGES", "billing")
IMAGES = RELEASES if NAMED == "all" else NAMED.split()
PACKAGES = sorted(
    str(path.parent.relative_to(ROOT))
    for pattern in ("libs/*", "services/*", "gateway")
    for path in ROOT.glob(f"{pattern}/pyproject.toml")
)
TOOLS = f"{Path(sys.executable).parent}:{os.environ['PATH']}"


@dataclass(frozen=True)
class Image:
    """What lies at /app in the image, and a folder to work in."""

    name: str
    app: Path
    folder: Path

    @property
    def python(self) -> Path:
        return self.app / "bin" / "python"

    @property
    def packages(self) -> Path:
        (found,) = self.app.glob("lib/python*/site-packages")
        return found

    def run(self, program: str) -> "subprocess.CompletedProcess[str]":
        command = [str(self.python), "-I", "-c", program]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.folder)


def instructions(stage: str) -> Iterator[tuple[str, str]]:
    """Keyword and rest of each instruction of a stage, lines joined and comments left out."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE)
    inside = False
    for line in text.replace("\\\n", " ").splitlines():
        keyword, _, rest = line.partition(" ")
        if keyword == "FROM":
            inside = rest.endswith(f" AS {stage}")
        elif inside and keyword:
            yield keyword, rest.strip()


def install(name: str, folder: Path, lock: str | None = None) -> "subprocess.CompletedProcess[str]":
    """Do what the Dockerfile's stage `install` does, below `folder`; the last command's outcome."""
    source = folder / "src"
    source.mkdir(parents=True)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"PATH": TOOLS, "SERVICE": name}
    if name not in SERVICES:
        environment["FOLDER"] = name
    outcome = None
    for keyword, rest in instructions("install"):
        if keyword == "ARG":
            key, _, default = rest.partition("=")
            environment.setdefault(key, Template(default).substitute(environment))
        elif keyword == "ENV":
            environment |= dict(pair.split("=", 1) for pair in shlex.split(rest))
            environment["VIRTUAL_ENV"] = str(folder / "app")
        elif keyword == "COPY" and not rest.startswith("--from"):
            *paths, target = Template(rest).substitute(environment).split()
            for path in paths:
                copy(ROOT / path, source / target)
            if lock is not None and (source / "requirements.lock").exists():
                (source / "requirements.lock").write_text(lock)
        elif keyword == "RUN":
            command = re.sub(r"--mount=\S+", "", rest)
            outcome = subprocess.run(
                ["sh", "-euc", command],
                cwd=source,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
    assert outcome, "the Dockerfile has a RUN"
    return outcome


def copy(path: Path, target: Path) -> None:
    """Copy as COPY does: a folder's content, or a file into a folder."""
    if path.is_dir():
        ignored = shutil.ignore_patterns("__pycache__", "tests")
        shutil.copytree(path, target, ignore=ignored, dirs_exist_ok=True)
    else:
        shutil.copy(path, target)


@pytest.fixture(scope="module", params=IMAGES)
def image(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Image]:
    if shutil.which("uv", path=TOOLS) is None:
        pytest.skip("uv, with which the image installs, is not here")
    folder = tmp_path_factory.mktemp(request.param)
    outcome = install(request.param, folder)
    assert outcome.returncode == 0, outcome.stderr
    shutil.rmtree(folder / "src")
    (folder / "work").mkdir()
    yield Image(request.param, folder / "app", folder / "work")
    shutil.rmtree(folder)


def test_everything_in_it_has_the_version_of_the_lock(image: Image) -> None:
    locked = set(
        re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    )
    listed = image.run(
        "import importlib.metadata as m, json;"
        "print(json.dumps([[d.name, d.version] for d in m.distributions()]))"
    )
    installed = {
        (re.sub(r"[-_.]+", "-", name).lower(), version)
        for name, version in json.loads(listed.stdout)
    }
    ours = {(name, version) for name, version in installed if name.startswith("auditron-")}
    assert (f"auditron-{image.name}", "1") in ours
    assert installed - ours <= locked


def test_a_file_whose_hash_is_not_in_the_lock_is_refused(image: Image, tmp_path: Path) -> None:
    lock = (ROOT / "requirements.lock").read_text()
    outcome = install(image.name, tmp_path, re.sub(r"sha256:\w{4}", "sha256:dead", lock))
    assert outcome.returncode != 0
    assert "Hash mismatch" in outcome.stderr


def test_its_own_package_can_be_imported_and_no_other_service_can(image: Image) -> None:
    own = "gateway" if image.name == "gateway" else f"services.{image.name}"
    folder = ROOT / own.replace(".", "/")
    module = f"{own}.app" if (folder / "app.py").exists() else own
    assert (imported := image.run(f"import {module}")).returncode == 0, imported.stderr
    others = {"gateway", *(f"services.{name}" for name in SERVICES)} - {own}
    for other in [*others, "libs.embedded", "libs.testkit"]:
        refused = image.run(f"import {other}")
        assert f"No module named '{other.split('.')[0]}" in refused.stderr
        assert refused.returncode != 0


@pytest.mark.parametrize("package", PACKAGES)
def test_a_wheel_holds_all_of_its_folder_but_the_tests(package: str) -> None:
    folder = ROOT / package
    files = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    wanted = {
        f"{package}/{path}"
        for path in files
        if not {"tests", "__pycache__"} & set(path.parts) and path.name != "pyproject.toml"
    }
    packed = WheelBuilder(str(folder)).recurse_included_files()
    assert {file.distribution_path for file in packed} == wanted


async def test_it_migrates_and_runs_in_every_role_with_what_its_chart_gives_it(
    image: Image, render: Render, platform: Objects, stores: Stores
) -> None:
    secrets = held_secrets(platform, image.name, stores, await stores.database())
    place = Place(image.python, image.folder, image.folder / "output.log")
    await run_release(render(image.name), secrets, place)


@pytest.mark.parametrize("name", [name for name in RELEASES if name not in IMAGES])
async def test_every_other_service_runs_with_what_its_chart_gives_it(
    name: str, render: Render, platform: Objects, stores: Stores, tmp_path: Path
) -> None:
    secrets = held_secrets(platform, name, stores, await stores.database())
    place = Place(Path(sys.executable), ROOT, tmp_path / "output.log")
    await run_release(render(name), secrets, place)
