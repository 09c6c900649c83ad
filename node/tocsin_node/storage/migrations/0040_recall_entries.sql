-- A recall names every entry about the report that a peer was sent: it may hold an earlier version, and never come to the newest,
-- of which it is served nothing any more. What waits to be told names the newest alone, as before.
alter table recall_peer add also bytea[] not null default '{}'; -- leaf hashes of the entries beside `ref`, newest first
