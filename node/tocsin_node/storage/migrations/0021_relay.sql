-- Entries of an origin that is away, handed on by peers that it sealed them to as well.
alter table remote_entry add via text;              -- NodeID of who handed it on; the origin has not served it itself yet
alter table remote_log add relayed_to bigint not null default 0; -- beyond the last index that was handed on by anybody

alter table quarantine add asked_at timestamptz;    -- when somebody was last asked for sound bytes
create index quarantine_mendable on quarantine (origin, gen, asked_at nulls first, idx)
    where code in ('bad-wrap', 'commitment', 'hash-mismatch', 'ciphertext-mismatch');

create table relay (                                -- what went from hand to hand
    origin       text not null,                     -- NodeID of the author
    node         text not null,                     -- NodeID of who gave it to us, or whom we gave it
    given        boolean not null,                  -- false: taken from it
    entries      bigint not null default 0,
    first_at     timestamptz not null default now(),
    last_at      timestamptz not null default now(),
    problem_code text,                              -- what was wrong with what it gave last
    problem_at   timestamptz,
    primary key (origin, node, given)
);
