create table act (
    id bigint generated always as identity not null,
    alert_id bigint,
    report_id text,
    ver integer,
    node text,
    by text not null,
    via text not null,
    event_id text,
    note text,
    at timestamp with time zone not null,
    revoked_at timestamp with time zone,
    shared_idx bigint,
    channel text,
    kind text not null,
    until timestamp with time zone,
    level smallint,
    revoked_by text,
    rota text,
    person text,
    begins_at timestamp with time zone,
    log_gen integer,
    log_index bigint,
    constraint act_pkey PRIMARY KEY (id),
    constraint act_alert_id_fkey FOREIGN KEY (alert_id) REFERENCES alert(id),
    constraint act_kind_check CHECK ((kind = ANY (ARRAY['ack'::text, 'take'::text, 'mute'::text, 'resolve'::text, 'escalate'::text, 'unanswered'::text, 'override'::text]))),
    constraint act_via_check CHECK ((via = ANY (ARRAY['reaction'::text, 'reply'::text, 'api'::text, 'peer'::text, 'clock'::text])))
);
CREATE INDEX act_alert ON public.act USING btree (alert_id);
CREATE UNIQUE INDEX act_api ON public.act USING btree (alert_id, kind, by) WHERE ((via = 'api'::text) AND (revoked_at IS NULL) AND (kind = ANY (ARRAY['ack'::text, 'resolve'::text])));
CREATE UNIQUE INDEX act_event ON public.act USING btree (event_id, kind);
CREATE INDEX act_override ON public.act USING btree (until) WHERE ((kind = 'override'::text) AND (revoked_at IS NULL));
CREATE UNIQUE INDEX act_peer ON public.act USING btree (report_id, ver, node, kind) WHERE (via = 'peer'::text);
CREATE INDEX act_place ON public.act USING btree (node, log_gen, log_index) WHERE (log_gen IS NOT NULL);
CREATE INDEX act_report ON public.act USING btree (report_id);
CREATE UNIQUE INDEX act_unanswered ON public.act USING btree (alert_id) WHERE ((kind = 'unanswered'::text) AND (node IS NULL) AND (revoked_at IS NULL));
CREATE INDEX act_unshared ON public.act USING btree (id) WHERE ((shared_idx IS NULL) AND (node IS NULL) AND (kind <> 'override'::text));

create table alert (
    id bigint generated always as identity not null,
    report_id text,
    ver integer,
    kind text not null,
    grade text not null,
    level smallint not null,
    tlp text not null,
    origin text not null,
    ours boolean not null,
    facts jsonb not null,
    raised_at timestamp with time zone default now() not null,
    incident text default COALESCE(report_id, NULLIF(split_part((facts ->> 'cluster'::text), '/'::text, 1), ''::text), ('alert-'::text || (id)::text)),
    emergency uuid,
    constraint alert_pkey PRIMARY KEY (id),
    constraint alert_report_id_ver_key UNIQUE (report_id, ver),
    constraint alert_emergency_fkey FOREIGN KEY (emergency) REFERENCES emergency(id),
    constraint alert_kind_check CHECK ((kind = ANY (ARRAY['raise'::text, 'escalate'::text, 'withdrawn'::text, 'test'::text, 'duty'::text, 'cluster'::text, 'digest'::text, 'emergency'::text])))
);
CREATE UNIQUE INDEX alert_emergency ON public.alert USING btree (emergency) WHERE (emergency IS NOT NULL);
CREATE INDEX alert_incident ON public.alert USING btree (incident, id);
CREATE INDEX alert_names ON public.alert USING gin (report_names((facts)::text));
CREATE INDEX alert_raised ON public.alert USING btree (raised_at);

create table audit_head (
    one boolean default true not null,
    size bigint not null,
    root bytea not null,
    frontier bytea not null,
    note bytea not null,
    constraint audit_head_pkey PRIMARY KEY (one),
    constraint audit_head_one_check CHECK (one)
);

create table audit_line (
    seq bigint not null,
    at timestamp with time zone not null,
    who text not null,
    via text not null,
    action text not null,
    object text,
    salt bytea,
    commitment bytea,
    detail jsonb not null,
    leaf_hash bytea not null,
    constraint audit_line_pkey PRIMARY KEY (seq)
);
CREATE INDEX audit_line_object ON public.audit_line USING btree (object, seq) WHERE (object IS NOT NULL);

create table audit_waiting (
    id bigint generated always as identity not null,
    at timestamp with time zone default date_trunc('milliseconds'::text, now()) not null,
    who text not null,
    via text not null,
    action text not null,
    object text,
    salt bytea,
    commitment bytea,
    detail jsonb not null,
    constraint audit_waiting_pkey PRIMARY KEY (id)
);

create table bystander (
    author text not null,
    peer text not null,
    at timestamp with time zone default now() not null,
    constraint bystander_pkey PRIMARY KEY (author, peer)
);

