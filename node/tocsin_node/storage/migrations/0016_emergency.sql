-- Emergencies: a call to all that have a report, who was reached how far, and what they say. Drills are marked, and are
-- rows of these tables alone: nothing that counts incidents reads them.
create table emergency (
    id         uuid primary key,                        -- the same at every node (PROTOCOL.md, P-141)
    key        uuid not null,                           -- its author's own name for it
    report_id  text not null references report (id),
    origin     text not null,                           -- NodeID of who calls
    drill      boolean not null,
    local      boolean not null default false,          -- of our own people alone: nobody else is called
    since      timestamptz not null,                    -- when it was declared, by its author's clock, but not in our future
    rang       text not null                            -- as what; past the limit of a day ordinary, or not at all (silent);
               check (rang in ('emergency', 'ordinary', 'silent', 'late')), -- late: it was over, or old, when it came
    stored_at  timestamptz not null default now(),
    nth        bigint generated always as identity
);
create index emergency_report on emergency (report_id);
create index emergency_origin on emergency (origin, stored_at);

-- What was said about an emergency, by its author. The highest count stands.
create table emergency_call (
    emergency  uuid not null references emergency (id),
    seq        integer not null,
    ver        integer not null,                        -- the version of the report that it speaks of
    state      text not null check (state in ('declared', 'updated', 'stood-down')),
    reason     text not null,
    steps      jsonb not null,
    tlp        text not null,
    at         timestamptz not null,
    by         text,                                    -- who of us said it; never told to others
    sha256     bytea not null,
    audience   text[] not null default '{}',            -- NodeIDs we sealed it to (own only)
    log_gen    integer,
    log_index  bigint,
    leaf_hash  bytea,
    stored_at  timestamptz not null default now(),
    primary key (emergency, seq)
);
create index emergency_call_leaf on emergency_call (leaf_hash) where leaf_hash is not null;

-- How far a call got, at whom. For a peer as it told us (at: by its clock, within what is possible); for ourselves only
-- what we answer.
create table emergency_answer (
    emergency  uuid not null references emergency (id),
    node       text not null,
    stage      text not null check (stage in ('stored', 'rung', 'acknowledged', 'answered')),
    said       text check (said in ('affected', 'not-affected', 'investigating')),
    first_at   timestamptz not null,
    at         timestamptz not null,                    -- of the latest word
    by         text,                                    -- who of us said it; never told to others
    revoked    boolean not null default false,
    heard_at   timestamptz not null default now(),      -- when the first came here
    primary key (emergency, node, stage)
);

-- What of this the caller was told by us, as it stood then.
create table emergency_told (
    emergency  uuid not null references emergency (id),
    stage      text not null,
    said       text,
    revoked    boolean not null,
    log_index  bigint not null,
    primary key (emergency, stage)
);

alter table alert add emergency uuid references emergency (id);
create unique index alert_emergency on alert (emergency) where emergency is not null;
alter table alert drop constraint alert_kind_check;
alter table alert add constraint alert_kind_check
    check (kind in ('raise', 'escalate', 'withdrawn', 'test', 'duty', 'cluster', 'digest', 'emergency'));

-- A later call of an emergency is told in the alert's thread and rings.
alter table delivery drop constraint delivery_kind_check;
alter table delivery add constraint delivery_kind_check
    check (kind in ('ring', 'update', 'notice', 'escalation', 'digest', 'call'));
