"""THE WHOLE API ON ONE PAGE: method, path, handler, scope, operation id.

`open` is for anybody, `peer` for requests signed by a peer, anything else is a token's scope. A line without
a scope does not start. Every line is described in openapi.yaml under its operation id, and what it leaves in the audit
log stands in audit_actions.py.
"""

from tocsin_node.api import (
    alerts,
    audit,
    circles,
    clusters,
    complaints,
    duplicates,
    duties,
    emergencies,
    federation,
    health,
    log,
    node,
    oncall,
    peers,
    receipts,
    reconciling,
    remarks,
    reports,
    search,
    silences,
    subscriptions,
    witness,
)
from tocsin_node.web.auth import PeerAuth
from tocsin_node.web.peer_auth import authenticate
from tocsin_node.web.route import OPEN, PEER, Route
from tocsin_node.web.wanted import FREE, LISTED

PAGE = ("limit", "cursor")
AUDIENCE = ("to", "dry_run", "personal_data_reviewed_by")
NOTED = ("who", "action", "object", "since", "until")
RECORD = ("redaction_of", "record_ver")
SOUGHT = ("q", "text", "system", "origin", *LISTED, *FREE, "min_level")
SOUGHT += ("since", "until", "stored_since", "stored_until")

ROUTES: tuple[Route, ...] = (
    # method, path, handler, scope, operation id, parameters of the query
    Route("GET", "/healthz", health.show, OPEN, "getHealth"),
    Route("GET", "/v1/node", node.show, "report:read", "getNode"),
    Route(
        "POST",
        "/v1/reports",
        reports.submit,
        "report:write",
        "submitReport",
        (*AUDIENCE, "share", "circle", *RECORD),
    ),
    Route("GET", "/v1/reports", search.listing, "report:read", "listReports", (*PAGE, *SOUGHT)),
    Route("GET", "/v1/reports/facets", search.facets, "report:read", "countReports", SOUGHT),
    Route("GET", "/v1/reports/{id}", reports.show, "report:read", "getReport"),
    Route("PUT", "/v1/reports/{id}", reports.revise, "report:write", "reviseReport", (*AUDIENCE, *RECORD)),
    Route(
        "POST", "/v1/reports/{id}/withdraw", reports.withdraw, "report:write", "withdrawReport", AUDIENCE[1:]
    ),
    Route("POST", "/v1/reports/{id}/remarks", remarks.make, "report:write", "makeRemark", AUDIENCE[:2]),
    Route("GET", "/v1/reports/{id}/remarks", remarks.listing, "report:read", "listRemarks"),
    Route("GET", "/v1/reports/{id}/receipts", receipts.listing, "report:read", "listReceipts"),
    Route("GET", "/v1/reports/{id}/duplicates", duplicates.listing, "report:read", "listDuplicates"),
    Route(
        "GET", "/v1/reports/{id}/duplicates/{other}", duplicates.telling, "report:read", "mayTellDuplicate"
    ),
    Route("PUT", "/v1/reports/{id}/duplicates/{other}", duplicates.decide, "report:write", "decideDuplicate"),
    Route("DELETE", "/v1/reports/{id}/duplicates/{other}", duplicates.undo, "report:write", "undoDuplicate"),
    Route("POST", "/v1/duplicates", duplicates.of_bundle, "report:read", "findDuplicates"),
    Route("GET", "/v1/reports/{id}/route", alerts.route_of_report, "alert:read", "routeReport"),
    Route(
        "POST",
        "/v1/reports/{id}/share",
        reports.share,
        "report:write",
        "shareReport",
        (*AUDIENCE, "circle"),
    ),
    Route("GET", "/v1/reports/{id}/proof", reports.prove, "report:read", "proveReport", ("ver", "disclose")),
    Route(
        "POST",
        "/v1/imports",
        reports.take_in,
        "report:write",
        "importReports",
        ("to", "share", "personal_data_reviewed_by"),
    ),
    Route("GET", "/v1/peers", peers.listing, "peer:read", "listPeers"),
    Route("POST", "/v1/peers/invites", peers.invite, "peer:write", "invitePeer"),
    Route("POST", "/v1/peers/join", peers.join, "peer:write", "joinPeer"),
    Route("GET", "/v1/peers/{name}", peers.show, "peer:read", "getPeer"),
    Route("DELETE", "/v1/peers/{name}", peers.remove, "peer:write", "removePeer"),
    Route("POST", "/v1/peers/{name}/approve", peers.approve, "peer:write", "approvePeer"),
    Route("PUT", "/v1/peers/{name}/policy", peers.policy, "peer:write", "setPolicy"),
    Route("PUT", "/v1/peers/{name}/witness", peers.witness, "peer:write", "setWitness"),
    Route("GET", "/v1/peers/{name}/verify", reconciling.verify, "peer:read", "verifyPeer"),
    Route("POST", "/v1/peers/{name}/verify", reconciling.repair, "peer:write", "repairPeer"),
    Route("GET", "/v1/peers/{name}/evidence", peers.evidence, "peer:read", "getEvidence"),
    Route("POST", "/v1/peers/{name}/sync", peers.sync, "peer:write", "syncPeer"),
    Route("GET", "/v1/complaints", complaints.listing, "peer:read", "listComplaints", ("against",)),
    Route(
        "GET",
        "/v1/complaints/{id}/evidence",
        complaints.evidence,
        "peer:read",
        "proveComplaint",
        ("disclose",),
    ),
    Route("GET", "/v1/circles", circles.listing, "peer:read", "listCircles"),
    Route("POST", "/v1/circles", circles.adopt, "peer:write", "adoptCircle", ("resolve",)),
    Route("GET", "/v1/circles/{name}", circles.show, "peer:read", "getCircle"),
    Route("GET", "/v1/circles/{name}/file", circles.file, "peer:read", "getCircleFile"),
    Route("POST", "/v1/circles/{name}/adopt", circles.adopt_offered, "peer:write", "adoptOfferedCircle"),
    Route("POST", "/v1/circles/{name}/leave", circles.leave, "peer:write", "leaveCircle"),
    Route(
        "POST",
        "/v1/circles/{name}/backfill",
        circles.fill,
        "report:write",
        "backfillCircle",
        ("since", "dry_run", "personal_data_reviewed_by"),
    ),
    Route("GET", "/v1/alerts", alerts.listing, "alert:read", "listAlerts", (*PAGE, "open")),
    Route("POST", "/v1/alerts/test", alerts.test, "alert:write", "testAlert"),
    Route("POST", "/v1/alerts/route", alerts.route_of_bundle, "alert:read", "routeBundle"),
    Route("GET", "/v1/alerts/check", alerts.check, "alert:read", "checkAlerts"),
    Route("GET", "/v1/alerts/{id}", alerts.show, "alert:read", "getAlert"),
    Route("POST", "/v1/alerts/{id}/ack", alerts.acknowledge, "alert:write", "acknowledgeAlert"),
    Route("POST", "/v1/alerts/{id}/take", alerts.take, "alert:write", "takeAlert"),
    Route("POST", "/v1/alerts/{id}/mute", alerts.mute, "alert:write", "muteAlert"),
    Route("POST", "/v1/alerts/{id}/resolve", alerts.resolve, "alert:write", "resolveAlert"),
    Route("POST", "/v1/alerts/{id}/escalate", alerts.escalate, "alert:write", "escalateAlert"),
    Route("GET", "/v1/oncall", oncall.show, "alert:read", "getOncall", ("at", "until")),
    Route("POST", "/v1/oncall/overrides", oncall.override, "alert:write", "overrideOncall"),
    Route("POST", "/v1/oncall/overrides/{id}/clear", oncall.clear, "alert:write", "clearOverride"),
    Route("GET", "/v1/subscriptions", subscriptions.listing, "alert:read", "listSubscriptions"),
    Route("POST", "/v1/subscriptions", subscriptions.subscribe, "alert:write", "subscribe"),
    Route("POST", "/v1/subscriptions/{id}/end", subscriptions.end, "alert:write", "endSubscription"),
    Route("POST", "/v1/emergencies", emergencies.declare, "report:write", "declareEmergency"),
    Route(
        "GET",
        "/v1/emergencies",
        emergencies.listing,
        "alert:read",
        "listEmergencies",
        (*PAGE, "open", "drill"),
    ),
    Route("GET", "/v1/emergencies/{id}", emergencies.show, "alert:read", "getEmergency"),
    Route("GET", "/v1/emergencies/{id}/times", emergencies.show_times, "alert:read", "getEmergencyTimes"),
    Route("POST", "/v1/emergencies/{id}/update", emergencies.update, "report:write", "updateEmergency"),
    Route(
        "POST",
        "/v1/emergencies/{id}/stand-down",
        emergencies.stand_down,
        "report:write",
        "standDownEmergency",
    ),
    Route("POST", "/v1/emergencies/{id}/answer", emergencies.answer, "report:write", "answerEmergency"),
    Route("GET", "/v1/silences", silences.listing, "alert:read", "listSilences", (*PAGE, "all")),
    Route("POST", "/v1/silences", silences.add, "alert:write", "addSilence"),
    Route("POST", "/v1/silences/{id}/expire", silences.expire, "alert:write", "expireSilence"),
    Route("GET", "/v1/duties", duties.listing, "duty:read", "listDuties", (*PAGE, "open", "report")),
    Route("POST", "/v1/duties/track", duties.track, "duty:write", "trackDuties"),
    Route("GET", "/v1/duties/{id}", duties.show, "duty:read", "getDuty"),
    Route("POST", "/v1/duties/{id}/confirm", duties.confirm, "duty:write", "confirmDuty"),
    Route("POST", "/v1/duties/{id}/dismiss", duties.dismiss, "duty:write", "dismissDuty"),
    Route("POST", "/v1/duties/{id}/done", duties.done, "duty:write", "settleDuty"),
    Route("GET", "/v1/clusters", clusters.listing, "report:read", "listClusters"),
    Route("GET", "/v1/clusters/{id}", clusters.show, "report:read", "getCluster"),
    Route("GET", "/v1/log/checkpoint", log.checkpoint, "log:read", "getCheckpoint"),
    Route("POST", "/v1/log/confirm", log.confirm, "peer:write", "confirmLog"),
    Route("GET", "/v1/log/leaves", log.leaves, "log:read", "getLeaves", ("from", "to")),
    Route("GET", "/v1/log/keys", log.keys, "log:read", "getLogKeys"),
    Route("POST", "/v1/log/republish", log.republish, "report:write", "republishReports"),
    Route("GET", "/v1/audit", audit.listing, "audit:read", "listAudit", (*PAGE, *NOTED)),
    Route("GET", "/v1/audit/head", audit.head, "audit:read", "getAuditHead"),
    Route("GET", "/v1/audit/lines", audit.lines, "audit:read", "getAuditLines", ("from", "to")),
    # What peers ask (PROTOCOL.md). Only these and the first line of the file need to be reachable from outside.
    Route("GET", "/.well-known/tocsin", federation.statements, OPEN, "getStatements"),
    Route("POST", "/f1/peer/join", federation.join, OPEN, "peerJoin"),
    Route("POST", "/f1/peer/statement", federation.learn, OPEN, "peerStatement"),
    Route(
        "GET",
        "/f1/log/{log}/checkpoint",
        federation.checkpoint,
        PEER,
        "peerCheckpoint",
        ("since", "wait"),
        waits=True,
    ),
    Route("GET", "/f1/log/{log}/tile/{path:.+}", federation.tile, PEER, "peerTile"),
    Route("GET", "/f1/log/{log}/past", federation.past, PEER, "peerPast", ("from", "to")),
    Route("GET", "/f1/log/{log}/entries", federation.entries, PEER, "peerEntries", ("from", "max")),
    Route("POST", "/f1/log/{log}/compare", federation.compare, PEER, "peerCompare"),
    Route("POST", "/f1/wit/add-checkpoint", witness.add_checkpoint, OPEN, "addCheckpoint"),
    Route("POST", "/f1/wit/heads", witness.heads, PEER, "peerHeads"),
)

# Who verifies the signature of a peer's request.
PEER_AUTH: PeerAuth = authenticate
