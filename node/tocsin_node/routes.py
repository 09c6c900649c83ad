"""THE WHOLE API ON ONE PAGE: method, path, handler, scope, operation id.

`open` is for anybody, `peer` for requests signed by a peer, anything else is a token's scope. A line without
a scope does not start. Every line is described in openapi.yaml under its operation id.
"""

from tocsin_node.api import alerts, federation, health, log, node, peers, reports
from tocsin_node.web.auth import PeerAuth
from tocsin_node.web.peer_auth import authenticate
from tocsin_node.web.route import OPEN, PEER, Route

ROUTES: tuple[Route, ...] = (
    # method, path, handler, scope, operation id
    Route("GET", "/healthz", health.show, OPEN, "getHealth"),
    Route("GET", "/v1/node", node.show, "report:read", "getNode"),
    Route("POST", "/v1/reports", reports.submit, "report:write", "submitReport"),
    Route("GET", "/v1/reports", reports.listing, "report:read", "listReports"),
    Route("GET", "/v1/reports/{id}", reports.show, "report:read", "getReport"),
    Route("PUT", "/v1/reports/{id}", reports.revise, "report:write", "reviseReport"),
    Route("POST", "/v1/reports/{id}/withdraw", reports.withdraw, "report:write", "withdrawReport"),
    Route("POST", "/v1/reports/{id}/share", reports.share, "report:write", "shareReport"),
    Route("POST", "/v1/imports", reports.take_in, "report:write", "importReports"),
    Route("GET", "/v1/peers", peers.listing, "peer:read", "listPeers"),
    Route("POST", "/v1/peers/invites", peers.invite, "peer:write", "invitePeer"),
    Route("POST", "/v1/peers/join", peers.join, "peer:write", "joinPeer"),
    Route("GET", "/v1/peers/{name}", peers.show, "peer:read", "getPeer"),
    Route("DELETE", "/v1/peers/{name}", peers.remove, "peer:write", "removePeer"),
    Route("POST", "/v1/peers/{name}/approve", peers.approve, "peer:write", "approvePeer"),
    Route("POST", "/v1/peers/{name}/sync", peers.sync, "peer:write", "syncPeer"),
    Route("GET", "/v1/alerts", alerts.listing, "alert:read", "listAlerts"),
    Route("POST", "/v1/alerts/test", alerts.test, "alert:write", "testAlert"),
    Route("GET", "/v1/alerts/{id}", alerts.show, "alert:read", "getAlert"),
    Route("POST", "/v1/alerts/{id}/ack", alerts.acknowledge, "alert:write", "acknowledgeAlert"),
    Route("GET", "/v1/log/checkpoint", log.checkpoint, "log:read", "getCheckpoint"),
    Route("GET", "/v1/log/leaves", log.leaves, "log:read", "getLeaves"),
    Route("GET", "/v1/log/keys", log.keys, "log:read", "getLogKeys"),
    # What peers ask (PROTOCOL.md). Only these and the first line of the file need to be reachable from outside.
    Route("GET", "/.well-known/tocsin", federation.statements, OPEN, "getStatements"),
    Route("POST", "/f1/peer/join", federation.join, OPEN, "peerJoin"),
    Route("POST", "/f1/peer/statement", federation.learn, OPEN, "peerStatement"),
    Route("GET", "/f1/log/{log}/checkpoint", federation.checkpoint, PEER, "peerCheckpoint", waits=True),
    Route("GET", "/f1/log/{log}/tile/0/{path:.+}", federation.tile, PEER, "peerTile"),
    Route("GET", "/f1/log/{log}/entries", federation.entries, PEER, "peerEntries"),
)

# Who verifies the signature of a peer's request.
PEER_AUTH: PeerAuth = authenticate
