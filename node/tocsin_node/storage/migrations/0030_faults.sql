-- Entries that this program itself could not judge or keep: few, told in /healthz, and tried again at each start.
create index quarantine_faults on quarantine (origin)
    where code in ('judging-failed', 'storage-unfit', 'storage-conflict');
