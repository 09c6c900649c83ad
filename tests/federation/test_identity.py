import itertools
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.federation.nodes import A_KEYS, NOW, A, B, Rng, make

from tocsin_federation.errors import IdentityRefused, KeyRefused
from tocsin_federation.identity import extend, incept, verify_chain
from tocsin_federation.keys import load_enc_private, load_private, public_of
from tocsin_federation.node_id import node_id_bytes, node_id_from_bytes
from tocsin_federation.statement import Void, is_url

DAY = timedelta(days=1)
ORG = {"org": "Delta Lab", "domain": "delta.example", "urls": ["https://delta.example"]}


def renewed(chain, keys, now, **changes):
    made, statement = extend(chain, root_private=keys.next_root, now=now, rng=Rng(f"{now}"), **changes)
    return made, [*chain, statement]


def code(call, *args, **changes):
    with pytest.raises(IdentityRefused) as caught:
        call(*args, **changes)
    return caught.value.code


def test_a_new_node_is_whole():
    statement = A.statement
    assert statement.org.domain == "alpha.example"
    assert statement.log.origin.startswith("alpha.example/tocsin/")
    assert statement.expires_at - statement.issued_at == timedelta(days=100)
    assert A.http_key(statement.http[0].kid, NOW) == public_of(A_KEYS.http)
    assert A.http_key("0" * 16, NOW) is None
    assert {load_enc_private(seed).kid for seed in A_KEYS.enc.values()} == set(A_KEYS.enc)
    assert {key.kid for key in statement.enc} == set(A_KEYS.enc)
    for private in (A_KEYS.root, A_KEYS.next_root, A_KEYS.log, A_KEYS.witness, A_KEYS.http):
        assert load_private(private) == private


def test_two_nodes_of_one_domain_are_two():
    nodes = [incept(**ORG, now=NOW, rng=Rng(seed)) for seed in ("one", "two")]
    first, second = (verify_chain([statement], expected=None, now=NOW) for _, statement in nodes)
    assert first.node_id != second.node_id
    assert first.statement.log.origin != second.statement.log.origin


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.sampled_from([None, "http", "witness", "log", "enc", "domain", "urls"]), min_size=1, max_size=6
    )
)
def test_a_node_survives_the_change_of_everything(changes):
    keys, chain = A_KEYS, list(A.chain)
    identity = A
    for n, change in enumerate(changes, start=1):
        now = NOW + n * 20 * DAY
        wanted = {"replace": [change]} if change in {"http", "witness", "log", "enc"} else {}
        wanted |= {
            "domain": {"domain": f"new{n}.example"},
            "urls": {"urls": [f"https://n{n}.example:8443/x"]},
        }.get(change, {})
        keys, chain = renewed(chain, keys, now, **wanted)
        fresh = verify_chain(chain, expected=A.node_id, now=now)
        assert fresh == verify_chain(chain, expected=A.node_id, now=now, known=identity)
        assert fresh.node_id == A.node_id
        assert fresh.enc_key(now).kid in set(keys.enc) | {key.kid for key in identity.statement.enc}
        identity = fresh
    assert len(identity.statements) == len(changes) + 1


def test_what_is_replaced_is_new_and_the_rest_stays():
    keys, chain = renewed(list(A.chain), A_KEYS, NOW + 80 * DAY, replace=["http"])
    identity = verify_chain(chain, expected=A.node_id, now=NOW + 80 * DAY)
    assert keys.http is not None
    assert (keys.log, keys.witness) == (None, None)
    assert identity.statement.log == A.statement.log
    assert identity.statement.wit == A.statement.wit
    assert [key.pk for key in identity.statement.http] == [public_of(keys.http)]
    assert repr(keys) == "RenewedKeys(…)"


