"""What HTTP requests mean at the door: statuses, headers and bodies."""

import base64
import http.client
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from kvsim.core.operation import (
    CompareAndSet,
    Create,
    Delete,
    NotServed,
    OperationError,
    OutcomeUnknown,
    Put,
    Remove,
    RequestId,
    Scan,
    Unavailable,
    Update,
    WrittenOnce,
)
from tests.doors.conftest import PATIENCE_S, OpenDoors

JSON = {"Content-Type": "application/json"}


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Caller:
    """A kept-alive connection."""

    def __init__(self, doors: OpenDoors) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", doors.http_port, timeout=PATIENCE_S)

    def __call__(
        self, method: str, target: str, body: bytes | str | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        self.connection.request(method, target, body, headers or {})
        answer = self.connection.getresponse()
        return Answer(answer.status, dict(answer.getheaders()), answer.read())


@pytest.fixture
def ask(doors: OpenDoors) -> Iterator[Caller]:
    caller = Caller(doors)
    yield caller
    caller.connection.close()


def test_put_get_head_and_delete(ask: Caller) -> None:
    created = ask("PUT", "/v1/kv/k", b"one")
    assert (created.status, created.headers["ETag"]) == (201, '"1.data-1"')
    replaced = ask("PUT", "/v1/kv/k", b"two")
    assert (replaced.status, replaced.headers["ETag"], replaced.body) == (204, '"2.data-1"', b"")
    found = ask("GET", "/v1/kv/k")
    assert (found.status, found.body, found.headers["ETag"]) == (200, b"two", '"2.data-1"')
    head = ask("HEAD", "/v1/kv/k")
    assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", "3")
    assert ask("DELETE", "/v1/kv/k").status == 204
    assert ask("GET", "/v1/kv/k").status == 404
    assert ask("HEAD", "/v1/kv/k").status == 404
    assert ask("DELETE", "/v1/kv/k").status == 404
    assert ask("DELETE", "/v1/kv/k?blind=true").status == 204


def test_a_put_that_cannot_know_what_was_there_answers_200(doors: OpenDoors, ask: Caller) -> None:
    doors.store.knows_existed = False
    answer = ask("PUT", "/v1/kv/k", b"v")
    assert (answer.status, answer.json) == (200, {"version": "1.data-1"})


def test_a_value_is_never_guessed_to_be_a_page(ask: Caller) -> None:
    ask("PUT", "/v1/kv/page", b"<script>alert(1)</script>", {"Content-Type": "text/html"})
    headers = ask("GET", "/v1/kv/page").headers
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert "sandbox" in headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("/v1/kv/a/b", b"a/b"),
        ("/v1/kv/a%2Fb", b"a/b"),
        ("/v1/kv/%252F", b"%2F"),
        ("/v1/kv/a+b", b"a+b"),
        ("/v1/kv/%00%FF", b"\x00\xff"),
        ("/v1/kv/", b""),
        ("/v1/kv/..", b".."),
        ("/v1/kv?key=..", b".."),
        ("/v1/kv?key=", b""),
        ("/v1/kv?key=a+b%2B", b"a b+"),
    ],
)
def test_a_key_is_the_raw_path_decoded_once(doors: OpenDoors, ask: Caller, path: str, key: bytes) -> None:
    assert ask("PUT", path, b"v").status == 201
    assert list(doors.store.records) == [key]
    assert ask("GET", path).body == b"v"


def test_conditions_on_put(doors: OpenDoors, ask: Caller) -> None:
    assert ask("PUT", "/v1/kv/k", b"1", {"If-Match": "*"}).status == 412
    assert ask("PUT", "/v1/kv/k", b"1", {"If-None-Match": "*"}).status == 201
    assert ask("PUT", "/v1/kv/k", b"1", {"If-None-Match": "*"}).status == 412
    updated = ask("PUT", "/v1/kv/k", b"2", {"If-Match": "*"})
    assert updated.status == 204
    assert ask("PUT", "/v1/kv/k", b"3", {"If-Match": '"1.data-1"'}).status == 412
    assert ask("PUT", "/v1/kv/k", b"3", {"If-Match": updated.headers["ETag"]}).status == 204
    assert ask("PUT", "/v1/kv/k", b"4", {"If-Match": "never an etag"}).status == 412
    assert ask("PUT", "/v1/kv/k", b"4", {"If-Match": f"W/{updated.headers['ETag']}"}).status == 412
    assert doors.store.records[b"k"].value == b"3"
    kinds = [type(op) for op in doors.store.seen]
    assert kinds == [Update, Create, Create, Update, *[CompareAndSet] * 4]


