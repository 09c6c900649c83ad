-- The audit log: what people and machines did at this node. An act writes a line into audit_waiting in its own
-- transaction; who holds the pen gives waiting lines their numbers, hashes them into the tree and signs its root.
create table audit_waiting (
    id          bigint generated always as identity primary key,
    at          timestamptz not null default date_trunc('milliseconds', now()),
    who         text not null,
    via         text not null,
    action      text not null,
    object      text,
    salt        bytea,
    commitment  bytea,                              -- SHA-256 over salt and object: what the leaf holds of it
    detail      jsonb not null
);

create table audit_line (
    seq         bigint primary key,                 -- its place in the tree
    at          timestamptz not null,
    who         text not null,
    via         text not null,
    action      text not null,
    object      text,                               -- gone when what it names was erased, and the salt with it
    salt        bytea,
    commitment  bytea,
    detail      jsonb not null,
    leaf_hash   bytea not null
);
create index audit_line_object on audit_line (object, seq) where object is not null;

create table audit_head (                           -- the newest checkpoint
    one       boolean primary key default true check (one),
    size      bigint not null,
    root      bytea not null,
    frontier  bytea not null,
    note      bytea not null
);

-- No line is ever changed or taken out; what opens its commitment may go. (Whoever may change the schema gets past this,
-- and is found out by the checkpoints.)
create function audit_stays() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' then
        if new.object is null and new.salt is null
            and (new.seq, new.at, new.who, new.via, new.action, new.detail, new.leaf_hash)
                = (old.seq, old.at, old.who, old.via, old.action, old.detail, old.leaf_hash)
            and new.commitment is not distinct from old.commitment then
            return new;
        end if;
    end if;
    raise exception 'lines of the audit log stay as they are' using errcode = 'restrict_violation';
end $$;

create trigger audit_line_stays before update or delete on audit_line for each row execute function audit_stays();
create trigger audit_line_stays_whole before truncate on audit_line for each statement execute function audit_stays();
