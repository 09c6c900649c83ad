"""`tocsin cluster`: what several organisations report, for people and for scripts."""

import json

from aiohttp import web

CLUSTER = {
    "id": "0123456789abcdef", "kind": "system", "name": "kestrel vigil\x1b[2J", "organisations": 2, "reports": 3, "level": 4,
    "tlp": "green", "first_at": "2026-01-01T00:00:00Z", "last_at": "2026-01-02T00:00:00Z",
    "reasons": ["2 organisations within 14 days: us, lab"],
}  # fmt: skip
MEMBER = {
    "id": "incident--1",
    "level": 4,
    "first_at": "2026-01-01T00:00:00Z",
    "origin": {"name": "lab", "ours": False},
}


def answer(node, path, document):
    async def say(_request, _handler):
        return web.json_response(document)

    node.fault("GET", path, say)


def test_clusters_are_listed_safely_and_shown_with_reasons(tocsin, node):
    answer(node, "/v1/clusters", {"items": [CLUSTER]})
    listed = tocsin("cluster", "list")
    assert listed.stdout.splitlines()[1].split()[:2] == ["0123456789abcdef", "system"]
    assert "\x1b" not in listed.stdout
    answer(node, "/v1/clusters", {"items": [CLUSTER]})
    assert json.loads(tocsin("cluster", "list", "--json").stdout) == {"items": [CLUSTER]}
    path = f"/v1/clusters/{CLUSTER['id']}"
    answer(node, path, {**CLUSTER, "members": [MEMBER]})
    shown = tocsin("cluster", "show", CLUSTER["id"])
    assert "2 organisations within 14 days: us, lab" in shown.stdout
    assert shown.stdout.splitlines()[-1].split()[:3] == ["incident--1", "lab", "4"]


def test_no_clusters_are_said_so(tocsin, node):
    answer(node, "/v1/clusters", {"items": []})
    assert tocsin("cluster", "list").stderr == "No clusters.\n"
