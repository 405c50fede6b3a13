"""What pods may do, reach and know."""

import pytest
from conftest import named, pods, preset, values_of

# Paths that answer without looking at anything else: api/src/routes/health.rs, server/src/serve/metrics.rs.
ALIVE = {"/healthz/live", "/healthz"}


def containers(objects):
    """(pod's name, pod's spec, container) of every container."""
    for name, _, spec in pods(objects):
        for container in spec["containers"] + spec.get("initContainers", []):
            yield name, spec, container


def test_pods_pass_the_restricted_standard(rendered):
    """https://kubernetes.io/docs/concepts/security/pod-security-standards, profile restricted."""
    kinds = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
    for name, spec, container in containers(rendered):
        pod, own = spec["securityContext"], container["securityContext"]
        assert pod["runAsNonRoot"] is True and pod["runAsUser"] > 0, name
        assert pod["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert own["allowPrivilegeEscalation"] is False and own["capabilities"] == {"drop": ["ALL"]}, name
        assert not own.get("privileged") and "runAsUser" not in own, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), name
        assert all("hostPort" not in port for port in container.get("ports", [])), name
        for volume in spec["volumes"]:
            assert volume.keys() - {"name"} <= kinds, (name, volume)


def test_pods_have_no_more_than_they_need(rendered):
    for name, spec, container in containers(rendered):
        assert container["securityContext"]["readOnlyRootFilesystem"] is True, name
        assert spec["automountServiceAccountToken"] is False, name
        # A Service called trainyard would put TRAINYARD_PORT and more into the environment of every pod.
        assert spec["enableServiceLinks"] is False, name
        assert "memory" in container["resources"]["limits"] and "cpu" in container["resources"]["requests"], name
        for volume in spec["volumes"]:
            assert volume.get("emptyDir", {"sizeLimit": "1Mi"}).get("sizeLimit"), (name, volume["name"])
    for account in (one for one in rendered if one["kind"] == "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


def test_liveness_looks_at_nothing_else(rendered):
    for name, _, container in containers(rendered):
        if container["name"] == "job":
            continue
        for probe in ("livenessProbe", "startupProbe"):
            assert container[probe]["httpGet"]["path"] in ALIVE, (name, probe)
        if any(port["name"] == "http" for port in container["ports"]):
            assert container["readinessProbe"]["httpGet"] == {"path": "/healthz/ready", "port": "http"}, name


def test_no_secret_is_in_the_clear(rendered):
    """Passwords and keys come from Secrets that exist: the chart makes none, and no variable holds one."""
    for name, _, container in containers(rendered):
        for variable in container.get("env", []):
            told = variable["name"]
            secret = ("PASSWORD", "SECRET", "TOKEN", "API_KEY")
            if any(word in told for word in secret) and not told.endswith("_FILE"):
                assert "secretKeyRef" in variable["valueFrom"], (name, told)
    assert not [one for one in rendered if one["kind"] == "Secret"]


def secrets(spec):
    """Names of the Secrets that a pod gets, by file or by variable."""
    found = set()
    for volume in spec["volumes"]:
        for source in volume.get("projected", {}).get("sources", []):
            found |= {source["secret"]["name"]} if "secret" in source else set()
    for container in spec["containers"]:
        for variable in container["env"]:
            found |= {variable["valueFrom"]["secretKeyRef"]["name"]} if "valueFrom" in variable else set()
    return found


def test_a_part_gets_its_own_secrets_alone():
    by_name = {name: secrets(spec) for name, _, spec in pods(preset("cluster-full"))}
    queue = "trainyard-rabbitmq-default-user"
    token = "trainyard-executor-token"
    record = {"redis-url", "trainyard-redis", "trainyard-redis-ca"}
    traces = {"otel", "otel-ca"}
    assert by_name["ty-trainyard-api"] == record | traces | {queue, "trainyard-s3", "s3-ca", token}
    assert by_name["ty-trainyard-scheduler"] == record | traces | {queue, "trainyard-s3", "s3-ca"}
    assert by_name["ty-trainyard-executor-gpu"] == traces | {queue, "s3-executors", "s3-ca", token, "control-ca"}
    assert by_name["ty-trainyard-test"] == {"key"}


def selects(policy, labels):
    """Whether a policy is about pods with these labels."""
    return policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()


def test_every_pod_is_closed_both_ways(rendered):
    policies = [one for one in rendered if one["kind"] == "NetworkPolicy"]
    for name, metadata, _ in pods(rendered):
        of_pod = [policy for policy in policies if selects(policy, metadata["labels"])]
        assert any(set(policy["spec"]["policyTypes"]) == {"Ingress", "Egress"} for policy in of_pod), name
        # Nobody may come in from anywhere but to the API itself.
        for policy in of_pod:
            for rule in policy["spec"].get("ingress") or []:
                if not rule.get("from"):
                    assert [port["port"] for port in rule["ports"]] == [8420], (name, rule)
            for rule in policy["spec"].get("egress") or []:
                assert rule["ports"], (name, rule)


def test_executors_reach_no_record_and_clients_no_control_plane():
    objects = preset("gpu")
    executor = named(objects, "NetworkPolicy", "ty-trainyard-executor")["spec"]
    ports = {port["port"] for rule in executor["egress"] for port in rule["ports"]}
    assert ports == {5672, 5671, 443, 8421}
    api = named(objects, "NetworkPolicy", "ty-trainyard-api")["spec"]
    control = [rule for rule in api["ingress"] if rule["ports"][0]["port"] == 8421]
    assert [rule["from"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for rule in control] == ["executor"]
    public = named(objects, "Service", "ty-trainyard")["spec"]["ports"]
    assert [port["name"] for port in public] == ["http"]
    assert named(objects, "Service", "ty-trainyard-control")["spec"]["type"] == "ClusterIP"


def test_webhooks_reach_no_private_network():
    scheduler = named(preset("cluster"), "NetworkPolicy", "ty-trainyard-scheduler")["spec"]
    [block] = [peer["ipBlock"] for rule in scheduler["egress"] for peer in rule.get("to", []) if "ipBlock" in peer]
    assert {"10.0.0.0/8", "169.254.0.0/16", "192.168.0.0/16"} <= set(block["except"])


def test_replicas_are_spread_and_guarded():
    objects = preset("cluster")
    for part in ("api", "scheduler"):
        name = f"ty-trainyard-{part}"
        deployment = named(objects, "Deployment", name)
        [_, metadata, spec] = next(pods([deployment]))
        for constraint in spec["topologySpreadConstraints"]:
            assert constraint["labelSelector"]["matchLabels"].items() <= metadata["labels"].items()
        budget = named(objects, "PodDisruptionBudget", name)["spec"]
        assert budget["selector"]["matchLabels"] == deployment["spec"]["selector"]["matchLabels"]
    # A budget of the only replica would hold every drain of its node.
    assert not [one for one in preset("embedded") if one["kind"] == "PodDisruptionBudget"]


def test_one_process_has_the_embedded_volume():
    objects = preset("embedded")
    deployment = named(objects, "Deployment", "ty-trainyard-embedded")["spec"]
    assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})
    claim = named(objects, "PersistentVolumeClaim", "ty-trainyard-embedded")
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


