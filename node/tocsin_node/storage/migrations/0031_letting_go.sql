-- How a complaint ends: with who, whom, when and hashes, and nothing that names a report.
alter table complaint
    alter report_id drop not null,
    alter ver drop not null,
    add told_gen integer,                           -- of our log, beside told_idx
    add asked_at timestamptz,                       -- since when nothing of its report should be here
    add ended_at timestamptz;                       -- what proved it was let go of
update complaint set told_gen = (select max(e.gen) from log_entry e where e.idx = told_idx) where told_idx is not null;

-- Which reports a text names: what is erased is looked for in alerts and in what was set aside, of which there may be millions.
create function report_names(said text) returns text[] language sql immutable strict parallel safe as
$$ select array(select distinct found[1] from regexp_matches(said, '(incident--[0-9a-f-]{36})', 'g') as found) $$;
create index alert_names on alert using gin (report_names(facts::text));
create index quarantine_names on quarantine using gin (report_names(encode(leaf, 'escape')));
create index subscription_alert_alert on subscription_alert (alert_id);
