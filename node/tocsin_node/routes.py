"""THE WHOLE API ON ONE PAGE: method, path, handler, scope, operation id.

`open` is for anybody, `peer` for requests signed by a peer, anything else is a token's scope. A line without
a scope does not start. Every line is described in openapi.yaml under its operation id.
"""

from tocsin_node.api import (
    alerts,
    clusters,
    duplicates,
    duties,
    federation,
    health,
    log,
    node,
    peers,
    remarks,
    reports,
    search,
    witness,
)
from tocsin_node.web.auth import PeerAuth
from tocsin_node.web.peer_auth import authenticate
from tocsin_node.web.route import OPEN, PEER, Route

ROUTES: tuple[Route, ...] = (
    # method, path, handler, scope, operation id
    Route("GET", "/healthz", health.show, OPEN, "getHealth"),
    Route("GET", "/v1/node", node.show, "report:read", "getNode"),
    Route("POST", "/v1/reports", reports.submit, "report:write", "submitReport"),
    Route("GET", "/v1/reports", search.listing, "report:read", "listReports"),
    Route("GET", "/v1/reports/facets", search.facets, "report:read", "countReports"),
    Route("GET", "/v1/reports/{id}", reports.show, "report:read", "getReport"),
    Route("PUT", "/v1/reports/{id}", reports.revise, "report:write", "reviseReport"),
    Route("POST", "/v1/reports/{id}/withdraw", reports.withdraw, "report:write", "withdrawReport"),
    Route("POST", "/v1/reports/{id}/remarks", remarks.make, "report:write", "makeRemark"),
    Route("GET", "/v1/reports/{id}/remarks", remarks.listing, "report:read", "listRemarks"),
    Route("GET", "/v1/reports/{id}/duplicates", duplicates.listing, "report:read", "listDuplicates"),
    Route(
        "GET", "/v1/reports/{id}/duplicates/{other}", duplicates.telling, "report:read", "mayTellDuplicate"
    ),
    Route("PUT", "/v1/reports/{id}/duplicates/{other}", duplicates.decide, "report:write", "decideDuplicate"),
    Route("DELETE", "/v1/reports/{id}/duplicates/{other}", duplicates.undo, "report:write", "undoDuplicate"),
    Route("POST", "/v1/duplicates", duplicates.of_bundle, "report:read", "findDuplicates"),
    Route("POST", "/v1/reports/{id}/share", reports.share, "report:write", "shareReport"),
    Route("GET", "/v1/reports/{id}/proof", reports.prove, "report:read", "proveReport"),
    Route("POST", "/v1/imports", reports.take_in, "report:write", "importReports"),
    Route("GET", "/v1/peers", peers.listing, "peer:read", "listPeers"),
    Route("POST", "/v1/peers/invites", peers.invite, "peer:write", "invitePeer"),
    Route("POST", "/v1/peers/join", peers.join, "peer:write", "joinPeer"),
    Route("GET", "/v1/peers/{name}", peers.show, "peer:read", "getPeer"),
    Route("DELETE", "/v1/peers/{name}", peers.remove, "peer:write", "removePeer"),
    Route("POST", "/v1/peers/{name}/approve", peers.approve, "peer:write", "approvePeer"),
    Route("PUT", "/v1/peers/{name}/witness", peers.witness, "peer:write", "setWitness"),
    Route("GET", "/v1/peers/{name}/evidence", peers.evidence, "peer:read", "getEvidence"),
    Route("POST", "/v1/peers/{name}/sync", peers.sync, "peer:write", "syncPeer"),
    Route("GET", "/v1/alerts", alerts.listing, "alert:read", "listAlerts"),
    Route("POST", "/v1/alerts/test", alerts.test, "alert:write", "testAlert"),
    Route("GET", "/v1/alerts/check", alerts.check, "alert:read", "checkAlerts"),
    Route("GET", "/v1/alerts/{id}", alerts.show, "alert:read", "getAlert"),
    Route("POST", "/v1/alerts/{id}/ack", alerts.acknowledge, "alert:write", "acknowledgeAlert"),
    Route("GET", "/v1/duties", duties.listing, "duty:read", "listDuties"),
    Route("POST", "/v1/duties/track", duties.track, "duty:write", "trackDuties"),
    Route("GET", "/v1/duties/{id}", duties.show, "duty:read", "getDuty"),
    Route("POST", "/v1/duties/{id}/confirm", duties.confirm, "duty:write", "confirmDuty"),
    Route("POST", "/v1/duties/{id}/dismiss", duties.dismiss, "duty:write", "dismissDuty"),
    Route("POST", "/v1/duties/{id}/done", duties.done, "duty:write", "settleDuty"),
    Route("GET", "/v1/clusters", clusters.listing, "report:read", "listClusters"),
    Route("GET", "/v1/clusters/{id}", clusters.show, "report:read", "getCluster"),
    Route("GET", "/v1/log/checkpoint", log.checkpoint, "log:read", "getCheckpoint"),
    Route("POST", "/v1/log/confirm", log.confirm, "peer:write", "confirmLog"),
    Route("GET", "/v1/log/leaves", log.leaves, "log:read", "getLeaves"),
    Route("GET", "/v1/log/keys", log.keys, "log:read", "getLogKeys"),
    # What peers ask (PROTOCOL.md). Only these and the first line of the file need to be reachable from outside.
    Route("GET", "/.well-known/tocsin", federation.statements, OPEN, "getStatements"),
    Route("POST", "/f1/peer/join", federation.join, OPEN, "peerJoin"),
    Route("POST", "/f1/peer/statement", federation.learn, OPEN, "peerStatement"),
    Route("GET", "/f1/log/{log}/checkpoint", federation.checkpoint, PEER, "peerCheckpoint", waits=True),
    Route("GET", "/f1/log/{log}/tile/{path:.+}", federation.tile, PEER, "peerTile"),
    Route("GET", "/f1/log/{log}/past", federation.past, PEER, "peerPast"),
    Route("GET", "/f1/log/{log}/entries", federation.entries, PEER, "peerEntries"),
    Route("POST", "/f1/wit/add-checkpoint", witness.add_checkpoint, OPEN, "addCheckpoint"),
    Route("POST", "/f1/wit/heads", witness.heads, PEER, "peerHeads"),
)

# Who verifies the signature of a peer's request.
PEER_AUTH: PeerAuth = authenticate
