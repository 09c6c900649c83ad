-- Versions that went to further peers later: every further entry of our log that carries one.

create table report_share (
    report_id  text not null references report,
    ver        integer not null,
    gen        integer not null,                    -- the place of the entry in our log
    idx        bigint not null,
    leaf_hash  bytea not null,
    shared_at  timestamptz not null default now(),
    primary key (report_id, ver, gen, idx)
);