def test_conditions_on_values_travel_in_json(doors: OpenDoors, ask: Caller) -> None:
    assert ask("PUT", "/v1/kv/k", '{"value": "1", "expected": "0"}', JSON).status == 412
    assert ask("PUT", "/v1/kv/k", '{"value": "1", "expected": null}', JSON).status == 201
    assert ask("PUT", "/v1/kv/k", '{"value_b64": "/w==", "expected": "1"}', JSON).status == 204
    assert ask("PUT", "/v1/kv/k", '{"value": "3", "expected_b64": "/w=="}', JSON).status == 204
    assert ask("PUT", "/v1/kv/k", '{"value": "4", "expected_version": "3.data-1"}', JSON).status == 204
    assert doors.store.records[b"k"].value == b"4"


def test_get_with_a_known_version_is_304(ask: Caller) -> None:
    tag = ask("PUT", "/v1/kv/k", b"v").headers["ETag"]
    for condition in (tag, f'"9.x", W/{tag}', "*"):
        answer = ask("GET", "/v1/kv/k", headers={"If-None-Match": condition})
        assert (answer.status, answer.body, answer.headers["ETag"]) == (304, b"", tag)
    assert ask("GET", "/v1/kv/k", headers={"If-None-Match": '"9.x"'}).status == 200


def test_json_instead_of_bare_bytes(ask: Caller) -> None:
    assert ask("PUT", "/v1/kv/k", '{"value": "ä"}'.encode(), JSON).status == 201
    assert ask("GET", "/v1/kv/k").body == "ä".encode()
    wanted = {"Accept": "application/json"}
    assert ask("GET", "/v1/kv/k", headers=wanted).json == {"key": "k", "value": "ä", "version": "1.data-1"}
    ask("PUT", "/v1/kv/%FF", b"\xff")
    assert ask("GET", "/v1/kv/%FF", headers=wanted).json == {
        "key_b64": "/w==",
        "value_b64": "/w==",
        "version": "2.data-1",
    }


def test_post_creates_the_key_in_its_body(doors: OpenDoors, ask: Caller) -> None:
    created = ask("POST", "/v1/kv", '{"key": "a/b", "value": "v"}', JSON)
    assert (created.status, created.headers["Location"]) == (201, "/v1/kv/a%2Fb")
    assert ask("GET", created.headers["Location"]).body == b"v"
    again = ask("POST", "/v1/kv", '{"key": "a/b", "value": "v"}', JSON)
    assert (again.status, again.json["code"]) == (409, "already_exists")
    dots = ask("POST", "/v1/kv", '{"key": "..", "value_b64": ""}', JSON)
    assert ask("GET", dots.headers["Location"]).status == 200


def test_lists_page_by_page(doors: OpenDoors, ask: Caller) -> None:
    for key in ("a", "b1", "b2", "b3", "c", "b%FF"):
        ask("PUT", f"/v1/kv/{key}", b"v")
    first = ask("GET", "/v1/kv?prefix=b&limit=2")
    assert [item["key"] for item in first.json["items"]] == ["b1", "b2"]
    assert first.json["next"] == "b3"
    link = first.headers["Link"]
    second = ask("GET", link[1 : link.index(">")])
    assert second.json == {
        "items": [
            {"key": "b3", "value": "v", "version": "4.data-1"},
            {"key_b64": base64.b64encode(b"b\xff").decode(), "value": "v", "version": "6.data-1"},
        ],
        "next": None,
    }
    assert "Link" not in second.headers

    def keys(query: str) -> list[str]:
        return [item.get("key", "?") for item in ask("GET", f"/v1/kv?{query}").json["items"]]

    assert keys("") == ["a", "b1", "b2", "b3", "?", "c"]
    assert keys("start=b2&end=c") == ["b2", "b3", "?"]
    assert keys("after=b2&prefix=b") == ["b3", "?"]
    assert keys("start=c&end=b") == []
    assert "value" not in ask("GET", "/v1/kv?keys_only=true").json["items"][0]


def test_the_next_page_may_start_at_a_key_that_is_no_text(ask: Caller) -> None:
    ask("PUT", "/v1/kv/a", b"v")
    ask("PUT", "/v1/kv/%FF", b"v")
    page = ask("GET", "/v1/kv?limit=1")
    assert page.json["next_b64"] == "/w=="
    assert "start=%FF" in page.headers["Link"]


