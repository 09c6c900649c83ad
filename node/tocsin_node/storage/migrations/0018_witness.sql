-- Witnesses: which peers are asked to cosign our checkpoints and count as witnesses, and whose we cosign.
alter table peer add witness boolean not null default true, add witnessed boolean not null default true;

create table cosigned (                             -- the latest head of each log that we have cosigned
    log   text primary key,                         -- origin line
    size  bigint not null,
    root  bytea not null,
    note  bytea not null                            -- as the log signed it
);

create table cosignature (                          -- whose word was given for which head, ours too
    log      text not null,                         -- origin line
    witness  text not null,                         -- NodeID
    size     bigint not null,
    at       timestamptz not null,                  -- as the witness says
    line     text not null,                         -- its signature line
    primary key (log, witness, size)
);

-- What was signed by us and lost with a restored database: the log goes on from its hash, bytes may be gone.
alter table log_entry alter leaf drop not null, alter ct drop not null;
create index log_entry_lost on log_entry (gen) where leaf is null;

create table log_confirmation (                     -- a person let the log go on although no peer could be asked
    at    timestamptz not null default now(),
    by    text not null,
    size  bigint not null
);
