-- Where in its node's log a peer's acknowledgement, or its answer to an emergency of ours, stands: what is disputed there
-- counts no more. Rows of before have no place and stay what they are.
alter table act add log_gen integer, add log_index bigint;
alter table emergency_answer add log_gen integer, add log_index bigint;
create index act_place on act (node, log_gen, log_index) where log_gen is not null;
