-- What an encrypted Matrix room needs beside the crypto library's tables, which the library keeps in a schema of its own.

-- Messages between devices that were taken in with the newest answer of the homeserver: it may repeat them.
create table matrix_heard (
    digest  bytea primary key check (length(digest) = 32)
);

-- Events of the room that cannot be read yet: their key may still come. `given`: the position in the stream with
-- which an event that could be read in the end was handed on; it is forgotten when the stream has passed that.
create table matrix_set_aside (
    event_id    text primary key,
    room        text not null,
    session_id  text not null,
    event       text not null,
    at          timestamptz not null default now(),
    given       text
);
create index matrix_set_aside_session on matrix_set_aside (session_id);
