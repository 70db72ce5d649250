"""Every pod: no root, no token of the cluster, probed, spread, drained, and migrated before."""

import re
from typing import Any

import pytest

from libs.sandbox import MIB, Sandbox

from .conftest import (
    OPTIONS,
    ROOT,
    SERVICES,
    Assembled,
    Objects,
    Render,
    named,
    of,
    selects,
    templates,
)

OWN_BYTES = 300 * MIB


def test_no_pod_runs_as_root_or_writes_to_its_image(everything: Objects, platform: Objects) -> None:
    for name, template in templates([*everything, *platform]):
        pod = template["spec"]["securityContext"]
        assert pod["runAsNonRoot"] is True, name
        assert pod["runAsUser"] > 0, name
        assert pod["seccompProfile"] == {"type": "RuntimeDefault"}, name
        containers = template["spec"]["containers"] + template["spec"].get("initContainers", [])
        for container in containers:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True, name
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), name
            assert "memory" in container["resources"]["limits"], name


@pytest.mark.parametrize("role", ["api", "worker"])
@pytest.mark.parametrize("service", SERVICES)
def test_a_pod_has_memory_for_all_of_its_child_processes_and_for_itself(
    render: Render, assembled: dict[str, Assembled], service: str, role: str
) -> None:
    found = assembled[service].service
    sandboxes = {*(found.api_sandboxes if role == "api" else found.worker_sandboxes)}
    if role == "worker":  # agent starts the one for pictures by itself, in its worker
        owners = [getattr(let_go, "__self__", None) for let_go in found.closing]
        sandboxes |= {owner for owner in owners if isinstance(owner, Sandbox)}
    children = [child for sandbox in sandboxes for child in sandbox._workers]
    template = named(render(service), "Deployment", f"{service}-{role}")["spec"]["template"]
    limit = template["spec"]["containers"][0]["resources"]["limits"]["memory"]
    needed = sum(child.limits.memory_bytes for child in children) + OWN_BYTES
    assert int(limit[:-2]) * {"Mi": MIB, "Gi": 1024 * MIB}[limit[-2:]] >= needed


def test_the_image_runs_as_the_user_that_the_charts_name(everything: Objects) -> None:
    lines = (ROOT / "services" / "Dockerfile").read_text().splitlines()
    (user,) = [line.removeprefix("USER ") for line in lines if line.startswith("USER ")]
    contexts = [template["spec"]["securityContext"] for _, template in templates(everything)]
    assert {f"{context['runAsUser']}:{context['runAsGroup']}" for context in contexts} == {user}


def test_no_service_holds_a_token_of_the_cluster(everything: Objects) -> None:
    assert all(
        item["automountServiceAccountToken"] is False for item in of(everything, "ServiceAccount")
    )
    for name, template in templates(everything):
        assert template["spec"]["automountServiceAccountToken"] is False, name


def test_pods_are_spread_probed_and_drained(everything: Objects) -> None:
    settings = {item["metadata"]["name"]: item["data"] for item in of(everything, "ConfigMap")}
    for item in of(everything, "Deployment"):
        spec = item["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        for constraint in spec["topologySpreadConstraints"]:
            assert constraint["labelSelector"] == item["spec"]["selector"]
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys()
        service = item["metadata"]["labels"]["app.kubernetes.io/name"]
        drain = int(settings[service]["GATEWAY_DRAIN_S" if service == "gateway" else "DRAIN_S"])
        sleep = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert sleep + drain < spec["terminationGracePeriodSeconds"]


def readiness(objects: Objects, deployment: str) -> dict[str, Any]:
    template = named(objects, "Deployment", deployment)["spec"]["template"]
    probe: dict[str, Any] = template["spec"]["containers"][0]["readinessProbe"]
    return probe


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_ready_by_its_health_and_a_worker_by_its_metrics(
    render: Render, service: str
) -> None:
    metrics = {"path": "/metrics", "port": "metrics"}
    assert readiness(render(service), f"{service}-api")["grpc"] == {"port": 50051}
    assert readiness(render(service), f"{service}-worker")["httpGet"] == metrics
    # The kubelet asks for health without TLS.
    assert "tcpSocket" in readiness(render(service, *OPTIONS), f"{service}-api")


@pytest.mark.parametrize("service", SERVICES)
def test_every_key_that_a_service_reads_can_come_from_its_secret(
    render: Render, service: str
) -> None:
    code = (ROOT / "services" / service / "settings.py").read_text()
    keys = set(re.findall(r'"([A-Z_]+_(?:KEY|SECRETS?)|SMTP_URL)"', code))
    for role in ("api", "worker"):
        template = named(render(service), "Deployment", f"{service}-{role}")["spec"]["template"]
        assert keys <= {variable["name"] for variable in template["spec"]["containers"][0]["env"]}


@pytest.mark.parametrize("service", SERVICES)
def test_the_migration_runs_first_and_alone_holds_the_key_to_every_schema(
    render: Render, service: str
) -> None:
    objects = render(service)
    job = named(objects, "Job", f"{service}-migration")
    policy = named(objects, "NetworkPolicy", f"{service}-migration")
    for item, weight in ((policy, "-1"), (job, "0")):
        annotations = item["metadata"]["annotations"]
        assert annotations["helm.sh/hook"] == "pre-install,pre-upgrade"
        assert annotations.get("helm.sh/hook-weight", "0") == weight
    template = job["spec"]["template"]
    assert selects(policy["spec"]["podSelector"], template["metadata"]["labels"])
    assert template["spec"]["containers"][0]["command"][-2:] == [service, "--migrate"]
    holders = [name for name, found in templates(objects) if "ADMIN_DATABASE_URL" in str(found)]
    assert holders == [f"{service}-migration"]
    # A hook runs before the release's own objects exist.
    assert "serviceAccountName" not in template["spec"]
    assert "envFrom" not in template["spec"]["containers"][0]


def test_mutual_tls_comes_with_short_ecdsa_certificates(render: Render) -> None:
    objects = render("invoice", *OPTIONS)
    (certificate,) = of(objects, "Certificate")
    spec = certificate["spec"]
    assert (spec["privateKey"]["algorithm"], spec["privateKey"]["size"]) == ("ECDSA", 256)
    assert (spec["duration"], spec["renewBefore"]) == ("24h", "8h")
    assert "invoice" in spec["dnsNames"]  # the name in every INVOICE_ADDRESS
    data = named(objects, "ConfigMap", "invoice")["data"]
    assert "RPC_PLAIN_TEXT" not in data
    for item in of(objects, "Deployment"):
        pod = item["spec"]["template"]["spec"]
        (volume,) = [entry for entry in pod["volumes"] if entry["name"] == "tls"]
        (mount,) = [m for m in pod["containers"][0]["volumeMounts"] if m["name"] == "tls"]
        assert volume["secret"]["secretName"] == spec["secretName"]
        assert data["RPC_TLS_KEY"] == f"{mount['mountPath']}/tls.key"


def test_a_monitor_reads_both_roles_and_keeps_our_labels(render: Render) -> None:
    objects = render("recon", *OPTIONS, "global.serviceMonitor.labels.release=prometheus")
    (monitor,) = of(objects, "ServiceMonitor")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert monitor["spec"]["endpoints"] == [{"port": "metrics", "honorLabels": True}]
    service = named(objects, "Service", "recon-metrics")
    assert selects(monitor["spec"]["selector"], service["metadata"]["labels"])
    for item in of(objects, "Deployment"):
        labels = item["spec"]["template"]["metadata"]["labels"]
        assert selects({"matchLabels": service["spec"]["selector"]}, labels)