create table channel (
    name text not null,
    state text not null,
    code text,
    hint text,
    since timestamp with time zone default now() not null,
    fail_count integer default 0 not null,
    last_ok_at timestamp with time zone,
    paused_until timestamp with time zone,
    sync_of text,
    sync_since text,
    ignored_acks bigint default 0 not null,
    canary_txn text,
    canary_out_at timestamp with time zone,
    canary_back_at timestamp with time zone,
    canary_trip_s double precision,
    constraint channel_pkey PRIMARY KEY (name),
    constraint channel_state_check CHECK ((state = ANY (ARRAY['up'::text, 'degraded'::text, 'down'::text])))
);

create table circle (
    id bytea not null,
    chain bytea[] not null,
    state text not null,
    rival bytea[],
    told_by text,
    changed_at timestamp with time zone default now() not null,
    constraint circle_pkey PRIMARY KEY (id),
    constraint circle_state_check CHECK ((state = ANY (ARRAY['offered'::text, 'adopted'::text, 'left'::text])))
);

create table circle_entry (
    circle bytea not null,
    origin text not null,
    cseq bigint not null,
    leaf_hash bytea not null,
    cprev bytea,
    epoch integer not null,
    gen integer not null,
    idx bigint not null,
    report_id text not null,
    ver integer not null,
    ours boolean not null,
    at timestamp with time zone default now() not null,
    constraint circle_entry_pkey PRIMARY KEY (circle, origin, cseq, leaf_hash)
);
CREATE UNIQUE INDEX circle_entry_ours ON public.circle_entry USING btree (circle, cseq) WHERE ours;
CREATE INDEX circle_entry_report ON public.circle_entry USING btree (report_id);

create table circle_epoch (
    circle bytea not null,
    epoch integer not null,
    learned_at timestamp with time zone default now() not null,
    constraint circle_epoch_pkey PRIMARY KEY (circle, epoch),
    constraint circle_epoch_circle_fkey FOREIGN KEY (circle) REFERENCES circle(id)
);

create table circle_told (
    circle bytea not null,
    node text not null,
    epoch integer not null,
    constraint circle_told_pkey PRIMARY KEY (circle, node),
    constraint circle_told_circle_fkey FOREIGN KEY (circle) REFERENCES circle(id)
);

create table cluster_rung (
    cluster_id text not null,
    organisations integer not null,
    alert_id bigint not null,
    at timestamp with time zone default now() not null,
    constraint cluster_rung_pkey PRIMARY KEY (cluster_id, organisations, alert_id),
    constraint cluster_rung_alert_id_fkey FOREIGN KEY (alert_id) REFERENCES alert(id)
);

create table comparison (
    node text not null,
    at timestamp with time zone,
    amiss bigint default 0 not null,
    contradicted boolean default false not null,
    mended bigint default 0 not null,
    tried_at timestamp with time zone default now() not null,
    trouble text,
    constraint comparison_pkey PRIMARY KEY (node)
);

create table complaint (
    id bigint generated always as identity not null,
    by text not null,
    against text not null,
    gen integer not null,
    idx bigint not null,
    leaf_hash bytea not null,
    report_id text,
    ver integer,
    tlp text not null,
    author text not null,
    recipients text[] not null,
    at timestamp with time zone default now() not null,
    leaf bytea,
    ct bytea,
    data_key bytea,
    proof bytea,
    told_idx bigint,
    told_gen integer,
    asked_at timestamp with time zone,
    ended_at timestamp with time zone,
    tag bytea,
    constraint complaint_pkey PRIMARY KEY (id),
    constraint complaint_by_leaf_hash_key UNIQUE (by, leaf_hash)
);
CREATE INDEX complaint_untold ON public.complaint USING btree (author) WHERE ((ct IS NOT NULL) AND (told_idx IS NULL));

create table cosignature (
    log text not null,
    witness text not null,
    size bigint not null,
    at timestamp with time zone not null,
    line text not null,
    constraint cosignature_pkey PRIMARY KEY (log, witness, size)
);

create table cosigned (
    log text not null,
    size bigint not null,
    root bytea not null,
    note bytea not null,
    constraint cosigned_pkey PRIMARY KEY (log)
);

