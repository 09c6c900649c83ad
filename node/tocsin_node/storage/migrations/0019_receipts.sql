-- Mutes and further calls are told to the origin too. Those of before are over: nobody is told of them now.
update act set shared_idx = 0 where kind in ('mute', 'escalate') and node is null;
drop index act_unshared;
create index act_unshared on act (id) where shared_idx is null and node is null and kind <> 'override';
