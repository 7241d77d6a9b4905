"""The files for containers and Kubernetes hold what they promise; nothing is started here."""

import re
import subprocess
import sys

import pytest
import yaml

from tests.support.locusts import ROOT

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
KUBERNETES = sorted((ROOT / "deploy" / "kubernetes").glob("*.yaml"))
OBJECTS = [one for path in KUBERNETES for one in yaml.safe_load_all(path.read_text(encoding="utf-8"))]
DEPLOYMENTS = {one["metadata"]["name"]: one for one in OBJECTS if one["kind"] == "Deployment"}


def test_every_port_is_this_machines_alone():
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert "127.0.0.1:8089:8089" in ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_nothing_runs_as_root_or_writes_to_its_image():
    assert set(OURS) == {"master", "generator", "emulator", "transcriber"}
    for name, service in SERVICES.items():
        assert service["read_only"] is True
        assert not {"privileged", "ulimits", "cap_add"} & set(service)
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert name == "prometheus" or service["user"] == "${UID:-1000}:${GID:-1000}"  # whose image is nobody's already
    assert all(service["stop_signal"] == "SIGINT" for service in OURS.values())
    assert "USER nobody" in (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_generators_find_the_master_and_both_ask_the_same_question():
    master, generator = (" ".join(SERVICES[name]["command"]) for name in ("master", "generator"))
    question = "--locustfile=locustfiles/${QUESTION:-burst}.py"
    assert question in master
    assert question in generator
    assert "--master-host=master" in generator


def test_all_that_a_run_needs_is_up_before_the_master_and_stopped_after_it():
    assert set(SERVICES["master"]["depends_on"]) == set(SERVICES) - {"master", "prometheus", "transcriber"}
    assert set(SERVICES["nginx"]["depends_on"]) == {"transcriber"}


def test_base_images_are_pinned_and_no_build_needs_the_network_for_its_syntax():
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    images = [service["image"] for service in SERVICES.values() if "build" not in service] + re.findall(r"^FROM (\S+)", dockerfile, re.M)
    assert all(re.fullmatch(r"[\w./-]+:v?\d[\w.-]*", image) for image in images)
    assert "# syntax" not in dockerfile


def test_what_the_image_copies_is_not_ignored():
    allowed = set(re.findall(r"^!(\S+)", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.M))
    copied = re.findall(r"^COPY (?!--from)(\S+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.M)
    assert set(copied) <= allowed
    assert all((ROOT / name).exists() for name in copied)


def test_the_example_of_an_environment_names_every_variable_and_no_secret():
    named = dict(re.findall(r"^(\w+)=(.*)$", (ROOT / ".env.example").read_text(encoding="utf-8"), re.M))
    used = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text(encoding="utf-8")))
    assert set(named) == used
    assert named["RUNPOD_API_KEY"] == named["TRANSCRIPTION_API_KEY"] == ""
    assert ".env" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()


@pytest.mark.slow
def test_the_manifests_are_valid_and_of_versions_that_there_are():
    for path in KUBERNETES:
        if path.name == "kustomization.yaml":
            continue
        command = [sys.executable, "-m", "kubernetes_validate", "--strict", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "WARN" not in done.stdout + done.stderr


def test_selectors_labels_and_names_fit_together():
    for deployment in DEPLOYMENTS.values():
        spec = deployment["spec"]
        assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
    (service,) = (one for one in OBJECTS if one["kind"] == "Service")
    assert service["spec"]["selector"] == DEPLOYMENTS["coldburst-master"]["spec"]["selector"]["matchLabels"]
    (generator,) = DEPLOYMENTS["coldburst-generators"]["spec"]["template"]["spec"]["containers"]
    assert f"--master-host={service['metadata']['name']}" in generator["args"]
    claims = {one["metadata"]["name"] for one in OBJECTS if one["kind"] == "PersistentVolumeClaim"}
    volumes = DEPLOYMENTS["coldburst-master"]["spec"]["template"]["spec"]["volumes"]
    assert {volume["persistentVolumeClaim"]["claimName"] for volume in volumes if "persistentVolumeClaim" in volume} == claims
    kustomization = yaml.safe_load((ROOT / "deploy" / "kubernetes" / "kustomization.yaml").read_text(encoding="utf-8"))
    assert {path.name for path in KUBERNETES} == {*kustomization["resources"], "kustomization.yaml"}
    containers = [one for pod in DEPLOYMENTS.values() for one in pod["spec"]["template"]["spec"]["containers"]]
    assert {one["image"] for one in containers} == {one["name"] for one in kustomization["images"]}
    (values,) = kustomization["configMapGenerator"]
    used = {name for one in containers for name in re.findall(r"\$\((\w+)\)", str(one["args"]))}
    assert used == {literal.partition("=")[0] for literal in values["literals"]}
    assert all({"configMapRef": {"name": values["name"]}} in one["envFrom"] for one in containers)


@pytest.mark.parametrize("name", sorted(DEPLOYMENTS))
def test_pods_have_no_more_rights_than_they_need(name):
    pod = DEPLOYMENTS[name]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert any("secretRef" in source for source in container["envFrom"])
    assert not any("KEY" in str(value) for value in container["args"])