create table delivery (
    id bigint generated always as identity not null,
    alert_id bigint,
    channel text not null,
    room text not null,
    priority smallint not null,
    content jsonb not null,
    txn text not null,
    state text default 'pending'::text not null,
    attempts integer default 0 not null,
    next_at timestamp with time zone default now() not null,
    lease_until timestamp with time zone,
    first_try_at timestamp with time zone,
    event_id text,
    accepted_at timestamp with time zone,
    echoed_at timestamp with time zone,
    last_error text,
    created_at timestamp with time zone default now() not null,
    max_tlp text,
    kind text default 'ring'::text not null,
    thread bigint,
    edits bigint,
    said jsonb,
    not_before timestamp with time zone,
    held text,
    rerouted_to text,
    rerouted_at timestamp with time zone,
    returned_at timestamp with time zone,
    room_at timestamp with time zone,
    seen_by text,
    seen_at timestamp with time zone,
    constraint delivery_pkey PRIMARY KEY (id),
    constraint delivery_txn_key UNIQUE (txn),
    constraint delivery_alert_id_fkey FOREIGN KEY (alert_id) REFERENCES alert(id),
    constraint delivery_edits_fkey FOREIGN KEY (edits) REFERENCES delivery(id),
    constraint delivery_thread_fkey FOREIGN KEY (thread) REFERENCES delivery(id),
    constraint delivery_kind_check CHECK ((kind = ANY (ARRAY['ring'::text, 'update'::text, 'notice'::text, 'escalation'::text, 'digest'::text, 'call'::text, 'unsay'::text]))),
    constraint delivery_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'sending'::text, 'accepted'::text, 'echoed'::text, 'seen'::text, 'failed'::text, 'superseded'::text, 'covered'::text, 'rerouted'::text])))
);
CREATE INDEX delivery_alert ON public.delivery USING btree (alert_id);
CREATE INDEX delivery_channel_due ON public.delivery USING btree (channel, priority, id) WHERE (state = ANY (ARRAY['pending'::text, 'sending'::text]));
CREATE INDEX delivery_digest ON public.delivery USING btree (channel, id) WHERE (kind = 'digest'::text);
CREATE INDEX delivery_edits ON public.delivery USING btree (edits) WHERE (edits IS NOT NULL);
CREATE INDEX delivery_event ON public.delivery USING btree (event_id) WHERE (event_id IS NOT NULL);
CREATE INDEX delivery_rerouted ON public.delivery USING btree (channel) WHERE ((state = 'rerouted'::text) AND (returned_at IS NULL));
CREATE INDEX delivery_thread ON public.delivery USING btree (thread) WHERE (thread IS NOT NULL);
CREATE INDEX delivery_told ON public.delivery USING btree (channel, first_try_at);

create table duty (
    id bigint generated always as identity not null,
    report_id text not null,
    regime text not null,
    stage text not null,
    nth integer not null,
    standing text not null,
    state text default 'proposed'::text not null,
    in_force boolean not null,
    start_at timestamp with time zone,
    start_stated boolean default false not null,
    due_conservative timestamp with time zone,
    due_legal timestamp with time zone,
    sort_at timestamp with time zone not null,
    facts jsonb not null,
    decided_by text,
    decided_at timestamp with time zone,
    reason text,
    done_at timestamp with time zone,
    reference text,
    missed_at timestamp with time zone,
    created_at timestamp with time zone not null,
    constraint duty_pkey PRIMARY KEY (id),
    constraint duty_report_id_regime_stage_nth_key UNIQUE (report_id, regime, stage, nth),
    constraint duty_report_id_fkey FOREIGN KEY (report_id) REFERENCES report(id),
    constraint duty_standing_check CHECK ((standing = ANY (ARRAY['applies'::text, 'possible'::text, 'no-longer'::text]))),
    constraint duty_state_check CHECK ((state = ANY (ARRAY['proposed'::text, 'confirmed'::text, 'dismissed'::text, 'done'::text])))
);
CREATE INDEX duty_clock ON public.duty USING btree (due_conservative) WHERE ((state = ANY (ARRAY['proposed'::text, 'confirmed'::text])) AND in_force);
CREATE INDEX duty_order ON public.duty USING btree (sort_at, id);

create table duty_event (
    id bigint generated always as identity not null,
    duty_id bigint not null,
    at timestamp with time zone not null,
    what text not null,
    by text,
    via text,
    said text,
    constraint duty_event_pkey PRIMARY KEY (id),
    constraint duty_event_duty_id_fkey FOREIGN KEY (duty_id) REFERENCES duty(id),
    constraint duty_event_what_check CHECK ((what = ANY (ARRAY['proposed'::text, 'reckoned'::text, 'confirmed'::text, 'dismissed'::text, 'done'::text, 'warned'::text, 'missed'::text])))
);
CREATE INDEX duty_event_duty ON public.duty_event USING btree (duty_id, id);

create table duty_subject (
    report_id text not null,
    ver integer not null,
    basis bytea not null,
    looked_at timestamp with time zone not null,
    tracked_by text,
    tracked_reason text,
    tracked_at timestamp with time zone,
    constraint duty_subject_pkey PRIMARY KEY (report_id),
    constraint duty_subject_report_id_fkey FOREIGN KEY (report_id) REFERENCES report(id)
);

create table duty_warning (
    duty_id bigint not null,
    percent smallint not null,
    due timestamp with time zone not null,
    at timestamp with time zone not null,
    alert_id bigint,
    constraint duty_warning_pkey PRIMARY KEY (duty_id, percent, due),
    constraint duty_warning_alert_id_fkey FOREIGN KEY (alert_id) REFERENCES alert(id),
    constraint duty_warning_duty_id_fkey FOREIGN KEY (duty_id) REFERENCES duty(id),
    constraint duty_warning_percent_check CHECK ((percent = ANY (ARRAY[50, 80, 100])))
);

create table emergency (
    id uuid not null,
    key uuid not null,
    report_id text not null,
    origin text not null,
    drill boolean not null,
    local boolean default false not null,
    since timestamp with time zone not null,
    rang text not null,
    stored_at timestamp with time zone default now() not null,
    nth bigint generated always as identity not null,
    constraint emergency_pkey PRIMARY KEY (id),
    constraint emergency_report_id_fkey FOREIGN KEY (report_id) REFERENCES report(id),
    constraint emergency_rang_check CHECK ((rang = ANY (ARRAY['emergency'::text, 'ordinary'::text, 'silent'::text, 'late'::text])))
);
CREATE INDEX emergency_origin ON public.emergency USING btree (origin, stored_at);
CREATE INDEX emergency_report ON public.emergency USING btree (report_id);

