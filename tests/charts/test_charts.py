"""What the charts render is valid, scales within bounds, and comes from values that are checked."""

import functools
import json
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from .conftest import (
    OPTIONS,
    RELEASES,
    ROOT,
    SERVICES,
    Helm,
    Objects,
    Render,
    named,
    of,
    parse,
    selects,
    templates,
)

FOREIGN = {"Certificate", "ServiceMonitor"}  # kinds that are not Kubernetes' own
# It reads megabytes of schema for every object otherwise.
kubernetes_validate.utils.schema_contents = functools.cache(
    kubernetes_validate.utils.schema_contents
)
VERSIONS = ("1.30", kubernetes_validate.latest_version())  # the oldest that the charts allow


def identity(item: dict[str, Any]) -> tuple[str, str]:
    return item["kind"], item["metadata"]["name"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("options", [(), OPTIONS], ids=["defaults", "options"])
@pytest.mark.parametrize("chart", RELEASES)
def test_what_a_chart_renders_is_valid_for_kubernetes(
    render: Render, chart: str, options: tuple[str, ...], version: str
) -> None:
    kinds = set()
    for item in render(chart, *options):
        kinds.add(item["kind"])
        if item["kind"] not in FOREIGN:
            kubernetes_validate.validate(item, version, strict=True)
    assert kinds & FOREIGN == (FOREIGN if options else set())


@pytest.mark.parametrize("version", VERSIONS)
def test_what_the_platform_renders_is_valid_for_kubernetes(platform: Objects, version: str) -> None:
    for item in platform:
        kubernetes_validate.validate(item, version, strict=True)


def test_helm_finds_nothing_to_complain_about(helm: Helm) -> None:
    charts = [str(path.parent.relative_to(ROOT)) for path in ROOT.glob("charts/*/Chart.yaml")]
    result = helm("lint", "--strict", "--quiet", *charts)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_service_has_a_thin_chart_of_its_own_version() -> None:
    library = ROOT / "charts" / "service-lib"
    for name in RELEASES:
        chart = ROOT / "charts" / name
        meta = yaml.safe_load((chart / "Chart.yaml").read_text())
        assert (meta["name"], meta["type"]) == (name, "application")
        assert meta["version"]
        (template,) = (chart / "templates").iterdir()
        assert template.read_text() == '{{ include "service-lib.service" . }}\n'
        assert (chart / "charts" / "service-lib").resolve() == library
        assert (chart / "values.schema.json").resolve() == library / "service.schema.json"


def test_the_umbrella_is_the_sum_of_the_releases(render: Render) -> None:
    meta = yaml.safe_load((ROOT / "charts" / "auditron" / "Chart.yaml").read_text())
    assert {entry["name"]: entry["repository"] for entry in meta["dependencies"]} == {
        name: f"file://../{name}" for name in RELEASES
    }
    schema = json.loads((ROOT / "charts" / "auditron" / "values.schema.json").read_text())
    assert schema["properties"].keys() == {*RELEASES, "global"}
    parts = [item for name in RELEASES for item in render(name, release="auditron")]
    assert sorted(render("auditron"), key=identity) == sorted(parts, key=identity)


def test_the_umbrella_travels_as_one_file(helm: Helm, tmp_path: Path, render: Render) -> None:
    packed = helm("package", "charts/auditron", "--destination", str(tmp_path))
    assert packed.returncode == 0, packed.stderr
    result = helm("template", "auditron", str(next(tmp_path.iterdir())), "--namespace", "auditron")
    assert parse(result.stdout) == render("auditron"), result.stderr


def test_global_settings_of_the_umbrella_reach_every_service(render: Render) -> None:
    objects = render("auditron", "global.registry=registry.example.com/acme", "global.tag=2.1")
    images = {
        container["image"]
        for _, template in templates(objects)
        for container in template["spec"]["containers"]
    }
    assert images == {f"registry.example.com/acme/auditron-{name}:2.1" for name in RELEASES}


def test_the_gateway_scales_from_three_to_ten_by_cpu(render: Render) -> None:
    (scaler,) = of(render("gateway"), "HorizontalPodAutoscaler")
    assert (scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]) == (3, 10)
    assert [metric["type"] for metric in scaler["spec"]["metrics"]] == ["Resource"]
    assert [item["metadata"]["name"] for item in of(render("gateway"), "Deployment")] == [
        "gateway-api"
    ]


@pytest.mark.parametrize("service", SERVICES)
def test_workers_scale_from_two_to_five_by_cpu(render: Render, service: str) -> None:
    spec = named(render(service), "HorizontalPodAutoscaler", f"{service}-worker")["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 5)
    assert spec["metrics"][0]["resource"]["name"] == "cpu"


def test_autoscalers_and_budgets_point_at_deployments_that_exist(everything: Objects) -> None:
    deployments = {item["metadata"]["name"]: item for item in of(everything, "Deployment")}
    scalers, budgets = set(), set()
    for scaler in of(everything, "HorizontalPodAutoscaler"):
        scalers.add(scaler["spec"]["scaleTargetRef"]["name"])
    for budget in of(everything, "PodDisruptionBudget"):
        assert budget["spec"]["maxUnavailable"] == 1
        budgets |= {
            name
            for name, item in deployments.items()
            if selects(budget["spec"]["selector"], item["spec"]["template"]["metadata"]["labels"])
        }
    assert scalers == budgets == set(deployments)
    assert not any("replicas" in item["spec"] for item in deployments.values())


@pytest.mark.parametrize(
    ("chart", "value", "said"),
    [
        ("auth", "api.autoscaling.min=0", "minimum"),
        ("auth", "api.autoscaling.max=1", "api.autoscaling.max is below min"),
        ("auth", "api.port=70000", "maximum"),
        ("auth", "api.resources.requests.memory=lots", "pattern"),
        ("auth", "stores={mysql}", "stores"),
        ("auth", "calls={In Voice}", "pattern"),
        ("auth", "workers.enabled=false", "workers"),
        ("auth", "image.pullPolicy=Sometimes", "pullPolicy"),
        ("auth", "env.lower=1", "lower"),
        ("auth", "secretEnv={password=hunter2}", "pattern"),
        ("auth", "global.tls.enabled=maybe", "boolean"),
        ("auth", "global.newtork.dns=x", "newtork"),
        ("gateway", "ingress.host=https://books.example.com", "pattern"),
        ("auditron", "agent.api.port=70000", "maximum"),
        ("auditron", "agnet.outbound.enabled=true", "agnet"),
        ("platform", "seed=short", "at least 16 characters"),
        ("platform", "images.redis=redis", "pattern"),
    ],
)
def test_a_wrong_value_is_refused_by_name(helm: Helm, chart: str, value: str, said: str) -> None:
    result = helm("template", chart, f"charts/{chart}", "--set", value)
    assert result.returncode != 0
    assert said in result.stderr
