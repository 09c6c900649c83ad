-- Duties to authorities: what a report asks for, by when, what people decided, and every step of it. Nothing here
-- ever leaves the node.

create table duty_subject (                         -- reports whose duties are reckoned
    report_id      text primary key references report (id),
    ver            integer not null,                -- the version that was looked at last
    basis          bytea not null,                  -- digest of the organisation and the rules at that time
    looked_at      timestamptz not null,
    tracked_by     text,                            -- a person asked for it: a report that is not ours
    tracked_reason text,
    tracked_at     timestamptz
);

create table duty (
    id               bigint generated always as identity primary key,
    report_id        text not null references report (id),
    regime           text not null,
    stage            text not null,
    nth              integer not null,              -- repetition, from 1
    standing         text not null check (standing in ('applies', 'possible', 'no-longer')),
    state            text not null default 'proposed'
                     check (state in ('proposed', 'confirmed', 'dismissed', 'done')),
    in_force         boolean not null,
    start_at         timestamptz,
    start_stated     boolean not null default false, -- a person set start_at
    due_conservative timestamptz,
    due_legal        timestamptz,
    sort_at          timestamptz not null,          -- shortest first
    facts            jsonb not null,                -- what the rule said: titles, reasons, what is missing, doubts
    decided_by       text,
    decided_at       timestamptz,
    reason           text,
    done_at          timestamptz,
    reference        text,                          -- the authority's
    missed_at        timestamptz,                   -- when the legal date passed without it; stays
    created_at       timestamptz not null,
    unique (report_id, regime, stage, nth)
);
create index duty_order on duty (sort_at, id);
create index duty_clock on duty (due_conservative) where state in ('proposed', 'confirmed') and in_force;

create table duty_event (                           -- the history: written, never changed
    id       bigint generated always as identity primary key,
    duty_id  bigint not null references duty (id),
    at       timestamptz not null,
    what     text not null check (what in ('proposed', 'reckoned', 'confirmed', 'dismissed', 'done', 'warned', 'missed')),
    by       text,                                  -- a named person; null: the rule or the clock
    via      text,                                  -- the token's name
    said     text                                   -- the reason, the reference, what changed
);
create index duty_event_duty on duty_event (duty_id, id);

create table duty_warning (                         -- each threshold of each clock once
    duty_id   bigint not null references duty (id),
    percent   smallint not null check (percent in (50, 80, 100)),
    due       timestamptz not null,
    at        timestamptz not null,
    alert_id  bigint references alert (id),         -- null: too long ago to ring
    primary key (duty_id, percent, due)
);

alter table alert drop constraint alert_kind_check;
alter table alert add constraint alert_kind_check
    check (kind in ('raise', 'escalate', 'withdrawn', 'test', 'duty'));