create table emergency_answer (
    emergency uuid not null,
    node text not null,
    stage text not null,
    said text,
    first_at timestamp with time zone not null,
    at timestamp with time zone not null,
    by text,
    revoked boolean default false not null,
    heard_at timestamp with time zone default now() not null,
    log_gen integer,
    log_index bigint,
    constraint emergency_answer_pkey PRIMARY KEY (emergency, node, stage),
    constraint emergency_answer_emergency_fkey FOREIGN KEY (emergency) REFERENCES emergency(id),
    constraint emergency_answer_said_check CHECK ((said = ANY (ARRAY['affected'::text, 'not-affected'::text, 'investigating'::text]))),
    constraint emergency_answer_stage_check CHECK ((stage = ANY (ARRAY['stored'::text, 'rung'::text, 'acknowledged'::text, 'answered'::text])))
);

create table emergency_call (
    emergency uuid not null,
    seq integer not null,
    ver integer not null,
    state text not null,
    reason text not null,
    steps jsonb not null,
    tlp text not null,
    at timestamp with time zone not null,
    by text,
    sha256 bytea not null,
    audience text[] default '{}'::text[] not null,
    log_gen integer,
    log_index bigint,
    leaf_hash bytea,
    stored_at timestamp with time zone default now() not null,
    constraint emergency_call_pkey PRIMARY KEY (emergency, seq),
    constraint emergency_call_emergency_fkey FOREIGN KEY (emergency) REFERENCES emergency(id),
    constraint emergency_call_state_check CHECK ((state = ANY (ARRAY['declared'::text, 'updated'::text, 'stood-down'::text])))
);
CREATE INDEX emergency_call_leaf ON public.emergency_call USING btree (leaf_hash) WHERE (leaf_hash IS NOT NULL);

create table emergency_told (
    emergency uuid not null,
    stage text not null,
    said text,
    revoked boolean not null,
    log_index bigint not null,
    constraint emergency_told_pkey PRIMARY KEY (emergency, stage),
    constraint emergency_told_emergency_fkey FOREIGN KEY (emergency) REFERENCES emergency(id)
);

create table erasure (
    id bigint generated always as identity not null,
    tag bytea not null,
    contents bytea[] not null,
    origin text,
    by text,
    reason text,
    at timestamp with time zone default now() not null,
    lifted_at timestamp with time zone,
    lifted_by text,
    why_lifted text,
    constraint erasure_pkey PRIMARY KEY (id)
);
CREATE INDEX erasure_contents ON public.erasure USING gin (contents) WHERE (lifted_at IS NULL);
CREATE INDEX erasure_tag ON public.erasure USING btree (tag) WHERE (lifted_at IS NULL);

create table evidence (
    id bigint generated always as identity not null,
    origin text not null,
    code text not null,
    held bytea not null,
    offered bytea not null,
    at timestamp with time zone default now() not null,
    path bytea default '\x'::bytea not null,
    constraint evidence_pkey PRIMARY KEY (id)
);
CREATE UNIQUE INDEX evidence_once ON public.evidence USING btree (origin, sha256(held), sha256(offered));

create table fellow_message (
    event_id text not null,
    room text not null,
    sender text not null,
    report_id text not null,
    ver integer not null,
    kind text not null,
    grade text not null,
    at timestamp with time zone not null,
    removed_at timestamp with time zone,
    constraint fellow_message_pkey PRIMARY KEY (event_id)
);
CREATE INDEX fellow_message_report ON public.fellow_message USING btree (report_id, ver);

create table followup (
    alert_id bigint not null,
    waits_min integer[] default '{}'::integer[] not null,
    urgent boolean default false not null,
    level smallint default 0 not null,
    next_at timestamp with time zone,
    offered_at timestamp with time zone,
    offer_at timestamp with time zone,
    constraint followup_pkey PRIMARY KEY (alert_id),
    constraint followup_alert_id_fkey FOREIGN KEY (alert_id) REFERENCES alert(id)
);
CREATE INDEX followup_due ON public.followup USING btree (next_at) WHERE (next_at IS NOT NULL);
CREATE INDEX followup_unoffered ON public.followup USING btree (alert_id) WHERE (offered_at IS NULL);

create table heartbeat (
    one boolean default true not null,
    tried_at timestamp with time zone not null,
    sent_at timestamp with time zone,
    code text,
    constraint heartbeat_pkey PRIMARY KEY (one),
    constraint heartbeat_one_check CHECK (one)
);

create table invite (
    id bytea not null,
    mac_key bytea not null,
    nonce bytea not null,
    name text not null,
    created_at timestamp with time zone default now() not null,
    expires_at timestamp with time zone not null,
    used_at timestamp with time zone,
    used_by text,
    used_nonce bytea,
    constraint invite_pkey PRIMARY KEY (id)
);

