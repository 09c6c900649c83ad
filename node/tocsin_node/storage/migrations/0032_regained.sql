-- Entries of ours that a restored database lost and a reader gave back, and that name nobody: which peer is still to be
-- asked whether it has them, too. Without it they would go to none of their readers but the first that gave them back.
create table regained (
    gen integer not null,
    idx bigint not null,
    node text not null,
    constraint regained_pkey primary key (gen, idx, node)
);
