-- Which peers have answered that they do not know a log: their cosignatures over it are not waited for.
create table bystander (
    author text not null,
    peer text not null,
    at timestamptz not null default now(),
    constraint bystander_pkey primary key (author, peer)
);