create table likeness (
    report_id text not null,
    other_id text not null,
    verdict text not null,
    by text not null,
    note text,
    at timestamp with time zone default now() not null,
    constraint likeness_pkey PRIMARY KEY (report_id, other_id),
    constraint likeness_report_id_fkey FOREIGN KEY (report_id) REFERENCES report(id),
    constraint likeness_verdict_check CHECK ((verdict = ANY (ARRAY['duplicate'::text, 'distinct'::text])))
);
CREATE INDEX likeness_other ON public.likeness USING btree (other_id);

create table log_checkpoint (
    gen integer not null,
    size bigint not null,
    root bytea not null,
    frontier bytea not null,
    note bytea not null,
    at timestamp with time zone default now() not null,
    came_back boolean default false not null,
    constraint log_checkpoint_pkey PRIMARY KEY (gen, size)
);
CREATE INDEX log_checkpoint_came_back ON public.log_checkpoint USING btree (gen, size) WHERE came_back;

create table log_confirmation (
    at timestamp with time zone default now() not null,
    by text not null,
    size bigint not null
);

create table log_entry (
    gen integer not null,
    idx bigint not null,
    leaf_hash bytea not null,
    leaf bytea,
    ct bytea storage external,
    at timestamp with time zone default now() not null,
    data_key bytea,
    erased_at timestamp with time zone,
    constraint log_entry_pkey PRIMARY KEY (gen, idx),
    constraint log_entry_leaf_hash_key UNIQUE (leaf_hash)
) with (toast_tuple_target=8160);
CREATE INDEX log_entry_about ON public.log_entry USING btree (SUBSTRING(leaf FROM (POSITION(('\x226964223a22'::bytea) IN (leaf)) + 6) FOR 46));
CREATE INDEX log_entry_lost ON public.log_entry USING btree (gen) WHERE ((leaf IS NULL) AND (erased_at IS NULL));

create table log_wrap (
    recipient text not null,
    gen integer not null,
    idx bigint not null,
    wrap bytea not null,
    constraint log_wrap_pkey PRIMARY KEY (recipient, gen, idx)
);
CREATE INDEX log_wrap_entry ON public.log_wrap USING btree (gen, idx);

create table matrix_heard (
    account text not null,
    digest bytea not null,
    constraint matrix_heard_pkey PRIMARY KEY (account, digest),
    constraint matrix_heard_digest_check CHECK ((length(digest) = 32))
);

create table matrix_set_aside (
    account text not null,
    event_id text not null,
    room text not null,
    session_id text not null,
    event text not null,
    at timestamp with time zone default now() not null,
    given text,
    constraint matrix_set_aside_pkey PRIMARY KEY (account, event_id)
);
CREATE INDEX matrix_set_aside_session ON public.matrix_set_aside USING btree (account, session_id);

create table migration (
    number integer not null,
    name text not null,
    sha256 bytea not null,
    applied_at timestamp with time zone default now() not null,
    constraint migration_pkey PRIMARY KEY (number)
);

create table onward (
    by text not null,
    gen integer not null,
    idx bigint not null,
    leaf_hash bytea not null,
    report_id text not null,
    ver integer not null,
    recipients text[] not null,
    client boolean not null,
    at timestamp with time zone default now() not null,
    constraint onward_pkey PRIMARY KEY (by, gen, idx)
);
CREATE INDEX onward_report ON public.onward USING btree (report_id);

create table onward_reader (
    by text not null,
    leaf_hash bytea not null,
    node text not null,
    tag bytea not null,
    ver integer not null,
    passed_at timestamp with time zone not null,
    outcome text,
    code text,
    outcome_at timestamp with time zone,
    alerted_at timestamp with time zone,
    waiting_at timestamp with time zone,
    narrowed_at timestamp with time zone,
    purged_at timestamp with time zone,
    constraint onward_reader_pkey PRIMARY KEY (by, leaf_hash, node)
);
CREATE INDEX onward_reader_tag ON public.onward_reader USING btree (tag);

create table passed (
    report_id text not null,
    ver integer not null,
    through text not null,
    org text not null,
    proof bytea not null,
    data_key bytea not null,
    at timestamp with time zone default now() not null,
    constraint passed_pkey PRIMARY KEY (report_id, ver)
);

create table peer (
    node_id text not null,
    name text not null,
    chain bytea[] not null,
    url text not null,
    state text not null,
    our_nonce bytea not null,
    their_nonce bytea not null,
    invited boolean not null,
    approved_at timestamp with time zone,
    sas_verified boolean default false not null,
    max_tlp_out text default 'green'::text not null,
    max_tlp_in text default 'green'::text not null,
    problem_code text,
    problem_hint text,
    problem_at timestamp with time zone,
    last_contact_at timestamp with time zone,
    clock_skew_s double precision,
    fetched_next bigint default 0 not null,
    added_at timestamp with time zone default now() not null,
    fetched_gen integer default 1 not null,
    witness boolean default true not null,
    witnessed boolean default true not null,
    relay boolean default true not null,
    onward boolean default true not null,
    client boolean default false not null,
    alerts_per_day integer,
    requests_per_s integer,
    unnamed boolean default false not null,
    constraint peer_pkey PRIMARY KEY (node_id),
    constraint peer_name_key UNIQUE (name),
    constraint peer_alerts_per_day_check CHECK (((alerts_per_day >= 0) AND (alerts_per_day <= 100000))),
    constraint peer_requests_per_s_check CHECK (((requests_per_s >= 1) AND (requests_per_s <= 10000))),
    constraint peer_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'active'::text, 'suspect'::text, 'removed'::text])))
);

