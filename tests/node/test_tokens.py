import asyncio
import hashlib
import os

import pytest
from tests.support.late import Late

from tocsin_node.services.tokens import SCOPES, TokenInvalid, TokenNameTaken, TokenNameUnknown, Tokens
from tocsin_node.storage.errors import StorageUnavailable


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def tokens(pool, clock):
    return Tokens(pool, rng=os.urandom, clock=clock)


async def test_a_token_opens_what_its_scopes_say_and_nothing_else(tokens):
    _, text = await tokens.create("alice", ["report:read"])
    bearer = await tokens.recognise(text)
    assert bearer.name == "alice"
    assert {scope for scope in SCOPES if bearer.may(scope)} == {"report:read"}


async def test_admin_may_everything(tokens):
    _, text = await tokens.create("root", ["admin"])
    bearer = await tokens.recognise(text)
    assert all(bearer.may(scope) for scope in SCOPES)


async def test_only_the_hash_is_kept(tokens, conn):
    _, text = await tokens.create("alice", ["report:read"])
    row = await conn.fetchrow("select * from token")
    assert row["hash"] == hashlib.sha256(text.encode()).digest()
    assert text not in repr(dict(row))
    assert len(text) == len("tocsin_") + 64


@pytest.mark.parametrize("text", ["", "tocsin_", "tocsin_" + "0" * 64, "Ünïcode", "x" * 10_000])
async def test_what_is_no_token_is_nobody(tokens, text):
    assert await tokens.recognise(text) is None


async def test_a_revoked_token_stops_at_once_here(tokens):
    _, text = await tokens.create("alice", ["report:read"])
    assert await tokens.recognise(text) is not None
    await tokens.revoke("alice")
    assert await tokens.recognise(text) is None


async def test_a_token_that_is_revoked_while_it_is_looked_up_is_not_remembered(pool, tokens, clock):
    _, text = await tokens.create("alice", ["report:read"])
    late = Late(pool)
    here = Tokens(late, rng=os.urandom, clock=clock)
    looking = asyncio.create_task(here.recognise(text))
    await late.written.wait()
    await here.revoke("alice")
    late.go_on.set()
    await looking
    assert await here.recognise(text) is None


async def test_a_token_revoked_by_another_process_stops_within_seconds(tokens, pool, clock):
    _, text = await tokens.create("alice", ["report:read"])
    await tokens.recognise(text)
    await Tokens(pool, rng=os.urandom).revoke("alice")
    clock.now += 3.1
    assert await tokens.recognise(text) is None


async def test_a_token_made_by_another_process_works_within_seconds(tokens, pool, clock):
    text = "tocsin_" + "a" * 64
    assert await tokens.recognise(text) is None
    await Tokens(pool, rng=os.urandom).register("late", ["admin"], text)
    clock.now += 3.1
    assert await tokens.recognise(text) is not None


async def test_a_token_that_was_just_seen_needs_no_database(tokens, pool):
    _, text = await tokens.create("alice", ["report:read"])
    await tokens.recognise(text)
    await pool.close()
    assert (await tokens.recognise(text)).name == "alice"
    with pytest.raises(StorageUnavailable):
        await tokens.recognise("another")


async def test_names_are_unique_among_the_living(tokens):
    await tokens.create("alice", ["report:read"])
    with pytest.raises(TokenNameTaken):
        await tokens.create("alice", ["admin"])
    await tokens.revoke("alice")
    await tokens.create("alice", ["admin"])
    await tokens.revoke("alice")
    names = [row.name for row in await tokens.list()]
    assert len(set(names)) == 2
    assert "alice" in names
    with pytest.raises(TokenNameUnknown):
        await tokens.revoke("alice")


@pytest.mark.parametrize(
    ("name", "scopes"),
    [
        ("alice", []),
        ("alice", ["report:delete"]),
        ("", ["admin"]),
        ("a b", ["admin"]),
        ("a" * 65, ["admin"]),
        ("a\n", ["admin"]),
    ],
)
async def test_a_token_without_a_plain_name_or_with_unknown_scopes_is_not_made(tokens, name, scopes):
    with pytest.raises(TokenInvalid):
        await tokens.create(name, scopes)
    assert await tokens.list() == []


async def test_the_first_token_is_admitted_once_and_stays_revoked(tokens):
    text = "tocsin_" + "b" * 64
    await tokens.admit("init", ("admin",), text)
    await tokens.admit("init", ("admin",), text)
    (row,) = await tokens.list()
    assert row.name == "init"
    await tokens.revoke("init")
    await tokens.admit("init", ("admin",), text)
    assert await tokens.recognise(text) is None


async def test_another_first_token_is_admitted_beside_the_old_one(tokens):
    await tokens.admit("init", ("admin",), "tocsin_" + "b" * 64)
    await tokens.admit("init", ("admin",), "tocsin_" + "c" * 64)
    first, second = await tokens.list()
    assert (first.name, second.name[:5], len(second.name)) == ("init", "init-", 13)
    assert await tokens.recognise("tocsin_" + "c" * 64)
