"""What chance makes of a good vector is judged alike by the package and by the reader that was written from the text."""

import base64
import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.federation.test_second_reader import JUDGES, VECTORS, raw
from tests.federation.vector_checks import CHECKS, unpacked

from tocsin_federation.errors import FederationError

# What the reader holds itself and believes; and STIX, which the profile of the schema wing judges.
BELIEVED = {"known", "held", "others", "enc_seeds", "standing", "sealed", "carried", "public", "root", "id"}
GOOD = {
    kind: [json.loads(path.read_text()) for path in sorted((VECTORS / kind).glob("valid*.json"))]
    for kind in JUDGES
}
KINDS = sorted(set(JUDGES) - {"cosignature", "tile", "invite"})
STRAY = [b"0", b"1", b"=", b'"', b" ", b"\n", b"null", b"true", b",", b"-", b"{", b"]", b"\xff", b"\\"]


def places(value, at=()):
    """Where bytes stand in what a vector gives."""
    if isinstance(value, dict) and set(value) in ({"utf8"}, {"base64"}):
        yield at
    elif isinstance(value, dict):
        for name, each in value.items():
            yield from places(each, (*at, name)) if name not in BELIEVED else ()
    elif isinstance(value, list):
        for n, each in enumerate(value):
            yield from places(each, (*at, n))


def changed(data, good):
    """The bytes with one stretch of them put otherwise."""
    at = data.draw(st.integers(0, len(good)))
    cut = data.draw(st.sampled_from([0, 1, 1, 2, 5]))
    return good[:at] + data.draw(st.sampled_from([b"", *STRAY])) + good[at + cut :]


def code_of(check, facts):
    try:
        check(unpacked(facts))
    except FederationError as exc:
        return exc.code
    return "ok"


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.data())
def test_what_chance_makes_of_a_vector_is_judged_alike_by_both_readers(kind, data):
    facts = copy.deepcopy(data.draw(st.sampled_from(GOOD[kind]))["given"])
    *way, last = data.draw(
        st.sampled_from(
            [
                at
                for at in places(facts)
                if not (kind in {"report", "remark"} and at == ("content",))
                and not (kind == "addressed" and at[0] == "chain")
            ]
        )
    )
    holder = facts
    for name in way:
        holder = holder[name]
    holder[last] = {"base64": base64.b64encode(changed(data, raw(holder[last]))).decode()}
    for name in (
        "emergency",
        "origins",
        *(["held"] if kind == "compare" else []),
    ):  # what a good vector says besides
        facts.pop(name, None)
    wanted, found = code_of(CHECKS[kind], copy.deepcopy(facts)), JUDGES[kind](facts)
    found = found if isinstance(found, str) else "ok"
    if kind == "frames":  # of two faults in one frame either may be told
        found, wanted = found == "ok", wanted == "ok"
    assert found == wanted
