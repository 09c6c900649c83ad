-- An entry is looked for by its hash whatever it is about: a recall names no report.
drop index remote_entry_leaf;
create index remote_entry_leaf on remote_entry (leaf_hash);