def test_a_lost_log_is_ended_at_its_last_good_head():
    void = Void(gen=1, size=41, root=bytes(32))
    _, chain = renewed(list(A.chain), A_KEYS, NOW + DAY, replace=["log"], void=void)
    statement = verify_chain(chain, expected=A.node_id, now=NOW + DAY).statement
    assert (statement.log.gen, statement.void) == (2, void)
    assert code(
        renewed, list(A.chain), A_KEYS, NOW + DAY, replace=["log"], void=Void(gen=2, size=0, root=bytes(32))
    ) == ("log-changed")


def test_keys_to_seal_to_follow_each_other_without_a_gap():
    seen = []
    for day in range(100):
        key = A.enc_key(NOW + day * DAY)
        if key.kid not in seen:
            seen.append(key.kid)
    assert seen == [key.kid for key in A.statement.enc]
    assert code(A.enc_key, NOW + 100 * DAY) == "no-enc-key"
    assert code(A.enc_key, NOW - 2 * DAY) == "no-enc-key"


def test_a_peer_whose_clock_is_behind_finds_a_key_in_force():
    assert A.enc_key(NOW - timedelta(hours=23)).kid == A.statement.enc[0].kid


def test_a_renewal_keeps_the_key_in_force_and_lays_out_the_rest_anew():
    now = NOW + 70 * DAY
    keys, chain = renewed(list(A.chain), A_KEYS, now)
    identity = verify_chain(chain, expected=A.node_id, now=now)
    assert identity.enc_key(now).kid == A.enc_key(now).kid
    kids = [key.kid for key in identity.statement.enc]
    assert kids[0] not in keys.enc
    assert set(kids[1:]) == set(keys.enc)
    for day in range(100):
        identity.enc_key(now + day * DAY)
    spans = [(key.nbf, key.exp) for key in identity.statement.enc]
    assert all(before[1] == after[0] for before, after in itertools.pairwise(spans))


def test_many_renewals_in_a_row_do_not_heap_up_keys():
    keys, chain = A_KEYS, list(A.chain)
    for day in range(1, 30):
        keys, chain = renewed(chain, keys, NOW + day * DAY)
    assert len(verify_chain(chain, expected=A.node_id, now=NOW + 29 * DAY).statement.enc) <= 5


def test_a_compromised_key_is_not_kept():
    now = NOW + DAY
    _, chain = renewed(list(A.chain), A_KEYS, now, replace=["enc"])
    identity = verify_chain(chain, expected=A.node_id, now=now)
    assert not {key.kid for key in identity.statement.enc} & {key.kid for key in A.statement.enc}


def test_only_the_key_that_was_put_away_can_renew():
    for wrong in (A_KEYS.root, A_KEYS.log, make("beta")[0].next_root):
        assert code(extend, A.chain, root_private=wrong, now=NOW, rng=Rng()) == "root-private-mismatch"


def test_a_node_that_was_silent_for_100_days_can_still_renew_itself():
    now = NOW + 150 * DAY
    assert code(verify_chain, A.chain, expected=A.node_id, now=now) == "statement-expired"
    _, chain = renewed(list(A.chain), A_KEYS, now)
    assert verify_chain(chain, expected=A.node_id, now=now).enc_key(now)


def test_a_chain_that_has_not_grown_is_taken_again():
    assert verify_chain(A.chain, expected=A.node_id, now=NOW, known=A) == A


def test_a_key_is_in_force_from_its_first_second_until_before_its_end():
    key = A.statement.http[0]
    for at, public in ((key.nbf - 1, None), (key.nbf, key.pk), (key.exp - 1, key.pk), (key.exp, None)):
        assert A.http_key(key.kid, datetime.fromtimestamp(at, UTC)) == public
    first, second = A.statement.enc[:2]
    assert A.enc_key(datetime.fromtimestamp(first.nbf, UTC)).kid == first.kid
    assert A.enc_key(datetime.fromtimestamp(first.exp - 1, UTC)).kid == first.kid
    assert A.enc_key(datetime.fromtimestamp(second.nbf, UTC)).kid == second.kid


def test_a_chain_has_64_statements_at_most():
    keys, chain = A_KEYS, list(A.chain)
    for n in range(1, 64):
        keys, chain = renewed(chain, keys, NOW + timedelta(hours=n))
    now = NOW + timedelta(hours=64)
    assert len(verify_chain(chain, expected=A.node_id, now=now).statements) == 64
    assert code(renewed, chain, keys, now) == "chain-too-long"