def test_an_idempotency_key_names_the_request(doors: OpenDoors, ask: Caller) -> None:
    for key in ("ada/7", '"ada/8"', "free text", "a/b/9"):
        assert ask("PUT", "/v1/kv/k", b"v", {"Idempotency-Key": key}).status in (201, 204)
    requests = [op.request for op in doors.store.seen]
    assert requests == [RequestId("ada", 7), RequestId("ada", 8), RequestId("key:free text", 1), RequestId("a/b", 9)]
    first = ask("PUT", "/v1/kv/once", b"1", {"Idempotency-Key": "ada/10"})
    assert ask("PUT", "/v1/kv/once", b"1", {"Idempotency-Key": "ada/10"}).headers["ETag"] == first.headers["ETag"]


def test_other_requests_are_numbered_by_the_door(doors: OpenDoors, ask: Caller) -> None:
    ask("PUT", "/v1/kv/k", b"v")
    ask("DELETE", "/v1/kv/k")
    [one, two] = [op.request for op in doors.store.seen]
    assert one.client == two.client
    assert one.client.startswith("door:http:frontend-1:")
    assert two.number == one.number + 1


@pytest.mark.parametrize(
    ("failure", "status", "outcome", "retryable"),
    [
        (Unavailable("2 of 3 are down"), 503, "fail", True),
        (OutcomeUnknown("no answer in time"), 504, "info", True),
        (NotServed("not atomic here"), 501, "fail", False),
        (WrittenOnce("k was written before"), 409, "fail", False),
        (RuntimeError("a bug"), 500, "info", False),
    ],
)
def test_problems_say_whether_it_happened(
    doors: OpenDoors, ask: Caller, failure: Exception, status: int, outcome: str, retryable: bool
) -> None:
    with doors.store.failing(failure):
        for method, target in (("GET", "/v1/kv/k"), ("PUT", "/v1/kv/k"), ("DELETE", "/v1/kv/k"), ("GET", "/v1/kv")):
            answer = ask(method, target)
            assert answer.status == status
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert answer.json["outcome"] == outcome
            assert answer.json["retryable"] is retryable
            assert answer.json["status"] == status
            assert {"type", "title", "detail"} <= answer.json.keys()
            if isinstance(failure, OperationError):
                assert answer.json["detail"] == failure.detail
            assert ("Retry-After" in answer.headers) == (status == 503)