create table quarantine (
    origin text not null,
    gen integer not null,
    idx bigint not null,
    code text not null,
    leaf bytea not null,
    wrap bytea not null,
    ct bytea not null,
    at timestamp with time zone default now() not null,
    asked_at timestamp with time zone,
    constraint quarantine_pkey PRIMARY KEY (origin, gen, idx)
);
CREATE INDEX quarantine_faults ON public.quarantine USING btree (origin) WHERE (code = ANY (ARRAY['judging-failed'::text, 'storage-unfit'::text, 'storage-conflict'::text]));
CREATE INDEX quarantine_mendable ON public.quarantine USING btree (origin, gen, asked_at NULLS FIRST, idx) WHERE (code = ANY (ARRAY['bad-wrap'::text, 'commitment'::text, 'hash-mismatch'::text, 'ciphertext-mismatch'::text]));
CREATE INDEX quarantine_names ON public.quarantine USING gin (report_names(encode(leaf, 'escape'::text)));

create table recall (
    id uuid not null,
    tag bytea not null,
    what text not null,
    tlp text not null,
    reason text not null,
    by text not null,
    at timestamp with time zone default now() not null,
    deadline timestamp with time zone not null,
    erased boolean default false not null,
    author text,
    regained_at timestamp with time zone,
    awaits bytea[],
    constraint recall_pkey PRIMARY KEY (id),
    constraint recall_what_check CHECK ((what = ANY (ARRAY['purge'::text, 'narrow'::text])))
);
CREATE INDEX recall_awaits ON public.recall USING gin (awaits) WHERE (awaits IS NOT NULL);
CREATE INDEX recall_tag ON public.recall USING btree (tag);

create table recall_peer (
    recall uuid not null,
    node text not null,
    ref bytea not null,
    gen integer,
    idx bigint,
    also bytea[] default '{}'::bytea[] not null,
    constraint recall_peer_pkey PRIMARY KEY (recall, node),
    constraint recall_peer_recall_fkey FOREIGN KEY (recall) REFERENCES recall(id)
);
CREATE INDEX recall_peer_untold ON public.recall_peer USING btree (recall) WHERE (idx IS NULL);

create table recalled (
    leaf_hash bytea not null,
    origin text not null,
    what text not null,
    tlp text not null,
    entries bytea[] not null,
    reason text,
    at timestamp with time zone not null,
    deadline timestamp with time zone not null,
    stored_at timestamp with time zone default now() not null,
    done_at timestamp with time zone,
    done_by text,
    reports integer,
    constraint recalled_pkey PRIMARY KEY (leaf_hash),
    constraint recalled_what_check CHECK ((what = ANY (ARRAY['purge'::text, 'narrow'::text])))
);
CREATE INDEX recalled_entries ON public.recalled USING gin (entries);
CREATE INDEX recalled_open ON public.recalled USING btree (stored_at) WHERE (done_at IS NULL);

create table receipt (
    node text not null,
    gen integer not null,
    idx bigint not null,
    sent_at timestamp with time zone,
    verified_at timestamp with time zone,
    outcome text,
    code text,
    outcome_at timestamp with time zone,
    alerted_at timestamp with time zone,
    waiting_at timestamp with time zone,
    narrowed_at timestamp with time zone,
    purged_at timestamp with time zone,
    turns integer default 0 not null,
    turning_since timestamp with time zone,
    constraint receipt_pkey PRIMARY KEY (node, gen, idx),
    constraint receipt_outcome_check CHECK ((outcome = ANY (ARRAY['stored'::text, 'unchanged'::text, 'superseded'::text, 'refused'::text, 'quarantined'::text])))
);
CREATE INDEX receipt_unverified ON public.receipt USING btree (node, gen, idx) WHERE (verified_at IS NULL);

create table receipt_due (
    id bigint generated always as identity not null,
    origin text not null,
    leaf_hash bytea not null,
    state text not null,
    code text,
    at timestamp with time zone default now() not null,
    by text default ''::text not null,
    constraint receipt_due_pkey PRIMARY KEY (id),
    constraint receipt_due_once UNIQUE (origin, leaf_hash, state, by)
);
CREATE INDEX receipt_due_origin ON public.receipt_due USING btree (origin, id);

create table redaction (
    report_id text not null,
    record_id text,
    record_ver integer not null,
    clearance text not null,
    constraint redaction_pkey PRIMARY KEY (report_id),
    constraint redaction_record_id_fkey FOREIGN KEY (record_id) REFERENCES report(id),
    constraint redaction_report_id_fkey FOREIGN KEY (report_id) REFERENCES report(id)
);
CREATE INDEX redaction_record ON public.redaction USING btree (record_id);

create table regained (
    gen integer not null,
    idx bigint not null,
    node text not null,
    constraint regained_pkey PRIMARY KEY (gen, idx, node)
);

create table relay (
    origin text not null,
    node text not null,
    given boolean not null,
    entries bigint default 0 not null,
    first_at timestamp with time zone default now() not null,
    last_at timestamp with time zone default now() not null,
    problem_code text,
    problem_at timestamp with time zone,
    constraint relay_pkey PRIMARY KEY (origin, node, given)
);

