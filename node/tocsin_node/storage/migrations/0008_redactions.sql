-- Versions for others (redactions) and the private records that they were made from. The link never leaves the node.

create table redaction (
    report_id   text primary key references report (id),
    record_id   text references report (id),        -- null: here before links were kept, looked at by the next start
    record_ver  integer not null,                   -- the version of the record that its newest version was made from
    clearance   text not null                       -- the marking that it was made for
);
create index redaction_record on redaction (record_id);
insert into redaction (report_id, record_ver, clearance) select id, 0, '' from report;

-- The warning of a cluster is the node's own, as is that of a legal clock.
update alert set ours = true, origin = coalesce(
    (select o.origin from alert o where o.ours and o.origin <> '' order by o.id desc limit 1), '')
where kind = 'cluster';
