-- When we last held all that a peer and we have of each other's logs against each other. Null: never, as far as we know.
alter table peer add compared_at timestamptz;
