"""`cluster.yaml` and `cluster.local.yaml`: what can be known of them without a cloud."""

import copy
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import botocore.session
import pytest
import yaml
from botocore.validate import ParamValidator
from ray.autoscaler._private.util import prepare_config, validate_config

from sweeps.engine.cluster.machines.capacity import capacity_of_config
from sweeps.engine.command import _check_options, _parser
from sweeps.weight_decay import FACTOR
from tests.conftest import REPOSITORY

FILES = ["cluster.yaml", "cluster.local.yaml"]
EXTRAS = set(tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"])
COMMANDS = ("setup_commands", "head_setup_commands", "worker_setup_commands")
STARTS = ("head_start_ray_commands", "worker_start_ray_commands")


def read(name):
    return yaml.safe_load((REPOSITORY / name).read_text())


@pytest.fixture(scope="module")
def run_instances():
    """What EC2 takes to start machines, by AWS' own description of it."""
    return botocore.session.get_session().get_service_model("ec2").operation_model("RunInstances").input_shape


def mistakes(config, shape):
    """Return what EC2 would not know in the node configurations of a cluster."""
    found = []
    for kind in config["available_node_types"].values():
        given = {**kind["node_config"], "MinCount": 1, "MaxCount": 1}
        found += [ParamValidator().validate(given, shape).generate_report()]
        found += wrong_values(given, shape)
    return [mistake for mistake in found if mistake]


def wrong_values(given, shape):
    if shape.type_name == "structure":
        known = [(given[name], shape.members[name]) for name in given if name in shape.members]
    elif shape.type_name == "list":
        known = [(value, shape.member) for value in given]
    else:
        return [] if not getattr(shape, "enum", None) or given in shape.enum else [f"{shape.name}: {given}"]
    return [wrong for value, member in known for wrong in wrong_values(value, member)]


@pytest.mark.parametrize("name", FILES)
def test_ray_takes_them(name):
    validate_config(prepare_config(read(name)))


@pytest.mark.parametrize("name", FILES)
def test_every_file_of_the_repository_gets_onto_the_nodes(name, tmp_path):
    if shutil.which("rsync") is None or not (REPOSITORY / ".git").exists():
        pytest.skip("needs rsync and a git repository")
    config = read(name)
    # As Ray's command runner calls it.
    rules = [word for pattern in config["rsync_exclude"] for word in ("--exclude", pattern)]
    rules += [word for pattern in config["rsync_filter"] for word in ("--filter", f"dir-merge,- {pattern}")]
    listing = ["rsync", "--archive", "--dry-run", "--out-format=%n", *rules, f"{REPOSITORY}/", f"{tmp_path}/"]
    copied = subprocess.run(listing, capture_output=True, text=True, check=True).stdout.splitlines()
    tracked = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    there = [file for file in tracked.stdout.splitlines() if (REPOSITORY / file).exists()]
    assert set(there) <= set(copied)
    assert not [file for file in copied if file.startswith((".venv/", "results/"))]


def test_aws_would_take_every_node_configuration(run_instances):
    assert mistakes(read("cluster.yaml"), run_instances) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["head", "node_config", "InstanceTyp"], "m7i.xlarge"),
        (["head", "node_config", "InstanceType"], "m7i.xlrge"),
        (["gpu_spot", "node_config", "InstanceMarketOptions", "MarketType"], "spott"),
        (["gpu_spot", "node_config", "InstanceMarketOptions", "SpotOption"], {}),
        (["gpu_on_demand", "node_config", "IamInstanceProfile"], "memosweep-worker"),
        (["gpu_spot", "node_config", "MetadataOptions", "HttpTokens"], "yes"),
        (["gpu_on_demand", "node_config", "BlockDeviceMappings", 0, "Ebs", "VolumeSize"], "200 GB"),
    ],
)
def test_a_typo_in_a_node_configuration_is_found(path, value, run_instances):
    config = copy.deepcopy(read("cluster.yaml"))
    place = config["available_node_types"]
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    assert mistakes(config, run_instances)


def test_no_port_is_open_to_the_world():
    config = read("cluster.yaml")
    # Ray makes a group of its own, with port 22 open to every address, for node types that name none.
    assert all(kind["node_config"]["SecurityGroupIds"] for kind in config["available_node_types"].values())
    assert "security_group" not in config["provider"]
    for name in FILES:
        assert "0.0.0.0" not in (REPOSITORY / name).read_text()
        head, worker = (" ".join(read(name)[kind]) for kind in STARTS)
        assert "--dashboard-host=127.0.0.1" in head
        # Whoever reaches a port needs the token.
        assert head.count("ray start") == head.count("RAY_AUTH_MODE=token ray start") == 1
        assert worker.count("ray start") == worker.count("RAY_AUTH_MODE=token ray start") == 1
        assert "~/.ray/auth_token" in read(name)["file_mounts"]


@pytest.mark.parametrize("name", FILES)
def test_the_installation_is_that_of_the_repository(name):
    config = read(name)
    lines = [line for kind in COMMANDS for line in config.get(kind, []) if "pip install" in line]
    assert lines
    for line in lines:
        (extras,) = re.findall(r"memosweep['\"]*\[(.*?)\](?=['\"])", line)
        chosen = set(re.findall(r"faiss-\w+|\bs3\b", extras))
        assert chosen <= EXTRAS
        assert "s3" in chosen
        assert set(re.findall(r"echo ([\w-]+)", extras)) <= EXTRAS
        # Versions are pyproject.toml's.
        assert "==" not in line
    folder = next(target for target, source in config["file_mounts"].items() if source == ".")
    assert all(f"--editable {folder}" in line for line in lines)
    assert all("memosweep-env/bin" in " ".join(config["setup_commands"]) for _ in lines)


@pytest.mark.parametrize("name", FILES)
def test_shells_can_parse_the_commands(name):
    config = read(name)
    for kind in (*COMMANDS, *STARTS):
        for command in config.get(kind, []):
            assert isinstance(command, str)
            assert shlex.split(command)


@pytest.mark.parametrize("name", FILES)
def test_the_sweep_that_they_name_can_be_typed(name):
    (line,) = re.findall(r"^#   python (sweeps/.*)$", (REPOSITORY / name).read_text(), re.M)
    script, *options = shlex.split(line)
    assert (REPOSITORY / script).is_file()
    assert Path(script).stem == FACTOR.name
    parser = _parser(FACTOR, None, "grid")
    _check_options(parser, parser.parse_args(options))


def test_the_workers_start_from_zero_on_spot_and_then_on_demand():
    config = read("cluster.yaml")
    kinds = config["available_node_types"]
    workers = {name: kind for name, kind in kinds.items() if name != config["head_node_type"]}
    assert all(kind["min_workers"] == 0 and kind["resources"]["GPU"] for kind in workers.values())
    assert "GPU" not in kinds[config["head_node_type"]]["resources"]
    markets = [kind["node_config"].get("InstanceMarketOptions", {}).get("MarketType") for kind in workers.values()]
    # Of equal types, Ray's autoscaler takes the first one (version 2), or the last one by name (version 1).
    assert markets == ["spot", None]
    assert list(workers) == sorted(workers, reverse=True)
    same = [{**kind["node_config"], "InstanceMarketOptions": None} for kind in workers.values()]
    assert same[0] == same[1]
    grown = capacity_of_config(prepare_config(config))
    assert (grown.cpus, grown.gpus) == (64, 8)
    assert grown.at_once({"cpu": 8, "gpu": 1}) == 8