@pytest.mark.parametrize(
    ("method", "target", "body", "headers", "status", "word"),
    [
        ("GET", "/", None, {}, 404, "/v1/kv"),
        ("GET", "/v1/kvs", None, {}, 404, "/v1/kv"),
        ("POST", "/v1/kv/k", b"v", {}, 405, "POST"),
        ("DELETE", "/v1/kv", None, {}, 405, "DELETE"),
        ("POST", "/v1/cluster", b"", {}, 405, "looked at"),
        ("GET", "/v1/kv/%zz", None, {}, 400, "%25"),
        ("GET", "/v1/kv/k?x=1", None, {}, 400, "unknown parameter"),
        ("GET", "/v1/kv?prefix=a&prefix=b", None, {}, 400, "twice"),
        ("GET", "/v1/kv?limit=0", None, {}, 400, "1000"),
        ("GET", "/v1/kv?limit=+1", None, {}, 400, "1000"),
        ("GET", "/v1/kv?keys_only=maybe", None, {}, 400, "true or false"),
        ("GET", "/v1/kv/k?key=k", None, {}, 400, "leave one out"),
        ("GET", "/v1/kv/" + "k" * 1_025, None, {}, 413, "1024"),
        ("POST", "/v1/kv", b"{", JSON, 400, "not JSON"),
        ("POST", "/v1/kv", b'{"key": "\xe4"}', JSON, 400, "not JSON in UTF-8"),
        ("POST", "/v1/kv", b"[]", JSON, 400, "object"),
        ("POST", "/v1/kv", b'{"key": "k"}', JSON, 400, "value"),
        ("POST", "/v1/kv", b'{"key": "k", "value": 1}', JSON, 400, "string"),
        ("POST", "/v1/kv", b'{"key": "k", "value_b64": "%"}', JSON, 400, "cannot be read"),
        ("POST", "/v1/kv", b'{"key": "k", "value": "", "ttl": 1}', JSON, 400, "ttl"),
        ("POST", "/v1/kv", b"key=k&value=v", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "json"),
        ("PUT", "/v1/kv/k", b'{"a": 1}', JSON, 400, "unknown field"),
        ("PUT", "/v1/kv/k", b"v", {"If-Match": "*", "If-None-Match": "*"}, 400, "one condition"),
        ("PUT", "/v1/kv/k", b"v", {"If-None-Match": '"1.a"'}, 400, "If-Match"),
        ("PUT", "/v1/kv/k", b"v", {"If-Match": '"1.a", "2.a"'}, 400, "one version"),
        ("PUT", "/v1/kv/k", b'{"value": "", "expected_version": "x"}', JSON, 400, "expected_version"),
        ("PUT", "/v1/kv/k", b"v", {"Content-Encoding": "gzip"}, 415, "Content-Encoding"),
        ("PUT", "/v1/kv/k", b"v", {"Idempotency-Key": ""}, 400, "Idempotency-Key"),
        ("PUT", "/v1/kv/k", b"v", {"Idempotency-Key": "x" * 201}, 400, "Idempotency-Key"),
        ("PUT", "/v1/kv/k", b"v", {"Idempotency-Key": "door:http:a:b/1"}, 400, "door:"),
        ("DELETE", "/v1/kv/k", None, {"If-Match": '"1.a"'}, 400, "If-Match"),
        ("PUT", "/v1/kv/k", b"x" * 1_048_577, {}, 413, "1048576"),
        ("GET", "/v1/kv/k", None, {"Host": "evil.example"}, 421, "evil.example"),
        ("GET", "/v1/kv/k", None, {"Host": "127.0.0.1.evil.example:80"}, 421, "evil.example"),
        ("PUT", "/v1/kv/k", b"v", {"Origin": "http://evil.example"}, 403, "evil.example"),
        ("PUT", "/v1/kv/k", b"v", {"Origin": "null"}, 403, "null"),
        ("PUT", "/v1/kv/k", b"v", {"Sec-Fetch-Site": "cross-site"}, 403, "other sites"),
    ],
)
def test_wrong_requests_are_refused_with_the_reason_and_nothing_is_done(
    doors: OpenDoors,
    ask: Caller,
    method: str,
    target: str,
    body: bytes | None,
    headers: dict[str, str],
    status: int,
    word: str,
) -> None:
    answer = ask(method, target, body, headers)
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert word in answer.json["detail"]
    assert answer.json["outcome"] == "fail"
    assert ("Allow" in answer.headers) == (status == 405)
    assert doors.store.seen == []
    assert ask("GET", "/v1/cluster").status == 200


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1", "[::1]:80", "kv.example:8420"])
def test_the_nodes_own_names_are_answered(ask: Caller, host: str) -> None:
    assert ask("GET", "/v1/cluster", headers={"Host": host}).status == 200
    assert ask("GET", "/v1/cluster", headers={"Host": host, "Origin": f"http://{host}"}).status == 200


def test_the_cluster_can_be_looked_at(ask: Caller) -> None:
    assert ask("GET", "/v1/cluster").json == {"design": {"replication": "none"}, "nodes": ["data-1"]}
    assert ask("GET", "/v1/cluster?key=a%2Fb").json["key"] == "a/b"


def test_operations_are_what_was_asked(doors: OpenDoors, ask: Caller) -> None:
    ask("PUT", "/v1/kv/k", b"v")
    ask("DELETE", "/v1/kv/k?blind=true")
    ask("DELETE", "/v1/kv/k")
    ask("GET", "/v1/kv?prefix=%FF%FF")
    [put, remove, delete, scan] = doors.store.seen
    assert isinstance(put, Put)
    assert isinstance(remove, Remove)
    assert isinstance(delete, Delete)
    assert isinstance(scan, Scan)
    assert (scan.start, scan.end) == (b"\xff\xff", None)


@pytest.mark.needs_command("curl")
def test_curl_puts_and_gets(doors: OpenDoors) -> None:
    def curl(*words: str, given: bytes = b"") -> bytes:
        command = ["curl", "--silent", "--show-error", "--fail-with-body", "--max-time", "20", *words]
        return subprocess.run(command, input=given, capture_output=True, timeout=PATIENCE_S, check=True).stdout

    large = bytes(range(256)) * 4_096
    curl("--request", "PUT", "--data", "hello", f"{doors.url}/v1/kv/greeting")
    assert curl(f"{doors.url}/v1/kv/greeting") == b"hello"
    curl("--upload-file", "-", f"{doors.url}/v1/kv/large", given=large)  # curl sends Expect: 100-continue, in chunks
    assert curl(f"{doors.url}/v1/kv/large") == large
    assert json.loads(curl("--json", '{"key": "k", "value": "v"}', f"{doors.url}/v1/kv")) == {"version": "3.data-1"}
    curl("--request", "DELETE", f"{doors.url}/v1/kv/k")
