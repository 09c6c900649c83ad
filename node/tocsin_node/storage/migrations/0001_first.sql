-- The first shape: reports, our log, the peers' logs, peering, alerts, tokens.
-- Signed and sealed bytes are bytea and never re-serialised. Order is by index in a log, never by a clock.

create table token (
    id          bigint generated always as identity primary key,
    name        text not null unique,
    hash        bytea not null unique,              -- SHA-256 of the token; the token itself is shown once
    scopes      text[] not null,
    created_at  timestamptz not null default now(),
    revoked_at  timestamptz
);

-- Peering -----------------------------------------------------------------------------------------

create table invite (
    id          bytea primary key,                  -- derived from the secret
    mac_key     bytea not null,                     -- derived from the secret; the secret is not kept
    nonce       bytea not null,                     -- ours; the invite fixes it by its hash
    name        text not null,                      -- what we will call who joins with it
    created_at  timestamptz not null default now(),
    expires_at  timestamptz not null,
    used_at     timestamptz,
    used_by     text,                               -- NodeID
    used_nonce  bytea                               -- theirs: the same join may be answered again, no other
);

create table peer (
    node_id       text primary key,
    name          text not null unique,             -- our name for them; theirs is in the statement
    chain         bytea[] not null,                 -- node statements as received, oldest first
    url           text not null,
    state         text not null check (state in ('pending', 'active', 'suspect', 'removed')),
    our_nonce     bytea not null,
    their_nonce   bytea not null,
    invited       boolean not null,                 -- they joined with our invite (else we with theirs)
    approved_at   timestamptz,
    sas_verified  boolean not null default false,
    max_tlp_out   text not null default 'green',
    max_tlp_in    text not null default 'green',
    problem_code  text,
    problem_hint  text,
    problem_at    timestamptz,
    last_contact_at timestamptz,
    clock_skew_s  double precision,
    fetched_next  bigint not null default 0,        -- next index of our log that they have asked for
    added_at      timestamptz not null default now()
);

-- Reports -----------------------------------------------------------------------------------------

create table report (
    id            text primary key,                 -- incident--…
    origin        text not null,                    -- NodeID that owns the id here: the first that brought it
    ver           integer not null,                 -- counts the origin's versions from 1
    state         text not null check (state in ('active', 'withdrawn')),
    name          text not null,
    tlp           text not null,
    grade         text not null,
    level         smallint not null,
    score         smallint not null,
    realization   text not null,
    modified      timestamptz not null,
    sha256        bytea not null,                   -- of bundle
    bundle        bytea not null,                   -- exact bytes
    audience      text[] not null default '{}',     -- NodeIDs we sealed it to (own reports)
    log_gen       integer,                          -- where it stands in its origin's log; null: never shared
    log_index     bigint,
    leaf_hash     bytea,
    stored_at     timestamptz not null default now(),
    seq           bigint generated always as identity unique   -- paging of lists
) with (toast_tuple_target = 8160);
alter table report alter column bundle set storage external;
create index report_grade on report (grade, seq);

create table report_version (                       -- what a newer version replaced
    report_id   text not null references report (id),
    ver         integer not null,
    tlp         text not null,
    grade       text not null,
    sha256      bytea not null,
    bundle      bytea not null,
    log_gen     integer,
    log_index   bigint,
    leaf_hash   bytea,
    stored_at   timestamptz not null,
    primary key (report_id, ver)
);

-- Our log: one Merkle tree (RFC 6962), one writer ---------------------------------------------------

create table log_entry (
    gen        integer not null,
    idx        bigint not null,
    leaf_hash  bytea not null unique,
    leaf       bytea not null,
    ct         bytea not null,
    at         timestamptz not null default now(),
    primary key (gen, idx)
) with (toast_tuple_target = 8160);
alter table log_entry alter column ct set storage external;

create table log_wrap (                             -- the sealed data key, one a recipient
    recipient  text not null,                       -- NodeID
    gen        integer not null,
    idx        bigint not null,
    wrap       bytea not null,
    primary key (recipient, gen, idx)
);

create table log_checkpoint (
    gen       integer not null,
    size      bigint not null,
    root      bytea not null,
    frontier  bytea not null,                       -- compact range, to go on appending from here
    note      bytea not null,                       -- C2SP signed note
    at        timestamptz not null default now(),
    primary key (gen, size)
);

-- The peers' logs as we verified them ----------------------------------------------------------------

create table remote_log (
    origin      text not null,                      -- NodeID
    gen         integer not null,
    size        bigint not null default 0,
    root        bytea,
    frontier    bytea not null,
    note        bytea,
    next_index  bigint not null default 0,          -- the cursor: first entry without an outcome
    primary key (origin, gen)
);

create table remote_leaf (
    origin     text not null,
    gen        integer not null,
    idx        bigint not null,
    leaf_hash  bytea not null,
    primary key (origin, gen, idx)
);

