-- A recall of ours that a reader gave back after a restore; `awaits`: the entries that it names, as long as none of them is back.
alter table recall add regained_at timestamptz, add awaits bytea[];
create index recall_awaits on recall using gin (awaits) where awaits is not null;
