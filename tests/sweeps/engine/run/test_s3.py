"""Runs on S3, against a server of `moto`: stopped, resumed, read, and guarded against a second driver."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request

import fsspec
import pytest
from moto.server import ThreadedMotoServer

from analysis.commands.main import main as analysis
from analysis.results.store import join_url
from memo_core.errors import MemosweepError
from sweeps.engine.cluster.session import Cluster
from sweeps.engine.run import lease, storage
from tests.sweeps.conftest import REPOSITORY, kill, settings, wait_for


@pytest.fixture(scope="module")
def server():
    running = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    running.start()
    yield "{}:{}".format(*running.get_host_and_port())
    running.stop()


@pytest.fixture(scope="module")
def bucket(server):
    """A file system to look into the bucket, which knows nothing of ours."""
    filesystem = fsspec.filesystem("s3", endpoint_url=f"http://{server}", use_listings_cache=False)
    filesystem.mkdir("bucket")
    return filesystem


@pytest.fixture
def results(server, bucket):
    return f"s3://bucket/results?endpoint_override={server}&scheme=http&region=us-east-1"


def options(results, **changes):
    return ["--preset", "laptop", "--sizes", "10", "--storage-path", results, *settings(**changes)]


@pytest.mark.ray
def test_a_run_on_s3_is_stopped_resumed_and_read(cluster, bucket, results, start_script, script, tmp_path):
    longer = options(results, training__images=640, evaluation__count=4)
    driver = start_script("weight_decay", *longer, "--values", "0", "0.1", "--name", "run")
    wait_for(lambda: len(bucket.glob("bucket/results/run/*/checkpoint_*/checkpoint.sha256")) >= 2)
    kill(driver)
    assert bucket.exists("bucket/results/run/.driver.lease/000001.json")

    code, output, _ = script("weight_decay", "--resume", "--name", "run", "--storage-path", results)
    assert code == 0, output
    # The driver was of this machine, so nobody waits for its next sign of life.
    assert "sign of life" not in output
    files = bucket.glob("bucket/results/run/*/result.json")
    assert len(files) == 2
    for file in files:
        rows = [json.loads(line) for line in bucket.cat_file(file).splitlines()]
        assert [row["training_iteration"] for row in rows] == list(range(1, 5))
        checkpoints = bucket.glob(file.replace("result.json", "checkpoint_*"))
        assert len(checkpoints) == 2
        assert all(len(bucket.ls(folder)) == 3 for folder in checkpoints)
    assert bucket.exists("bucket/results/run/table.csv")
    (lease_file,) = bucket.glob("bucket/results/run/.driver.lease/*.json")
    assert json.loads(bucket.cat_file(lease_file))["ended"]

    run = join_url(results, "run")
    table, page = tmp_path / "table.csv", tmp_path / "report.html"
    read = ["table", run, "--table", "trials", "--format", "csv", "--out", str(table)]
    assert analysis(read) == 0
    assert len(table.read_text().splitlines()) == 1 + 2
    assert analysis(["report", run, "--no-figures", "--out", str(page)]) == 0
    assert "training.weight_decay" in page.read_text()


@pytest.mark.ray
def test_the_second_of_two_drivers_is_refused(cluster, results, script, monkeypatch):
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.5)
    with lease.held(join_url(results, "held"), print) as first:
        begin = time.monotonic()
        code, output, errors = script("weight_decay", *options(results), "--values", "0", "--name", "held")
        assert time.monotonic() - begin < 30
        assert code == 2
        assert "waiting for its next sign of life" in output
        assert "held?endpoint_override" in errors
        assert "is being run by another process (process" in errors
        assert errors.count("\n") == 1
        first.check()


def refused_here(results, script):
    """Run a sweep that must be refused in this process; returns its line."""
    begin = time.monotonic()
    code, output, errors = script("weight_decay", *options(results), "--values", "0")
    assert (code, errors.count("\n"), "starting Ray" in output) == (2, 1, False)
    assert time.monotonic() - begin < 60
    return errors


def refused(results, **environment):
    """Run a sweep that must be refused in a process of its own, as its environment differs; returns its line."""
    kept = {name: value for name, value in os.environ.items() if name not in ("RAY_ADDRESS", "AWS_ENDPOINT_URL")}
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "sweeps/weight_decay.py", "--address", "local", *options(results), "--values", "0"],
        cwd=REPOSITORY,
        env={name: value for name, value in {**kept, **environment}.items() if value is not None},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert "starting Ray" not in done.stdout
    assert time.monotonic() - begin < 60  # the imports of a busy machine count too
    return done.stderr


def test_missing_credentials_are_one_line(results, tmp_path):
    line = refused(results, AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None, HOME=str(tmp_path))
    assert "cannot be written (Unable to locate credentials: expected AWS_ACCESS_KEY_ID" in line


def test_a_bucket_that_is_not_there_is_one_line(results, script):
    line = refused_here(results.replace("//bucket", "//nobody"), script)
    assert "s3://nobody/results" in line
    assert "cannot be written (The specified bucket does not exist" in line


def test_a_server_that_is_not_there_is_one_line(script):
    line = refused_here("s3://bucket/results?endpoint_override=127.0.0.1:1&scheme=http&region=us-east-1", script)
    assert "cannot be written (Could not connect to the endpoint URL" in line


def test_storage_without_permission_is_one_line(server, results):
    def authorization_after(requests):
        url, plain = f"http://{server}/moto-api/reset-auth", {"Content-Type": "text/plain"}
        request = urllib.request.Request(url, str(requests).encode(), plain)
        urllib.request.urlopen(request).close()

    authorization_after(0)
    try:
        line = refused(results)
    finally:
        authorization_after(10**9)
    assert "cannot be written (The AWS Access Key Id you provided does not exist in our records" in line


def test_workers_without_rights_are_named(results, monkeypatch):
    nodes = {"a": "10.0.0.2", "b": "10.0.0.3"}
    monkeypatch.setattr(storage, "_other_nodes", lambda: nodes)
    cluster = Cluster(1, 0, "a cluster", "10.0.0.1:6379", nodes=3)
    monkeypatch.setattr(storage, "_ask", lambda function, url, nodes: dict.fromkeys(nodes.values(), function(url)))
    storage.check_storage(results, cluster)
    monkeypatch.setattr(storage, "_ask", lambda *_: {"10.0.0.2": "", "10.0.0.3": "NoCredentialsError: none"})
    with pytest.raises(MemosweepError, match=r"from the node 10\.0\.0\.3 \(NoCredentialsError: none\); workers need"):
        storage.check_storage(results, cluster)


def test_what_a_node_cannot_write_it_says(results):
    assert storage.reason_against(results) == ""
    assert "bucket does not exist" in storage.reason_against(results.replace("://bucket", "://no-such-bucket"))


def test_a_store_that_never_answers_is_given_up(monkeypatch):
    monkeypatch.setattr(storage, "_ANSWER_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"s3://bucket/x?endpoint_override=127.0.0.1:{silent.getsockname()[1]}&scheme=http&region=us-east-1"
        with pytest.raises(MemosweepError, match=r"cannot be written \(no answer within 0\.3 s\)"):
            storage.check_storage(url, Cluster(1, 0, "this machine"))
