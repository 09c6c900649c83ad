-- Circles: who belongs to each as its admins have signed it, what was told to whom, and which entries are addressed to it.
create table circle (
    id          bytea primary key,                  -- SHA-256 of the manifest of epoch 0
    chain       bytea[] not null,                   -- DSSE envelopes, epoch 0 first
    state       text not null check (state in ('offered', 'adopted', 'left')),
    rival       bytea[],                            -- another chain that is signed as well: the circle is frozen
    told_by     text,                               -- NodeID of the peer that brought it first; null: our operator
    changed_at  timestamptz not null default now()
);

create table circle_epoch (                         -- when each epoch came to be known here
    circle      bytea not null references circle,
    epoch       integer not null,
    learned_at  timestamptz not null default now(),
    primary key (circle, epoch)
);

create table circle_told (                          -- up to which epoch a node knows the circle, from us or by its own word
    circle      bytea not null references circle,
    node        text not null,
    epoch       integer not null,
    primary key (circle, node)
);

create table circle_entry (                         -- entries addressed to a circle, in every author's own count
    circle      bytea not null,
    origin      text not null,
    cseq        bigint not null,
    leaf_hash   bytea not null,
    cprev       bytea,
    epoch       integer not null,
    gen         integer not null,
    idx         bigint not null,
    report_id   text not null,
    ver         integer not null,
    ours        boolean not null,
    at          timestamptz not null default now(),
    primary key (circle, origin, cseq, leaf_hash)
);
create unique index circle_entry_ours on circle_entry (circle, cseq) where ours;
create index circle_entry_report on circle_entry (report_id);
