-- What shows a stranger what an entry said: its header and its data key, locked by a key that is no row (data_keys.py).
-- Null: sealed or received before they were kept.
alter table log_entry add data_key bytea;
alter table remote_entry add leaf bytea, add data_key bytea;
