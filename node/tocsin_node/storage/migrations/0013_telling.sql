-- What rings together, what is silent, and what others told.
alter table alert drop constraint alert_kind_check;
alter table alert add constraint alert_kind_check
    check (kind in ('raise', 'escalate', 'withdrawn', 'test', 'duty', 'cluster', 'digest'));

create table silence (                              -- rings that people do not want for a while
    id        bigint generated always as identity primary key,
    by        text not null,
    reason    text not null,
    at        timestamptz not null default now(),
    until     timestamptz not null,
    ended_at  timestamptz,                          -- before its time
    ended_by  text,
    origin    text,                                 -- NodeID; each condition that is not null has to hold
    report_id text,
    system    text,
    harm      text,
    technique text,
    keys      jsonb not null default '[]',          -- the same as lists of facets, of each of which one has to be there
    rank      smallint not null                     -- gravest grade that is silenced: 1 is grade I
);
create index silence_until on silence (until);

create table fellow_message (                       -- what bots of other nodes told in a room that we share with them
    event_id   text primary key,
    room       text not null,
    sender     text not null,
    report_id  text not null,
    ver        integer not null,
    kind       text not null,
    grade      text not null,
    at         timestamptz not null,
    removed_at timestamptz
);
create index fellow_message_report on fellow_message (report_id, ver);

create table stirred (                              -- incidents of which something may look otherwise than it was told
    id       bigint generated always as identity primary key,
    incident text not null
);

-- Whoever writes an acknowledgement or a report's next version need not know what was told of it, and where.
create function stir_by_acknowledgement() returns trigger language plpgsql as $$
begin
    insert into stirred (incident)
    select distinct a.incident from alert a
    where (a.id = new.alert_id or a.report_id = new.report_id)
      and exists (select from delivery d where d.alert_id = a.id);
    return null;
end $$;
create trigger acknowledgement_stirs after insert or update on acknowledgement
    for each row execute function stir_by_acknowledgement();

create function stir_by_report() returns trigger language plpgsql as $$
begin
    insert into stirred (incident)
    select new.id where exists (select from alert a join delivery d on d.alert_id = a.id where a.incident = new.id);
    return null;
end $$;
create trigger report_stirs after update of ver on report for each row execute function stir_by_report();

create index delivery_told on delivery (channel, first_try_at);
create index delivery_digest on delivery (channel, id) where kind = 'digest';
create index delivery_edits on delivery (edits) where edits is not null;