create table remark (
    report_id text not null,
    node text not null,
    kind text not null,
    ver integer not null,
    said text not null,
    tlp text not null,
    created timestamp with time zone not null,
    modified timestamp with time zone not null,
    revoked boolean not null,
    sha256 bytea not null,
    bundle bytea not null,
    audience text[] default '{}'::text[] not null,
    log_gen integer,
    log_index bigint,
    leaf_hash bytea,
    stored_at timestamp with time zone default now() not null,
    constraint remark_pkey PRIMARY KEY (report_id, node, kind),
    constraint remark_report_id_fkey FOREIGN KEY (report_id) REFERENCES report(id),
    constraint remark_kind_check CHECK ((kind = ANY (ARRAY['sighting'::text, 'opinion'::text, 'exposure'::text])))
);
CREATE INDEX remark_node ON public.remark USING btree (node, report_id);

create table remote_checkpoint (
    origin text not null,
    gen integer not null,
    size bigint not null,
    root bytea not null,
    note bytea not null,
    seen_at timestamp with time zone default now() not null,
    constraint remote_checkpoint_pkey PRIMARY KEY (origin, gen, size)
);

create table remote_entry (
    origin text not null,
    gen integer not null,
    idx bigint not null,
    leaf_hash bytea not null,
    outcome text not null,
    code text,
    report_id text,
    ver integer,
    at timestamp with time zone default now() not null,
    leaf bytea,
    data_key bytea,
    via text,
    constraint remote_entry_pkey PRIMARY KEY (origin, gen, idx),
    constraint remote_entry_outcome_check CHECK ((outcome = ANY (ARRAY['stored'::text, 'unchanged'::text, 'superseded'::text, 'refused'::text, 'quarantined'::text])))
);
CREATE INDEX remote_entry_leaf ON public.remote_entry USING btree (leaf_hash);
CREATE INDEX remote_entry_not_taken ON public.remote_entry USING btree (at) WHERE (outcome = ANY (ARRAY['refused'::text, 'quarantined'::text]));
CREATE INDEX remote_entry_outcome ON public.remote_entry USING btree (origin, outcome, code);
CREATE INDEX remote_entry_report ON public.remote_entry USING btree (report_id) WHERE (report_id IS NOT NULL);

create table remote_leaf (
    origin text not null,
    gen integer not null,
    idx bigint not null,
    leaf_hash bytea not null,
    constraint remote_leaf_pkey PRIMARY KEY (origin, gen, idx)
);

create table remote_log (
    origin text not null,
    gen integer not null,
    size bigint default 0 not null,
    root bytea,
    frontier bytea not null,
    note bytea,
    next_index bigint default 0 not null,
    ended boolean default false not null,
    disputed_from bigint,
    relayed_to bigint default 0 not null,
    constraint remote_log_pkey PRIMARY KEY (origin, gen)
);

create table report (
    id text not null,
    origin text not null,
    ver integer not null,
    state text not null,
    name text not null,
    tlp text not null,
    grade text not null,
    level smallint not null,
    score smallint not null,
    realization text not null,
    modified timestamp with time zone not null,
    sha256 bytea not null,
    bundle bytea storage external not null,
    audience text[] default '{}'::text[] not null,
    log_gen integer,
    log_index bigint,
    leaf_hash bytea,
    stored_at timestamp with time zone default now() not null,
    seq bigint generated always as identity not null,
    constraint report_pkey PRIMARY KEY (id),
    constraint report_seq_key UNIQUE (seq),
    constraint report_state_check CHECK ((state = ANY (ARRAY['active'::text, 'withdrawn'::text])))
) with (toast_tuple_target=8160);
CREATE INDEX report_grade ON public.report USING btree (grade, seq);

create table report_facet (
    report_id text not null,
    seq bigint not null,
    origin text not null,
    creator text not null,
    level smallint not null,
    occurred_at timestamp with time zone,
    newest_at timestamp with time zone,
    first_at timestamp with time zone default now() not null,
    stored_at timestamp with time zone default now() not null,
    keys text[] not null,
    words tsvector not null,
    constraint report_facet_pkey PRIMARY KEY (report_id),
    constraint report_facet_seq_key UNIQUE (seq),
    constraint report_facet_report_id_fkey FOREIGN KEY (report_id) REFERENCES report(id)
);
CREATE INDEX report_facet_find ON public.report_facet USING gin (keys, words);
CREATE INDEX report_facet_first ON public.report_facet USING btree (first_at);

create table report_share (
    report_id text not null,
    ver integer not null,
    gen integer not null,
    idx bigint not null,
    leaf_hash bytea not null,
    constraint report_share_pkey PRIMARY KEY (report_id, ver, gen, idx),
    constraint report_share_report_id_fkey FOREIGN KEY (report_id) REFERENCES report(id)
);

create table report_version (
    report_id text not null,
    ver integer not null,
    tlp text not null,
    grade text not null,
    sha256 bytea not null,
    bundle bytea not null,
    log_gen integer,
    log_index bigint,
    leaf_hash bytea,
    stored_at timestamp with time zone not null,
    constraint report_version_pkey PRIMARY KEY (report_id, ver),
    constraint report_version_report_id_fkey FOREIGN KEY (report_id) REFERENCES report(id)
);

