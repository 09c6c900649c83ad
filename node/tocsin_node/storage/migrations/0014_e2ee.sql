-- What an encrypted Matrix room needs beside the crypto library's tables, which the library keeps in a schema of its own.

-- Messages between devices that were taken in with the newest answer of the homeserver: it may repeat them.
create table matrix_heard (
    account text not null,
    digest  bytea not null check (length(digest) = 32),
    primary key (account, digest)
);

-- Events of the room that cannot be read yet: their key may still come. `given`: the position in the stream with
-- which an event that could be read in the end was handed on; it is forgotten when the stream has passed that.
create table matrix_set_aside (
    account     text not null,
    event_id    text not null,
    room        text not null,
    session_id  text not null,
    event       text not null,
    at          timestamptz not null default now(),
    given       text,
    primary key (account, event_id)
);
create index matrix_set_aside_session on matrix_set_aside (account, session_id);
