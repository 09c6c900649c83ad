-- When we last held all that a peer and we have of each other's logs against each other. Null: never, as far as we know.
alter table peer add compared_at timestamptz;

-- Days of twenty-four hours from the first turn on, and none that end at midnight.
alter table receipt drop column turned_on, add column turning_since timestamptz;