create table remote_checkpoint (
    origin   text not null,
    gen      integer not null,
    size     bigint not null,
    root     bytea not null,
    note     bytea not null,
    seen_at  timestamptz not null default now(),
    primary key (origin, gen, size)
);

create table evidence (                             -- two signed statements of an origin that cannot both be true
    id       bigint generated always as identity primary key,
    origin   text not null,
    code     text not null,
    held     bytea not null,                        -- the checkpoint that we had verified
    offered  bytea not null,                        -- the one that contradicts it
    at       timestamptz not null default now()
);
create unique index evidence_once on evidence (origin, sha256(held), sha256(offered));  -- a note has up to 16 KiB

create table remote_entry (                         -- one terminal outcome an entry addressed to us
    origin     text not null,
    gen        integer not null,
    idx        bigint not null,
    leaf_hash  bytea not null,
    outcome    text not null check (outcome in ('stored', 'unchanged', 'superseded', 'refused', 'quarantined')),
    code       text,                                -- why, for refused and quarantined
    report_id  text,
    ver        integer,
    at         timestamptz not null default now(),
    primary key (origin, gen, idx)
);
create index remote_entry_outcome on remote_entry (origin, outcome, code);
create index remote_entry_not_taken on remote_entry (at) where outcome in ('refused', 'quarantined');

create table quarantine (                           -- what we could not take, whole
    origin  text not null,
    gen     integer not null,
    idx     bigint not null,
    code    text not null,
    leaf    bytea not null,
    wrap    bytea not null,
    ct      bytea not null,
    at      timestamptz not null default now(),
    primary key (origin, gen, idx)
);

-- Alerts: outbox and what came back -------------------------------------------------------------------

create table alert (
    id         bigint generated always as identity primary key,
    report_id  text,                                -- null for a test alert
    ver        integer,
    kind       text not null check (kind in ('raise', 'escalate', 'withdrawn', 'test')),
    grade      text not null,
    level      smallint not null,
    tlp        text not null,
    origin     text not null,                       -- organisation's name
    ours       boolean not null,                    -- filed here
    facts      jsonb not null,                      -- what the words are made of: no more than the room may read
    raised_at  timestamptz not null default now(),
    unique (report_id, ver)                         -- a version rings once
);

create table delivery (
    id           bigint generated always as identity primary key,
    alert_id     bigint not null references alert (id),
    channel      text not null,
    room         text not null,
    priority     smallint not null,                 -- smallest first
    content      jsonb not null,                    -- frozen: the same transaction id always carries the same content
    txn          text not null unique,
    state        text not null default 'pending'
                 check (state in ('pending', 'sending', 'accepted', 'echoed', 'failed', 'superseded')),
    attempts     integer not null default 0,
    next_at      timestamptz not null default now(),
    lease_until  timestamptz,
    first_try_at timestamptz,                       -- of this transaction id: homeservers forget them after a day
    event_id     text,
    accepted_at  timestamptz,
    echoed_at    timestamptz,                       -- seen in the room by our own client
    last_error   text,
    created_at   timestamptz not null default now()
);
create index delivery_due on delivery (priority, id) where state in ('pending', 'sending');
create index delivery_alert on delivery (alert_id);
create index delivery_event on delivery (event_id) where event_id is not null;

create table acknowledgement (
    id          bigint generated always as identity primary key,
    alert_id    bigint references alert (id),       -- null: came from a peer before or without an alert of ours
    report_id   text,
    ver         integer,
    node        text,                               -- NodeID of the peer whose responder it was; null: ours
    by          text not null,                      -- Matrix user or token name; a peer's: the organisation
    via         text not null check (via in ('reaction', 'reply', 'api', 'peer')),
    event_id    text unique,                        -- the Matrix event that said it
    note        text,
    at          timestamptz not null,
    revoked_at  timestamptz,
    shared_idx  bigint                              -- our log entry that told the origin; null: not told as it stands
);
create index acknowledgement_alert on acknowledgement (alert_id);
create index acknowledgement_report on acknowledgement (report_id);
create index acknowledgement_unshared on acknowledgement (id) where shared_idx is null and node is null;
create unique index acknowledgement_api on acknowledgement (alert_id, by) where via = 'api' and revoked_at is null;
create unique index acknowledgement_peer on acknowledgement (report_id, ver, node) where via = 'peer';

create table channel (
    name         text primary key,                  -- 'matrix'
    state        text not null check (state in ('up', 'degraded', 'down')),
    code         text,
    hint         text,
    since        timestamptz not null default now(),
    fail_count   integer not null default 0,
    last_ok_at   timestamptz,
    paused_until timestamptz,                       -- the homeserver told us to wait
    sync_of      text,                              -- homeserver, user and room that the position belongs to
    sync_since   text,                              -- committed together with what was read up to it
    ignored_acks bigint not null default 0          -- by people who are no responders
);
