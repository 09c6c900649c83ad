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

-- Secrets are kept out of the index now. What may hold one, roughly, loses its row here; the node writes it anew, as it
-- does for reports that never had one.
delete from report_facet f using report r where r.id = f.report_id and encode(r.bundle, 'escape') ~* (
    'gh[pousr]_|github_pat_|glpat-|xox[abeoprs]-|xapp-|hooks\.slack\.com|sk-[a-z0-9_-]{16}|hf_|r8_|gsk_|aiza|gocspx-'
    '|ya29\.|[sr]k_(live|test)_|sg\.[a-z0-9_-]{16}|npm_|pypi-|dop_v1_|dapi[a-f0-9]{16}|hvs\.|shpat_|syt_|lin_api_'
    '|tocsin1\.|a(kia|sia|bia)[a-z2-7]{16}|(account|sharedaccess)key=|:aa[a-z0-9_-]{20}|8q~|private key'
    '|age-secret-key|putty-user-key|eyj[a-z0-9_-]{8}|://[^/[:space:]"@]*:[^/[:space:]"@]+@|bearer[[:space:]]'
    '|authorization|(passwor[dt]|passwd|pwd|passphrase|secret|key|token)[^a-z0-9]{0,6}([:=]|(is|was|ist|war)[[:space:]])'
);
