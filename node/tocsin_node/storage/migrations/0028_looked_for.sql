-- What a recall and an erasing look for, so that neither reads a whole log while it holds the pen: an entry by its hash
-- whatever it is about, by its report, by the name in its header; a wrap by its entry.
drop index remote_entry_leaf;
create index remote_entry_leaf on remote_entry (leaf_hash);
create index remote_entry_report on remote_entry (report_id) where report_id is not null;
create index log_entry_about on log_entry (
    (substring(leaf from position('\x226964223a22'::bytea in leaf) + 6 for 46))
);
create index log_wrap_entry on log_wrap (gen, idx);
