-- What of a day's limits went to alerts and emergencies whose reports were erased since: else who takes back what it has
-- rung for may ring without end. It names no report; rows older than a day are deleted with the next.
create table spent (
    node text not null,
    what text not null check (what in ('alert', 'emergency', 'drill')),
    at timestamptz not null,
    gen integer,
    idx bigint
);
create index spent_at on spent (at);
-- How many alerts a peer has raised in a day is counted with each that it raises.
create index alert_raised on alert (raised_at);

-- How often a reader has changed its word on an entry's end today: what it says beyond a few is told to no author.
alter table receipt add turned_on date, add turns integer not null default 0;

-- A keyed hash of report and version: who is complained of once is not complained of again when that has ended.
alter table complaint add tag bytea;

-- Nothing reads it: the entry says when it was written.
alter table report_share drop column shared_at;
