-- Messages about one incident hang together: the first to ring is the root, what follows stands in its thread, and the
-- root is edited so that it shows how things are now.
alter table alert add incident text generated always as    -- what the thread is about
    (coalesce(report_id, nullif(split_part(facts ->> 'cluster', '/', 1), ''), 'alert-' || id::text)) stored;
create index alert_incident on alert (incident, id);

alter table delivery
    add kind       text not null default 'ring'
                   check (kind in ('ring', 'update', 'notice', 'escalation', 'digest')),
    add thread     bigint references delivery (id),         -- the root of the thread; null: it is one
    add edits      bigint references delivery (id),         -- the message whose place it takes
    add said       jsonb,                                   -- what it says beside or instead of the alert's own words
    add not_before timestamptz,                             -- it waits on purpose until then
    add held       text;                                    -- why it waits, or why it was not sent
alter table delivery drop constraint delivery_state_check;
alter table delivery add constraint delivery_state_check
    check (state in ('pending', 'sending', 'accepted', 'echoed', 'failed', 'superseded', 'covered'));
create index delivery_thread on delivery (thread) where thread is not null;
