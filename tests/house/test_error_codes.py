"""Every error code is documented, well-formed, and says what to do next."""

import re

from tests.house import error_codes
from tests.house.error_codes import CLI, FINDINGS, HTTP, WIRE
from tests.house.error_page import page
from tests.house.repository import ROOT, agrees

PAGE = ROOT / "node/ERRORS.md"


def test_the_page_of_errors_is_current():
    assert agrees(PAGE, page(error_codes.all_codes())), "after a review: make golden"


def test_every_code_is_kebab_case():
    for code in error_codes.all_codes():
        assert re.fullmatch(r"[a-z0-9…]+(-[a-z0-9…]+)*", code.code), code


def test_every_code_has_a_meaning_and_an_advice():
    silent = [
        (code.kind, code.code)
        for code in error_codes.all_codes()
        if code.kind in {HTTP, WIRE, FINDINGS} and not (code.message and code.hint)
    ]
    assert not silent


def test_every_code_in_the_status_table_exists():
    from tocsin_node.web.problems import STATUS

    known = {code.code for code in error_codes.all_codes()} | {
        getattr(cls, "outward_code", "") for cls in _federation_errors()
    }
    assert set(STATUS) <= known, sorted(set(STATUS) - known)


def _federation_errors():
    from tocsin_federation.errors import FederationError

    return error_codes._classes(FederationError)


def test_every_exit_code_is_used():
    from tocsin_cli.exits import Exit

    used = {int(code.extra) for code in error_codes.all_codes() if code.kind == CLI}
    assert {int(e) for e in Exit} - used <= {Exit.DONE, Exit.ATTENTION}  # nothing failed


# Errors that no caller of the API meets: they keep the node from starting, or belong to following a peer.
NEVER_SERVED = {
    "address-unavailable", "already-initialised", "e2ee-missing", "identity-expired", "node-running", "not-initialised",
    "secret-unreadable", "settings-invalid", "token-invalid", "token-name-unknown",
    "key-locked", "passphrase-wrong", "passphrase-weak", "paper-unread", "rotation-running", "last-good-unknown", "last-good-unsaid",
    "log-fork", "log-growth", "log-rollback", "log-root",
    "database-newer", "database-not-migrated", "migration-changed", "migration-failed",
    "database-outside", "dump-failed",
    "postgres-failed", "postgres-missing", "postgres-user-missing", "postgres-version",
}  # fmt: skip
# Faults of ours, and told so.
OURS = {
    "internal-error", "node-error", "look-again",
    "storage-conflict", "storage-error", "storage-refused", "storage-unfit",
}  # fmt: skip


def test_what_a_caller_did_wrong_is_not_told_as_a_fault_of_ours():
    as_ours = {code.code for code in error_codes.all_codes() if code.kind == HTTP and code.extra == "500"}
    assert not as_ours - NEVER_SERVED - OURS, "these need a status in web/problems.py"
