"""The Tiltfile, evaluated with built-ins that write down what they are asked to do."""

import subprocess
from dataclasses import dataclass, field
from typing import Any

import pytest

from .conftest import RELEASES, ROOT, Helm, parse, templates

starlark = pytest.importorskip("starlark", reason="starlark-pyo3 has no wheel for this machine")
FOLDER = ROOT / "tilt"


@dataclass
class Recorded:
    images: dict[str, dict[str, Any]] = field(default_factory=dict)
    releases: dict[str, dict[str, Any]] = field(default_factory=dict)

    def docker_build(self, ref: str, context: str, **options: Any) -> None:
        assert ref not in self.images
        self.images[ref] = {"context": context, **options}

    def helm_resource(self, name: str, chart: str, **options: Any) -> None:
        assert name not in self.releases
        self.releases[name] = {"chart": chart, **options}


def local(command: str, *, dir: str, quiet: bool) -> str:  # noqa: A002  # Tilt's name
    assert quiet
    return subprocess.run(
        command, shell=True, check=True, capture_output=True, text=True, cwd=FOLDER / dir
    ).stdout


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    found = Recorded()
    extension = starlark.Module()
    extension.add_callable("helm_resource", found.helm_resource)
    module = starlark.Module()
    module.add_callable("local", local)
    module.add_callable("docker_build", found.docker_build)
    text = (FOLDER / "Tiltfile").read_text()
    program = starlark.parse("Tiltfile", text, starlark.Dialect.extended())
    loader = starlark.FileLoader({"ext://helm_resource": extension.freeze()}.__getitem__)
    starlark.eval(module, program, starlark.Globals.standard(), loader)
    return found


def test_there_is_one_image_and_one_release_for_each_service_and_the_gateway(
    recorded: Recorded,
) -> None:
    assert set(recorded.images) == {f"auditron-{name}" for name in RELEASES}
    assert set(recorded.releases) == {*RELEASES, "platform"}
    for name in RELEASES:
        release = recorded.releases[name]
        assert release["image_deps"] == [f"auditron-{name}"]
        assert release["resource_deps"] == ["platform"]
        assert release["chart"] == f"../charts/{name}"


def test_an_image_is_built_from_the_one_dockerfile_out_of_what_it_needs(recorded: Recorded) -> None:
    for image in recorded.images.values():
        assert (FOLDER / image["dockerfile"]).resolve() == ROOT / "services" / "Dockerfile"
        context = (FOLDER / image["context"]).resolve()
        assert context == ROOT
        assert image["build_args"]["FOLDER"] in image["only"]
        assert all((context / path).exists() for path in image["only"])


def test_helm_takes_the_flags_and_the_image_that_tilt_gives_it(
    recorded: Recorded, helm: Helm
) -> None:
    for name, release in recorded.releases.items():
        chart = str((FOLDER / release["chart"]).resolve())
        flags = [*release["flags"], "--namespace", release["namespace"]]
        for key in release.get("image_keys", []):  # (repository, tag)
            flags += ["--set", f"{key[0]}=localhost:5005/auditron-{name}"]
            flags += ["--set", f"{key[1]}=tilt-1"]
        result = helm("template", name, chart, *flags)
        assert result.returncode == 0, result.stderr
        images = {
            container["image"]
            for _, template in templates(parse(result.stdout))
            for container in template["spec"]["containers"]
        }
        if name != "platform":
            assert images == {f"localhost:5005/auditron-{name}:tilt-1"}