def test_a_statement_dated_a_day_ahead_is_still_taken():
    assert verify_chain(A.chain, expected=A.node_id, now=NOW - DAY)
    assert code(verify_chain, A.chain, expected=A.node_id, now=NOW - DAY - timedelta(seconds=1)) == (
        "statement-from-future"
    )


def test_everything_passes_at_its_limit():
    urls = ["https://" + "a" * 60 + ".example/" + "p" * 435] * 4
    assert len(urls[0]) == 512
    incept(org="x" * 200, domain=".".join(["a" * 62] * 4)[:253], urls=urls, now=NOW, rng=Rng())


def test_a_stored_chain_is_read_without_a_clock():
    assert verify_chain(A.chain, expected=A.node_id, now=None) == A


@pytest.mark.parametrize(
    "fields",
    [
        {"org": ""}, {"org": "x" * 201}, {"org": "two\nlines"}, {"org": " spaced "},
        {"domain": "Delta.example"}, {"domain": "delta_example"}, {"domain": "delta..example"}, {"domain": ""},
        {"urls": []}, {"urls": ["https://delta.example"] * 5}, {"urls": ["https://delta.example/?a"]},
        {"urls": ["https://delta.example/#a"]}, {"urls": ["https://a:b@delta.example"]}, {"urls": ["ftp://delta.example"]},
        {"urls": ["https://delta.example/"]}, {"urls": ["https://delta.example\n"]}, {"urls": ["delta.example"]},
    ],
    ids=str,
)  # fmt: skip
def test_an_operators_slip_is_refused_before_anything_is_signed(fields):
    assert code(incept, **ORG | fields, now=NOW, rng=Rng()) == "fields-invalid"
    given_to_extend = {name: value for name, value in fields.items() if value != ""}
    if given_to_extend:
        assert code(
            extend, A.chain, root_private=A_KEYS.next_root, now=NOW, rng=Rng(), **given_to_extend
        ) == ("fields-invalid")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080",
        "https://[::1]:8443/tocsin",
        "https://node.example.org/a/b.c~d_e-f",
        "http://localhost",
    ],
)
def test_addresses_that_are_meant_pass(url):
    incept(**ORG | {"urls": [url]}, now=NOW, rng=Rng())


@given(st.binary(min_size=32, max_size=32))
def test_node_ids_write_32_bytes(raw):
    node_id = node_id_from_bytes(raw)
    assert len(node_id) == 54
    assert node_id_bytes(node_id) == raw
    for other in (raw[:31], raw + b"x"):
        with pytest.raises(KeyRefused):
            node_id_from_bytes(other)


@pytest.mark.parametrize(
    "text", ["", "n1", A.node_id[:-1], A.node_id + "a", A.node_id.upper(), "n2" + A.node_id[2:], A.node_id[:-1] + "b",
             A.node_id + "\n", " " + A.node_id]
)  # fmt: skip
def test_a_node_id_has_one_spelling(text):
    with pytest.raises(KeyRefused) as caught:
        node_id_bytes(text)
    assert caught.value.code == "node-id-malformed"


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_flipped_bit_anywhere_in_a_chain_is_refused(data):
    raw = bytearray(B.chain[0])
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8
    assert code(verify_chain, [bytes(raw)], expected=B.node_id, now=NOW)


@pytest.mark.parametrize(
    ("url", "fit"),
    [
        ("https://[::1]:8711/tocsin", True),
        ("https://[2001:db8::7]", True),
        ("https://alder.example:65535", True),
        ("https://alder.example:65536", False),
        ("https://[:]", False),
        ("https://[abc]", False),
        ("https://[1:2:3]", False),
    ],
)
def test_an_address_is_one_that_readers_of_urls_take(url, fit):
    assert is_url(url) == fit
    if fit:
        assert urlsplit(url).hostname
