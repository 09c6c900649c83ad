-- Keys of encrypted Matrix rooms stand beside the rest, so that one backup holds both. The crypto library makes and
-- migrates its own tables in this schema when an encrypted room is used; these two are ours.
create schema matrix_crypto;

-- Messages between devices that were taken in with the newest answer of the homeserver: it may repeat them.
create table matrix_crypto.heard (
    digest  bytea primary key check (length(digest) = 32)
);

-- Events of the room that cannot be read yet: their key may still come. `given`: the position in the stream with
-- which an event that could be read in the end was handed on; it is forgotten when the stream has passed that.
create table matrix_crypto.set_aside (
    event_id    text primary key,
    room        text not null,
    session_id  text not null,
    event       text not null,
    at          timestamptz not null default now(),
    given       text
);
create index set_aside_session on matrix_crypto.set_aside (session_id);
