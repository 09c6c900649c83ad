-- What one peer may do beside its ceilings: one record a peer, each field judged at its own door.
alter table peer
    add relay boolean not null default true,        -- it may pass sealed entries on between us and others
    add onward boolean not null default true,       -- others' reports are passed on to it, and taken from it
    add client boolean not null default false,      -- a client of ours: TLP:AMBER of others may be passed on to it
    add alerts_per_day integer check (alerts_per_day between 0 and 100000),     -- null: as all peers
    add requests_per_s integer check (requests_per_s between 1 and 10000);      -- null: as all peers
