-- A log that was ended by a new generation. `ended`: all of it that is good was taken in. `disputed_from`: whatever it
-- holds from this index on its own author disputes (null: nothing).
alter table remote_log add column ended boolean not null default false;
alter table remote_log add column disputed_from bigint;

-- How far a peer has come is counted in the generation of our log that it follows.
alter table peer add column fetched_gen integer not null default 1;
