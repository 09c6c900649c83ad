-- Reports of others that are passed on, with their authors' proof; and complaints where the marking forbade it.
create table onward (                               -- each entry that passes a version on: ours, or about a report of ours
    by          text not null,                      -- NodeID of who passes it on
    gen         integer not null,
    idx         bigint not null,                    -- the entry's place in its log
    leaf_hash   bytea not null,
    report_id   text not null,
    ver         integer not null,
    recipients  text[] not null,                    -- NodeIDs, without the author
    client      boolean not null,                   -- said to be clients of the messenger
    at          timestamptz not null default now(),
    primary key (by, gen, idx)
);
create index onward_report on onward (report_id);

create table passed (                               -- versions that are held because somebody passed them on
    report_id   text not null,
    ver         integer not null,
    through     text not null,                      -- NodeID of the messenger
    org         text not null,                      -- what the author calls itself
    proof       bytea not null,                     -- of the author's entry, without what it says
    data_key    bytea not null,                     -- of that entry, locked
    at          timestamptz not null default now(),
    primary key (report_id, ver)
);

create table complaint (                            -- that somebody passed on what the marking forbids
    id          bigint generated always as identity primary key,
    by          text not null,                      -- NodeID of who complains, us too
    against     text not null,                      -- NodeID of who passed it on
    gen         integer not null,
    idx         bigint not null,                    -- where its entry stands in its log
    leaf_hash   bytea not null,
    report_id   text not null,
    ver         integer not null,
    tlp         text not null,
    author      text not null,                      -- NodeID of the report's author
    recipients  text[] not null,                    -- NodeIDs whom the entry was sealed to
    at          timestamptz not null default now(),
    leaf        bytea,                              -- ours: the entry, sealed as it came, and its data key, locked
    ct          bytea,
    data_key    bytea,
    proof       bytea,                              -- of others: what they showed
    told_idx    bigint,                             -- our entry that tells the author
    unique (by, leaf_hash)
);
create index complaint_untold on complaint (author) where ct is not null and told_idx is null;
