-- What reports are found by, what people said about likeness, and which clusters rang.

-- One narrow row a report, beside the wide one: lists and searches walk these and fetch the wide rows of a page only.
create table report_facet (
    report_id    text primary key references report (id),
    seq          bigint not null unique,            -- report.seq
    origin       text not null,                     -- report.origin
    creator      text not null,                     -- created_by_ref
    level        smallint not null,
    occurred_at  timestamptz,                       -- when it began, as far as it is known
    newest_at    timestamptz,                       -- the latest of its known times
    first_at     timestamptz not null default now(),  -- its first version came
    stored_at    timestamptz not null default now(),  -- this version came
    keys         text[] not null,                   -- kind:value, such as harm:privacy
    words        tsvector not null                  -- A: title, B: names of systems, parties, techniques; D: the rest
);
create index report_facet_find on report_facet using gin (keys, words);
create index report_facet_first on report_facet (first_at);

create table likeness (                             -- what a person decided about two reports
    report_id   text not null references report (id),
    other_id    text not null,
    verdict     text not null check (verdict in ('duplicate', 'distinct')),
    by          text not null,
    note        text,
    at          timestamptz not null default now(),
    primary key (report_id, other_id)
);
create index likeness_other on likeness (other_id);

alter table alert drop constraint alert_kind_check;
alter table alert add constraint alert_kind_check
    check (kind in ('raise', 'escalate', 'withdrawn', 'test', 'duty', 'cluster'));

create table cluster_rung (                         -- an alert a cluster and size, once while it lasts
    cluster_id     text not null,
    organisations  integer not null,
    alert_id       bigint not null references alert (id),
    at             timestamptz not null default now(),
    primary key (cluster_id, organisations, alert_id)
);
