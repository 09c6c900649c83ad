"""What of a day's limits a peer has used up by alerts and emergencies that are erased.

Else a peer that takes back what it has rung for would have it all once more, as often as it likes. No report is named:
who rang, when, as what, and where in its log the call stands, since what is disputed there counts otherwise.
"""

from typing import Final

from tocsin_node.storage.emergencies import STANDING_CALL

# Before alerts ($1) go. What was passed on counts as its messenger's, as in `remote.ALERTS_TODAY`.
ALERTS: Final = """
with over as (delete from spent where at < now() - interval '24 hours')
insert into spent (node, what, at)
select coalesce(p.through, r.origin, e.origin), 'alert', a.raised_at
from alert a left join report r on r.id = a.report_id left join emergency e on e.id = a.emergency
left join passed p on p.report_id = a.report_id and p.ver = a.ver
where a.id = any($1::bigint[]) and not a.ours and a.raised_at > now() - interval '24 hours'
    and (r.id is not null or e.rang = 'ordinary')
"""

# Before emergencies about reports ($1) go.
EMERGENCIES: Final = f"""
insert into spent (node, what, at, gen, idx)
select e.origin, case when e.drill then 'drill' else 'emergency' end, e.stored_at, c.log_gen, c.log_index
from emergency e {STANDING_CALL}
where e.report_id = any($1::text[]) and e.rang = 'emergency' and not e.local
    and e.stored_at > now() - interval '24 hours'
"""
