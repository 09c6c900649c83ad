-- What was found when a peer and we were last compared (`at`, null: never yet), and what kept us from it since (`trouble`, at `tried_at`).
create table comparison (
    node text not null,
    at timestamptz,
    amiss bigint not null default 0,
    contradicted boolean not null default false,
    mended bigint not null default 0,
    tried_at timestamptz not null default now(),
    trouble text,
    constraint comparison_pkey primary key (node)
);
