-- Days of twenty-four hours from the first turn on, and none that end at midnight.
alter table receipt drop column turned_on, add column turning_since timestamptz;
