-- Who took it on that a version may be shared although it seems to hold personal data or secrets.
-- `found` holds a digest of each suspicion, not what was found: a later version with the same ones needs no new yes.
create table review (
    report_id    text not null references report (id) on delete cascade,
    ver          integer not null,
    reviewed_by  text not null,
    kinds        text[] not null,
    found        bytea[] not null,
    at           timestamptz not null default now(),
    primary key (report_id, ver)
);
