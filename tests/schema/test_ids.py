import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin_schema import ids
from tocsin_schema.errors import BadId


@pytest.mark.parametrize(
    "text",
    [
        "incident--5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a",
        "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487",
        "x-mitre-tactic--5ee864f7-a0d5-5b08-b887-a4ceda5c2f7a",
    ],
)
def test_these_are_identifiers(text):
    assert ids.is_id(text)
    assert ids.type_of(text) == text.rpartition("--")[0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "incident",
        "incident--",
        "incident--5EE864F7-a0d5-4b08-9887-a4ceda5c2f7a",
        "incident-5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a",
        "incident--5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a\n",
        "incident--5ee864f7-a0d5-9b08-9887-a4ceda5c2f7a",
        "-incident--5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a",
        "incident--5ee864f7-a0d5-4b08-1887-a4ceda5c2f7a",
        "--5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a",
        None,
        5,
    ],
)
def test_these_are_not(text):
    assert not ids.is_id(text)
    with pytest.raises(BadId):
        ids.type_of(text)


def test_a_long_text_is_no_identifier_and_is_looked_at_once():
    assert not ids.is_id("a-" * 500_000 + "--")


def test_new_incidents_are_random_and_derived_names_are_frozen():
    assert ids.new_incident_id() != ids.new_incident_id()
    assert uuid.UUID(ids.new_incident_id().removeprefix("incident--")).version == 4
    # Changing one of these renames objects all over the network.
    assert ids.imported_incident_id("aiid", "23") == "incident--d9947023-e743-5d0c-ad67-3d0628d57c61"
    assert (
        ids.wrapper_id("incident--5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a")
        == "report--d30fb2a1-a0ea-5465-9a10-df401fa3c9ae"
    )


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30))
def test_a_party_has_one_identifier_however_its_name_is_typed(name):
    assert ids.party_id("organization", f"  {name} ") == ids.party_id("organization", name)
    assert ids.party_id("organization", name) != ids.party_id("class", name)


def test_a_name_is_compared_without_case_width_and_spacing():
    assert ids.fold("Ｎavya  SAS") == ids.fold("navya sas")
    assert ids.fold("Straße") == ids.fold("STRASSE")
