-- How far an author's report got at those that a peer of its passed it on to, by that peer's word. It names no report: `tag`
-- is the keyed hash of its id, so that what is erased can still be followed until it is purged everywhere.
create table onward_reader (
    by          text not null,                      -- who passed it on
    leaf_hash   bytea not null,                     -- of the entry of its log that did
    node        text not null,                      -- to whom
    tag         bytea not null,
    ver         integer not null,
    passed_at   timestamptz not null,
    outcome     text,
    code        text,
    outcome_at  timestamptz,
    alerted_at  timestamptz,
    waiting_at  timestamptz,
    narrowed_at timestamptz,
    purged_at   timestamptz,
    primary key (by, leaf_hash, node)
);
create index onward_reader_tag on onward_reader (tag);

-- Whose report it is that we passed on and recall: the author is told how far that gets. Null: our own.
alter table recall add column author text;

-- Who said so, where we tell an author what a third node said of what we passed on; empty where we speak of ourselves.
alter table receipt_due add column by text not null default '';
alter table receipt_due drop constraint receipt_due_origin_leaf_hash_state_key;
alter table receipt_due add constraint receipt_due_once unique (origin, leaf_hash, state, by);
