"""Who reaches whom: addresses and NetworkPolicies say the same, and the ingress leads in."""

import re
from typing import Any

from .conftest import ROOT, SERVICES, Assembled, Objects, Render, named, of, selects, templates

Assemblies = dict[str, Assembled]


def reached(assembled: Assemblies) -> dict[str, frozenset[str]]:
    """Who calls whom or follows whose log; the gateway calls every service."""
    found = {name: each.reached for name, each in assembled.items()}
    return found | {"gateway": frozenset(SERVICES)}


def test_addresses_lead_to_the_services_that_the_code_calls(
    everything: Objects, assembled: Assemblies
) -> None:
    ports = {
        item["metadata"]["name"]: item["spec"]["ports"][0]["port"]
        for item in of(everything, "Service")
    }
    for item in of(everything, "ConfigMap"):
        name = item["metadata"]["name"]
        addresses = {key: value for key, value in item["data"].items() if key.endswith("_ADDRESS")}
        assert addresses == {
            f"{called.upper()}_ADDRESS": f"{called}:{ports[called]}"
            for called in reached(assembled)[name]
        }
        assert item["data"][f"{name.upper()}_LISTEN"] == f"0.0.0.0:{ports[name]}"


def test_who_may_call_whom_is_who_does(everything: Objects, assembled: Assemblies) -> None:
    pods = [
        template["metadata"]["labels"]
        for _, template in templates(everything)
        if template["metadata"]["labels"]["app.kubernetes.io/component"] != "migration"
    ]
    policies = [item["spec"] for item in of(everything, "NetworkPolicy")]

    def opens(pod: dict[str, str], way: str, end: str, peer: dict[str, str]) -> bool:
        ruling = [policy for policy in policies if selects(policy["podSelector"], pod)]
        assert ruling, "every pod has a policy"
        rules = [rule for policy in ruling for rule in policy.get(way, [])]
        entries = [entry for rule in rules for entry in rule[end] if "podSelector" in entry]
        return any(selects(entry["podSelector"], peer) for entry in entries)

    name, role = "app.kubernetes.io/name", "app.kubernetes.io/component"
    edges: dict[str, set[str]] = {pod[name]: set() for pod in pods}
    for source in pods:
        for target in pods:
            if opens(source, "egress", "to", target) and opens(target, "ingress", "from", source):
                assert target[role] == "api"
                edges[source[name]].add(target[name])
    assert edges == reached(assembled)


def test_the_architecture_says_whom_a_service_calls_and_follows(assembled: Assemblies) -> None:
    page = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
    rows = [[cell.strip() for cell in line.split("|")] for line in page.splitlines()]
    table = {row[1]: row for row in rows if len(row) > 5 and row[1] in SERVICES}
    for name, each in assembled.items():
        _, _, _, calls, follows, *_ = table[name]
        # Everyone asks auth for keys and sessions; the table says who calls it for more.
        assert set(re.findall(r"\w+", calls)) == each.called - {"auth"}
        assert set(re.findall(r"\w+", follows)) == set(each.service.handlers)


def test_a_new_caller_alone_opens_the_way_to_a_service(render: Render) -> None:
    policy = named(render("auth"), "NetworkPolicy", "auth")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    callers, prometheus = policy["ingress"]
    assert callers["from"] == [{"podSelector": {"matchLabels": {"auditron/calls-auth": "yes"}}}]
    assert callers["ports"] == [{"port": "grpc"}]
    assert prometheus["ports"] == [{"port": "metrics"}]


def test_only_agent_and_billing_reach_the_internet_once_that_is_enabled(
    everything: Objects, render: Render
) -> None:
    def blocks(objects: Objects) -> list[dict[str, Any]]:
        return [
            entry["ipBlock"]
            for item in of(objects, "NetworkPolicy")
            for rule in item["spec"].get("egress", [])
            for entry in rule["to"]
            if "ipBlock" in entry
        ]

    assert blocks(everything) == []
    for service, ports in (("agent", {443, 465, 587}), ("billing", {443})):
        objects = render(service, "outbound.enabled=true")
        assert {block["cidr"] for block in blocks(objects)} == {"0.0.0.0/0", "::/0"}
        assert "169.254.0.0/16" in blocks(objects)[0]["except"]  # the cloud's metadata
        rules = named(objects, "NetworkPolicy", service)["spec"]["egress"]
        assert {port["port"] for port in rules[-1]["ports"]} == ports


def test_the_ingress_ends_tls_in_front_of_the_gateway(render: Render) -> None:
    (ingress,) = of(render("gateway", "ingress.host=books.example.com"), "Ingress")
    (tls,), (rule,) = ingress["spec"]["tls"], ingress["spec"]["rules"]
    assert tls == {"hosts": ["books.example.com"], "secretName": "gateway-tls"}
    assert rule["host"] == "books.example.com"
    (service,) = of(render("gateway"), "Service")
    backend = rule["http"]["paths"][0]["backend"]["service"]
    assert backend["name"] == service["metadata"]["name"]
    assert backend["port"]["name"] == service["spec"]["ports"][0]["name"]
