"""The development platform has what the services' charts name, and the metric that scales them."""

from urllib.parse import urlsplit

import yaml

from .conftest import RELEASES, ROOT, SERVICES, Assembled, Objects, Render, named, of, templates


def secrets(platform: Objects, namespace: str) -> dict[str, dict[str, str]]:
    return {
        item["metadata"]["name"]: item["stringData"]
        for item in of(platform, "Secret")
        if item["metadata"]["namespace"] == namespace
    }


def configuration(platform: Objects, name: str) -> str:
    data = named(platform, "ConfigMap", name)["data"]
    (text,) = data.values()
    return str(text)


def test_it_serves_every_service_there_is() -> None:
    values = yaml.safe_load((ROOT / "charts" / "platform" / "values.yaml").read_text())
    assert sorted(values["services"]) == SERVICES


def test_workers_scale_by_the_queue_that_they_export_where_they_have_tasks(
    platform: Objects, render: Render, assembled: dict[str, Assembled]
) -> None:
    (rule,) = yaml.safe_load(configuration(platform, "prometheus-adapter"))["externalRules"]
    assert '__name__="auditron_task_queue_length"' in rule["seriesQuery"]
    assert rule["metricsQuery"] == "max(<<.Series>>{<<.LabelMatchers>>}) by (service)"
    for service in SERVICES:
        found = [
            (item["metadata"]["name"], entry["external"]["metric"])
            for item in of(render(service), "HorizontalPodAutoscaler")
            for entry in item["spec"]["metrics"]
            if entry["type"] == "External"
        ]
        metric = {
            "name": "auditron_task_queue_length",
            "selector": {"matchLabels": {"service": service}},
        }
        has_tasks = bool(assembled[service].service.tasks)
        assert found == [(f"{service}-worker", metric)] * has_tasks


def test_prometheus_gives_a_series_its_namespace_and_leaves_our_labels(platform: Objects) -> None:
    (job,) = yaml.safe_load(configuration(platform, "prometheus"))["scrape_configs"]
    targets = {entry.get("target_label") for entry in job["relabel_configs"]}
    assert "namespace" in targets  # the adapter asks by it
    assert "service" not in targets  # it would rename ours to exported_service


def test_every_secret_that_a_chart_names_is_there(platform: Objects, render: Render) -> None:
    held = secrets(platform, "auditron")
    for chart in RELEASES:
        for name, template in templates(render(chart)):
            for variable in template["spec"]["containers"][0]["env"]:
                wanted = variable["valueFrom"]["secretKeyRef"]
                assert wanted.get("optional") or wanted["key"] in held[wanted["name"]], name


def test_stores_are_where_the_settings_say(platform: Objects, render: Render) -> None:
    ports = {}
    for item in of(platform, "Service"):
        name = f"{item['metadata']['name']}.{item['metadata']['namespace']}"
        ports[name] = item["spec"]["ports"][0]["port"]
    held = [value for secret in secrets(platform, "auditron").values() for value in secret.values()]
    endpoint = named(render("invoice"), "ConfigMap", "invoice")["data"]["S3_ENDPOINT_URL"]
    urls = [urlsplit(text) for text in (*held, endpoint) if "://" in text]
    assert {url.hostname for url in urls} == {"postgres.data", "redis.data", "s3.data"}
    assert all(url.port == ports[str(url.hostname)] for url in urls)
    policy = named(render("invoice"), "NetworkPolicy", "invoice")["spec"]
    opened = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
    assert {url.port for url in urls} <= opened


def test_each_secret_is_another_and_the_seed_alone_decides_it(
    platform: Objects, render: Render
) -> None:
    held = secrets(platform, "auditron")
    passwords = [
        value
        for content in held.values()
        for key, value in content.items()
        if key.endswith(("_PASSWORD", "_SECRET", "_KEY"))
    ]
    assert len(set(passwords)) == len(passwords) >= 3 * len(SERVICES)
    assert secrets(render("platform", "seed=another-long-enough-seed"), "auditron") != held


def test_stores_and_monitoring_live_in_namespaces_of_their_own(platform: Objects) -> None:
    namespaces = {
        item["metadata"]["name"]: item["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
        for item in of(platform, "Namespace")
    }
    assert namespaces == dict.fromkeys(("auditron", "data", "monitoring"), "restricted")
    workloads = {
        item["metadata"]["name"]: item["metadata"]["namespace"]
        for item in of(platform, "Deployment", "StatefulSet")
    }
    assert workloads == {
        "postgres": "data",
        "redis": "data",
        "s3": "data",
        "prometheus": "monitoring",
        "prometheus-adapter": "monitoring",
    }
