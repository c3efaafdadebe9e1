"""The manifests for Kubernetes: by its published schemas, and by what must fit together."""

import re
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

MANIFESTS = sorted((Path(__file__).parent.parent / "docs" / "kubernetes").glob("*.yaml"))
VERSIONS = ("1.29", "1.33")
# KubeRay publishes no schema in a package: the fields of its Go types (ray-operator/apis/ray/v1/rayjob_types.go,
# raycluster_types.go) that are used here, with their types, and those that must be there.
RAY_JOB = {"backoffLimit": int, "entrypoint": str, "shutdownAfterJobFinishes": bool, "rayClusterSpec": dict}
RAY_CLUSTER = {"rayVersion": str, "enableInTreeAutoscaling": bool, "headGroupSpec": dict, "workerGroupSpecs": list}
HEAD_GROUP = {"rayStartParams": dict, "template": dict}
WORKER_GROUP = HEAD_GROUP | {"groupName": str, "replicas": int, "minReplicas": int, "maxReplicas": int}


def documents(path: Path) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def all_documents() -> list[dict[str, Any]]:
    return [document for path in MANIFESTS for document in documents(path)]


def of_kind(kind: str, name: str) -> dict[str, Any]:
    (found,) = (one for one in all_documents() if (one["kind"], one["metadata"]["name"]) == (kind, name))
    return found


def pod_templates(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Those of a workload, or of the groups of a Ray cluster."""
    if document["kind"] == "RayJob":
        cluster = document["spec"]["rayClusterSpec"]
        return [group["template"] for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])]
    return [document["spec"]["template"]] if "template" in document["spec"] else []


def test_there_is_one_of_each_kind_that_a_search_needs() -> None:
    kinds = {(one["kind"], one["metadata"]["name"]) for one in all_documents()}
    assert kinds == {
        ("Deployment", "evoae-nameserver"),
        ("Service", "evoae-nameserver"),
        ("Job", "evoae-search"),
        ("Deployment", "evoae-helpers"),
        ("RayJob", "evoae-search-on-ray"),
    }


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_manifests_are_what_kubernetes_publishes(path: Path, version: str) -> None:
    for document in documents(path):
        if document["apiVersion"].startswith("ray.io"):
            # KubeRay's own kind is in no such schema (see below); the pods in it are Kubernetes' own.
            for template in pod_templates(document):
                pod = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "a"}, "template": template}
                kubernetes_validate.validate(pod, version, strict=True)
        else:
            kubernetes_validate.validate(document, version, strict=True)


def test_a_ray_job_has_the_fields_of_kuberay_s_types() -> None:
    spec = of_kind("RayJob", "evoae-search-on-ray")["spec"]
    cluster = spec["rayClusterSpec"]
    groups = cluster["workerGroupSpecs"]
    for found, fields in (
        (spec, RAY_JOB),
        (cluster, RAY_CLUSTER),
        (cluster["headGroupSpec"], HEAD_GROUP),
        *((group, WORKER_GROUP) for group in groups),
    ):
        assert {name: type(value) for name, value in found.items()} == fields
    # Kubernetes takes no numbers here.
    for group in (cluster["headGroupSpec"], *groups):
        assert all(type(value) is str for value in group["rayStartParams"].values())
    assert all(group["minReplicas"] <= group["replicas"] <= group["maxReplicas"] for group in groups)


def test_a_wrong_manifest_is_not_what_kubernetes_publishes() -> None:
    document = of_kind("Deployment", "evoae-helpers")
    document["spec"]["replicsa"] = 4
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, VERSIONS[-1], strict=True)


def test_selectors_ports_volumes_and_names_fit_together() -> None:
    service, names = of_kind("Service", "evoae-nameserver"), of_kind("Deployment", "evoae-nameserver")
    assert service["spec"]["selector"].items() <= names["spec"]["template"]["metadata"]["labels"].items()
    (port,), (container,) = service["spec"]["ports"], names["spec"]["template"]["spec"]["containers"]
    assert port["targetPort"] in [one["name"] for one in container["ports"]]
    for document in all_documents():
        selector = document["spec"].get("selector", {}).get("matchLabels")
        if selector is not None:
            assert selector.items() <= document["spec"]["template"]["metadata"]["labels"].items()
        for template in pod_templates(document):
            spec = template["spec"]
            volumes = {volume["name"] for volume in spec.get("volumes", [])}
            for container in (*spec["containers"], *spec.get("initContainers", [])):
                assert {mount["name"] for mount in container.get("volumeMounts", [])} <= volumes
    text = "".join(path.read_text() for path in MANIFESTS)
    # Everybody looks for the nameserver where the Service has it.
    assert set(re.findall(r"evoae-nameserver:(\d+)", text)) == {str(port["port"])}


def test_images_are_targets_of_the_dockerfile() -> None:
    dockerfile = (MANIFESTS[0].parent / "Dockerfile").read_text()
    targets = set(re.findall(r"^FROM \S+ AS (\w+)$", dockerfile, re.MULTILINE))
    images = set(re.findall(r"image: evoae:(\w+)", "".join(path.read_text() for path in MANIFESTS)))
    assert images == {"cpu", "cuda"} <= targets
    version = of_kind("RayJob", "evoae-search-on-ray")["spec"]["rayClusterSpec"]["rayVersion"]
    assert set(re.findall(r"ray\[default\]==([\d.]+)", dockerfile)) == {version}


def scripts() -> list[str]:
    """What the shell of the search's pod runs, with and without Ray."""
    (container,) = of_kind("Job", "evoae-search")["spec"]["template"]["spec"]["containers"]
    shell, flag, script = shlex.split(of_kind("RayJob", "evoae-search-on-ray")["spec"]["entrypoint"])
    assert [shell, flag] == container["command"] == ["sh", "-c"]
    return [container["args"][0], script]


def test_both_searches_may_be_on_one_volume() -> None:
    studies = [re.findall(r"--study (\S+)", script) for script in scripts()]
    assert studies == [["photos"], ["photos-on-ray"]]


@pytest.mark.parametrize(("number", "study"), [(0, "photos"), (1, "photos-on-ray")])
def test_a_search_whose_pod_is_lost_is_gone_on_with(number: int, study: str) -> None:
    """The shell's choice between search and resume, with a stand-in for evoae that says what it was asked."""
    with tempfile.TemporaryDirectory() as folder:
        script = scripts()[number].replace("/runs/", f"{folder}/").replace("exec evoae", "exec echo")
        words = {}
        for name in ("search", "resume"):
            words[name] = shlex.split(subprocess.run(["sh", "-c", script], capture_output=True, text=True).stdout)
            Path(folder, study).mkdir(exist_ok=True)
            Path(folder, study, "study.db").touch()
    assert words["search"][0] == "search"
    assert words["resume"][:2] == ["resume", study]
