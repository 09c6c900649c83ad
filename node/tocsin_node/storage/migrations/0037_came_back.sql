-- A checkpoint up to which our own log was taken back from peers: this database had not known what it covers beyond the one before.
alter table log_checkpoint add came_back boolean not null default false;
create index log_checkpoint_came_back on log_checkpoint (gen, size) where came_back;
