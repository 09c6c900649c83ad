-- Remarks: what an organisation says about a report. One row a report, node and kind: the remark that stands.

create table remark (
    report_id  text not null references report (id),
    node       text not null,                       -- NodeID of who says it
    kind       text not null check (kind in ('sighting', 'opinion', 'exposure')),
    ver        integer not null,                    -- the version of the report that it speaks of
    said       text not null,                       -- the step of an opinion, the word of an exposure
    tlp        text not null,
    created    timestamptz not null,
    modified   timestamptz not null,                -- of two remarks of a kind the later stands; then the greater hash
    revoked    boolean not null,                    -- taken back
    sha256     bytea not null,                      -- of bundle
    bundle     bytea not null,                      -- exact bytes
    audience   text[] not null default '{}',        -- NodeIDs we sealed it to (own remarks only)
    log_gen    integer,                             -- where it stands in its author's log; null: never shared
    log_index  bigint,
    leaf_hash  bytea,
    stored_at  timestamptz not null default now(),
    primary key (report_id, node, kind)
);
create index remark_node on remark (node, report_id);
