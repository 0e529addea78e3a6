"""Paths and URLs: joined, told apart and opened in one place."""

import fsspec
import pytest
from ray.air._internal.uri_utils import URI

from analysis.results.store import is_local, join_url, local_path, open_location, open_store

AWKWARD = ["plain", "with space", "[emm]", "é", "50%20", "a#b", "what?", "a::b", "*"]


@pytest.mark.parametrize(
    ("location", "joined"),
    [
        ("/results", "/results/run"),
        ("/results/", "/results/run"),
        ("/what?", "/what?/run"),
        ("s3://bucket/x", "s3://bucket/x/run"),
        ("s3://bucket/x/", "s3://bucket/x/run"),
        ("s3://bucket", "s3://bucket/run"),
        (
            "s3://bucket/x?endpoint_override=http://127.0.0.1:9000",
            "s3://bucket/x/run?endpoint_override=http://127.0.0.1:9000",
        ),
        ("s3://bucket/x/?a=1&b=2", "s3://bucket/x/run?a=1&b=2"),
    ],
)
def test_a_name_goes_inside_the_path(location, joined):
    assert join_url(location, "run") == joined


@pytest.mark.parametrize(
    "location", ["s3://bucket/x?endpoint_override=http://127.0.0.1:9000", "gs://bucket/a/b", "/tmp/results"]
)
def test_it_is_where_ray_puts_a_run(location):
    assert join_url(location, "run") == str(URI(location) / "run")


def test_a_file_url_is_decoded_and_a_path_is_not():
    assert (is_local("file:///a%20b"), local_path("file:///a%20b")) == (True, "/a b")
    assert (is_local("/a%20b"), local_path("/a%20b")) == (True, "/a%20b")
    assert not is_local("s3://bucket/x")


@pytest.mark.parametrize("name", AWKWARD)
def test_any_folder_of_this_machine_is_opened_as_it_is_called(name, tmp_path):
    folder = tmp_path / name / "trial"
    folder.mkdir(parents=True)
    (folder / "result.json").write_text("{}")
    filesystem, path = open_location(str(tmp_path / name))
    assert [entry.rpartition("/")[2] for entry in filesystem.ls(path, detail=False)] == ["trial"]
    assert list(open_store(tmp_path / name).result_files()) == ["trial"]


@pytest.mark.parametrize(
    ("query", "endpoint"),
    [
        ("endpoint_override=127.0.0.1:9&scheme=http&region=us-east-1", "http://127.0.0.1:9"),
        ("endpoint_override=minio.example", "https://minio.example"),
        ("endpoint_override=http%3A%2F%2F127.0.0.1%3A9", "http://127.0.0.1:9"),
    ],
)
def test_a_query_of_s3_names_the_endpoint_and_is_not_in_the_path(query, endpoint):
    filesystem, path = open_location(f"s3://bucket/x/run?{query}")
    assert path == "bucket/x/run"
    assert filesystem.creates_exclusively
    assert filesystem.endpoint_url == endpoint


def test_other_options_of_a_query_are_left_to_pyarrow():
    url = "s3://bucket/x/run?endpoint_override=127.0.0.1:9&scheme=http&region=us-east-1&allow_bucket_creation=true"
    filesystem, path = open_location(url)
    assert (filesystem.creates_exclusively, path) == (False, "bucket/x/run")


def test_errors_of_an_object_store_are_those_of_a_file_system(monkeypatch):
    class StoreError(Exception):
        """As botocore's, of no common base."""

    class Broken:
        protocol = "broken"

        def invalidate_cache(self):
            pass

        def ls(self, path):
            raise StoreError(f"{path} is unheard of")

        def cat_file(self, path):
            raise FileNotFoundError(path)

        def wrong(self):
            raise TypeError("a mistake of ours")

    monkeypatch.setattr(fsspec.core, "url_to_fs", lambda _: (Broken(), "x"))
    filesystem, _ = open_location("broken://x")
    with pytest.raises(OSError, match="/a is unheard of"):
        filesystem.ls("/a")
    with pytest.raises(FileNotFoundError):
        filesystem.cat_file("/a")
    with pytest.raises(TypeError):
        filesystem.wrong()


def test_a_url_whose_fsspec_package_is_missing_is_opened_by_pyarrow(monkeypatch):
    def missing(_):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    assert open_location("mock:///bucket/run")[1] == "bucket/run"


def test_remote_folders_with_brackets_are_listed():
    memory = fsspec.filesystem("memory")
    for name in ("run/[a]/result.json", "run/b/result.json", "run/result.json", "run/b/deep/result.json"):
        memory.pipe_file(f"/[emm]/{name}", b"{}")
    try:
        store = open_store("memory://[emm]/run")
        assert list(store.result_files()) == ["[a]", "b"]
        assert store.name == "run"
        assert dict(store.read(["[a]/result.json"])) == {"[a]/result.json": b"{}"}
        ((name, missing),) = store.read(["[a]/absent"])
        assert (name, isinstance(missing, OSError)) == ("[a]/absent", True)
    finally:
        for path in [*memory.store]:
            if path.startswith("/[emm]"):
                del memory.store[path]
