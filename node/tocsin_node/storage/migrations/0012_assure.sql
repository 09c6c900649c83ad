-- A message can go another way when a channel does not take it, and be seen by somebody; it may also tell the operators
-- of the node itself, and then belongs to no alert.
alter table delivery alter column alert_id drop not null;
alter table delivery drop constraint delivery_state_check;
alter table delivery add constraint delivery_state_check check (state in (
    'pending', 'sending', 'accepted', 'echoed', 'seen', 'failed', 'superseded', 'covered', 'rerouted'));
alter table delivery
    add rerouted_to text,         -- the channel that it was given to instead
    add rerouted_at timestamptz,  -- when another way was looked for; there may have been none
    add returned_at timestamptz,  -- when the channel was told what went elsewhere meanwhile
    add room_at timestamptz,      -- when it happened in the room, by the homeserver's clock
    add seen_by text,             -- the first responder known to have read it
    add seen_at timestamptz;
create index delivery_rerouted on delivery (channel) where state = 'rerouted' and returned_at is null;

-- A reaction is gone when its own room does not have it any more. Null: from before there was a second room.
alter table acknowledgement add channel text;

-- The last event that was sent only to see whether it comes back, and the last one that did.
alter table channel
    add canary_txn text,
    add canary_out_at timestamptz,
    add canary_back_at timestamptz,
    add canary_trip_s double precision;

-- What is wrong with the node itself: told to the operators once for each code, and once when it is over.
create table trouble (
    name text primary key,
    code text not null,                        -- status and code of the check
    since timestamptz not null default now(),  -- since when it is this one
    began_at timestamptz not null default now(),
    told text[] not null default '{}',         -- the codes that were told
    well_since timestamptz
);

-- One row: writing it is the proof that the database takes writes.
create table heartbeat (
    one boolean primary key default true check (one),
    tried_at timestamptz not null,
    sent_at timestamptz,
    code text
);
