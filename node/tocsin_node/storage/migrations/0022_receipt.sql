-- Receipts: what became of a peer's entries here, on the way to their author; and what peers say of ours.
create table receipt_due (                          -- gone once the entry of our log that tells it is committed
    id         bigint generated always as identity primary key,
    origin     text not null,                       -- NodeID of the author
    leaf_hash  bytea not null,
    state      text not null,
    code       text,
    at         timestamptz not null default now(),
    unique (origin, leaf_hash, state)
);
create index receipt_due_origin on receipt_due (origin, id);

create table receipt (                              -- how far an entry of our log got at a peer
    node         text not null,                     -- NodeID
    gen          integer not null,
    idx          bigint not null,
    sent_at      timestamptz,                       -- it was served
    verified_at  timestamptz,                       -- its reader went on to what follows
    outcome      text check (outcome in ('stored', 'unchanged', 'superseded', 'refused', 'quarantined')),
    code         text,
    outcome_at   timestamptz,                       -- this and what follows by the peer's clock
    alerted_at   timestamptz,
    waiting_at   timestamptz,
    narrowed_at  timestamptz,
    purged_at    timestamptz,
    primary key (node, gen, idx)
);
create index receipt_unverified on receipt (node, gen, idx) where verified_at is null;
