-- What is done about an alert, by whom, when, taken back or not: one row an act, from which the alert's state follows.
-- Until now people could only acknowledge. Who is on call may be changed by hand for a while; that is an act too.
alter table acknowledgement rename to act;
alter sequence acknowledgement_id_seq rename to act_id_seq;
alter table act add column kind text not null default 'ack'
    check (kind in ('ack', 'take', 'mute', 'resolve', 'escalate', 'unanswered', 'override'));
alter table act alter column kind drop default;
alter table act add column until timestamptz;      -- mute, override: its end
alter table act add column level smallint;         -- escalate: who was called
alter table act add column revoked_by text;        -- who took it back, where that is known
alter table act add column rota text;              -- override: in which rota …
alter table act add column person text;            -- … who stands in …
alter table act add column begins_at timestamptz;  -- … from when on
alter table act drop constraint acknowledgement_via_check;
alter table act add constraint act_via_check check (via in ('reaction', 'reply', 'api', 'peer', 'clock'));
alter table act rename constraint acknowledgement_pkey to act_pkey;
alter table act rename constraint acknowledgement_alert_id_fkey to act_alert_id_fkey;
alter table act drop constraint acknowledgement_event_id_key;
create unique index act_event on act (event_id, kind);
alter index acknowledgement_alert rename to act_alert;
alter index acknowledgement_report rename to act_report;
drop index acknowledgement_unshared;
create index act_unshared on act (id)
    where shared_idx is null and node is null and kind in ('ack', 'take', 'resolve', 'unanswered');
drop index acknowledgement_api;
create unique index act_api on act (alert_id, kind, by)
    where via = 'api' and revoked_at is null and kind in ('ack', 'resolve');
drop index acknowledgement_peer;
create unique index act_peer on act (report_id, ver, node, kind) where via = 'peer';
alter trigger acknowledgement_stirs on act rename to act_stirs;
alter function stir_by_acknowledgement() rename to stir_by_act;
create index act_override on act (until) where kind = 'override' and revoked_at is null;
create unique index act_unanswered on act (alert_id)
    where kind = 'unanswered' and node is null and revoked_at is null;

-- What is still to be done for an alert after its first message.
create table followup (
    alert_id   bigint primary key references alert (id),
    waits_min  integer[] not null default '{}',     -- how long each level is waited for; empty: nobody further is called
    urgent     boolean not null default false,      -- grade I, or a life at risk
    level      smallint not null default 0,         -- who was called last
    next_at    timestamptz,                         -- when the next are called; null: nobody waits for an answer
    offered_at timestamptz,                         -- when it was held against the subscriptions; null: not yet …
    offer_at   timestamptz                          -- … and not before, after a fault
);
create index followup_due on followup (next_at) where next_at is not null;
create index followup_unoffered on followup (alert_id) where offered_at is null;

-- Who wants to be told of which alerts besides the room.
create table subscription (
    id          bigint generated always as identity primary key,
    person      text not null,                      -- Matrix user or mail address
    filters     jsonb not null,                     -- as they were written
    keys        text[] not null,                    -- the same as keys of reports: of each kind one must fit
    origins     text[] not null,                    -- organisations, as we call them, folded; empty: all
    max_tlp     text not null,                      -- details up to this marking
    digest_at   time,                               -- local time of the day's digest; null: at once
    zone        text not null,
    quiet_from  time,                               -- local; what comes from then on waits for …
    quiet_until time,                               -- … this time
    break_quiet boolean not null,                   -- grade I does not wait for the end of the quiet, nor for a digest
    made_by     text not null,
    made_at     timestamptz not null default now(),
    ended_at    timestamptz,
    ended_by    text,
    check ((quiet_from is null) = (quiet_until is null))
);
create index subscription_standing on subscription (id) where ended_at is null;

create table subscription_alert (
    subscription_id bigint not null references subscription (id),
    alert_id        bigint not null references alert (id),
    due_at          timestamptz not null,
    told_at         timestamptz,                    -- null: not yet
    primary key (subscription_id, alert_id)
);
create index subscription_alert_due on subscription_alert (due_at) where told_at is null;
