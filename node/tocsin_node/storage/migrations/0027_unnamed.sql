-- A peer that asked for it is named to no other reader of our entries.
alter table peer add column unnamed boolean not null default false;
