-- Recalls, erasing, and what was erased and does not come in again. Nothing here names a report: `tag` is a keyed hash of its
-- id, whose key stands outside the database.
alter table log_entry add erased_at timestamptz;
drop index log_entry_lost;
create index log_entry_lost on log_entry (gen) where leaf is null and erased_at is null;

create index remote_entry_leaf on remote_entry (leaf_hash) where report_id is not null; -- recalls name entries so

create table recall (                               -- what we took back, or marked more strictly
    id        uuid primary key,
    tag       bytea not null,
    what      text not null check (what in ('purge', 'narrow')),
    tlp       text not null,
    reason    text not null,
    by        text not null,
    at        timestamptz not null default now(),
    deadline  timestamptz not null,
    erased    boolean not null default false        -- and here, too
);
create index recall_tag on recall (tag);

create table recall_peer (                          -- whom it goes to
    recall  uuid not null references recall (id),
    node    text not null,                          -- NodeID
    ref     bytea not null,                         -- leaf hash of the newest entry that it was sent about the report
    gen     integer,                                -- where our log says so; null: not yet
    idx     bigint,
    primary key (recall, node)
);
create index recall_peer_untold on recall_peer (recall) where idx is null;

create table recalled (                             -- what peers took back
    leaf_hash  bytea primary key,                   -- of the entry that says so
    origin     text not null,                       -- NodeID
    what       text not null check (what in ('purge', 'narrow')),
    tlp        text not null,
    entries    bytea[] not null,
    reason     text,                                -- null once it is done
    at         timestamptz not null,
    deadline   timestamptz not null,
    stored_at  timestamptz not null default now(),
    done_at    timestamptz,
    done_by    text,                                -- null: by itself
    reports    integer                              -- how many were erased
);
create index recalled_open on recalled (stored_at) where done_at is null;
create index recalled_entries on recalled using gin (entries);

create table erasure (                              -- what does not come in again
    id         bigint generated always as identity primary key,
    tag        bytea not null,
    contents   bytea[] not null,                    -- the same of the SHA-256 of each version's bytes
    origin     text,                                -- NodeID of the peer that asked for it; null: ours
    by         text,                                -- null: by itself
    reason     text,
    at         timestamptz not null default now(),
    lifted_at  timestamptz,
    lifted_by  text,
    why_lifted text
);
create index erasure_tag on erasure (tag) where lifted_at is null;
create index erasure_contents on erasure using gin (contents) where lifted_at is null;

alter table delivery drop constraint delivery_kind_check;
alter table delivery add constraint delivery_kind_check
    check (kind in ('ring', 'update', 'notice', 'escalation', 'digest', 'call', 'unsay'));