@pytest.mark.parametrize(("part", "needs"), [("api", 5 + 15), ("scheduler", 28), ("executor-default", 25)])
def test_pods_have_time_to_end(part, needs):
    spec = named(preset("cluster"), "Deployment", f"ty-trainyard-{part}")["spec"]["template"]["spec"]
    assert spec["terminationGracePeriodSeconds"] > needs


def test_a_pool_scales_from_zero_by_its_jobs():
    objects = preset("gpu")
    deployment = named(objects, "Deployment", "ty-trainyard-executor-gpu")["spec"]
    # KEDA counts them; a number here would be put back at every upgrade.
    assert "replicas" not in deployment
    assert deployment["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
    scaled = named(objects, "ScaledObject", "ty-trainyard-executor-gpu")["spec"]
    assert (scaled["minReplicaCount"], scaled["maxReplicaCount"]) == (0, 8)
    [trigger] = scaled["triggers"]
    assert 'pool="gpu",state=~"queued|dispatched|running"' in trigger["metadata"]["query"]
    assert trigger["metadata"]["ignoreNullValues"] == "false"
    service = named(objects, "Service", "ty-trainyard-metrics")
    assert f'job="{service["metadata"]["name"]}"' in trigger["metadata"]["query"]


def test_a_pool_stands_over_the_defaults_with_zeros_too():
    over = {"replicas": 0, "podDisruptionBudget": {"enabled": False}, "tolerations": []}
    defaults = {"replicas": 3, "tolerations": [{"key": "a", "operator": "Exists"}]}
    objects = preset("cluster", executors={"defaults": defaults, "pools": {"zero": over}})
    zero = named(objects, "Deployment", "ty-trainyard-executor-zero")["spec"]
    assert zero["replicas"] == 0 and "tolerations" not in zero["template"]["spec"]
    assert named(objects, "Deployment", "ty-trainyard-executor-default")["spec"]["replicas"] == 3
    assert [one["metadata"]["name"] for one in objects if one["kind"] == "PodDisruptionBudget"][-1] == "ty-trainyard-executor-default"


def test_metrics_are_scraped_from_pods_that_serve_them(rendered):
    """The monitor's service selects every pod of the release, and each has the port."""
    services = [one for one in rendered if one["kind"] == "Service" and one["spec"].get("clusterIP") == "None"]
    for service in services:
        for name, metadata, spec in pods(rendered):
            assert service["spec"]["selector"].items() <= metadata["labels"].items(), name
            ports = [port["name"] for port in spec["containers"][0].get("ports", [])]
            assert "metrics" in ports or name.endswith("-test"), name
    for monitor in (one for one in rendered if one["kind"] == "ServiceMonitor"):
        matched = monitor["spec"]["selector"]["matchLabels"]
        assert [
            one["metadata"]["name"] for one in rendered if one["kind"] == "Service" and matched.items() <= one["metadata"]["labels"].items()
        ] == [services[0]["metadata"]["name"]]


def test_presets_name_no_password():
    for name in ("cluster", "gpu", "embedded"):
        values = values_of(name)
        assert "password" not in values.get("store", {}) and "password" not in values.get("queue", {})