create table review (
    report_id text not null,
    ver integer not null,
    reviewed_by text not null,
    kinds text[] not null,
    found bytea[] not null,
    at timestamp with time zone default now() not null,
    constraint review_pkey PRIMARY KEY (report_id, ver),
    constraint review_report_id_fkey FOREIGN KEY (report_id) REFERENCES report(id) ON DELETE CASCADE
);

create table silence (
    id bigint generated always as identity not null,
    by text not null,
    reason text not null,
    at timestamp with time zone default now() not null,
    until timestamp with time zone not null,
    ended_at timestamp with time zone,
    ended_by text,
    origin text,
    report_id text,
    system text,
    harm text,
    technique text,
    keys jsonb default '[]'::jsonb not null,
    rank smallint not null,
    constraint silence_pkey PRIMARY KEY (id)
);
CREATE INDEX silence_until ON public.silence USING btree (until);

create table spent (
    node text not null,
    what text not null,
    at timestamp with time zone not null,
    gen integer,
    idx bigint,
    constraint spent_what_check CHECK ((what = ANY (ARRAY['alert'::text, 'emergency'::text, 'drill'::text])))
);
CREATE INDEX spent_at ON public.spent USING btree (at);

create table stirred (
    id bigint generated always as identity not null,
    incident text not null,
    constraint stirred_pkey PRIMARY KEY (id)
);

create table subscription (
    id bigint generated always as identity not null,
    person text not null,
    filters jsonb not null,
    keys text[] not null,
    origins text[] not null,
    max_tlp text not null,
    digest_at time without time zone,
    zone text not null,
    quiet_from time without time zone,
    quiet_until time without time zone,
    break_quiet boolean not null,
    made_by text not null,
    made_at timestamp with time zone default now() not null,
    ended_at timestamp with time zone,
    ended_by text,
    constraint subscription_pkey PRIMARY KEY (id),
    constraint subscription_check CHECK (((quiet_from IS NULL) = (quiet_until IS NULL)))
);
CREATE INDEX subscription_standing ON public.subscription USING btree (id) WHERE (ended_at IS NULL);

create table subscription_alert (
    subscription_id bigint not null,
    alert_id bigint not null,
    due_at timestamp with time zone not null,
    told_at timestamp with time zone,
    constraint subscription_alert_pkey PRIMARY KEY (subscription_id, alert_id),
    constraint subscription_alert_alert_id_fkey FOREIGN KEY (alert_id) REFERENCES alert(id),
    constraint subscription_alert_subscription_id_fkey FOREIGN KEY (subscription_id) REFERENCES subscription(id)
);
CREATE INDEX subscription_alert_alert ON public.subscription_alert USING btree (alert_id);
CREATE INDEX subscription_alert_due ON public.subscription_alert USING btree (due_at) WHERE (told_at IS NULL);

create table token (
    id bigint generated always as identity not null,
    name text not null,
    hash bytea not null,
    scopes text[] not null,
    created_at timestamp with time zone default now() not null,
    revoked_at timestamp with time zone,
    constraint token_pkey PRIMARY KEY (id),
    constraint token_hash_key UNIQUE (hash),
    constraint token_name_key UNIQUE (name)
);

create table trouble (
    name text not null,
    code text not null,
    since timestamp with time zone default now() not null,
    began_at timestamp with time zone default now() not null,
    told text[] default '{}'::text[] not null,
    well_since timestamp with time zone,
    constraint trouble_pkey PRIMARY KEY (name)
);

CREATE OR REPLACE FUNCTION public.audit_stays()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
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
end $function$
;

CREATE OR REPLACE FUNCTION public.report_names(said text)
 RETURNS text[]
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE STRICT
AS $function$ select array(select distinct found[1] from regexp_matches(said, '(incident--[0-9a-f-]{36})', 'g') as found) $function$
;

CREATE OR REPLACE FUNCTION public.stir_by_act()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
    insert into stirred (incident)
    select distinct a.incident from alert a
    where (a.id = new.alert_id or a.report_id = new.report_id)
      and exists (select from delivery d where d.alert_id = a.id);
    return null;
end $function$
;

CREATE OR REPLACE FUNCTION public.stir_by_report()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
    insert into stirred (incident)
    select new.id where exists (select from alert a join delivery d on d.alert_id = a.id where a.incident = new.id);
    return null;
end $function$
;

CREATE TRIGGER act_stirs AFTER INSERT OR UPDATE ON public.act FOR EACH ROW EXECUTE FUNCTION stir_by_act();

CREATE TRIGGER audit_line_stays BEFORE DELETE OR UPDATE ON public.audit_line FOR EACH ROW EXECUTE FUNCTION audit_stays();

CREATE TRIGGER audit_line_stays_whole BEFORE TRUNCATE ON public.audit_line FOR EACH STATEMENT EXECUTE FUNCTION audit_stays();

CREATE TRIGGER report_stirs AFTER UPDATE OF ver ON public.report FOR EACH ROW EXECUTE FUNCTION stir_by_report();
