-- Every table, index, type and grant that there was at migration 46, and the rows that a new database begins with.
-- A database that stands at 0046 has all of this and skips it.
-- replaces: 46
-- min-binary: 46

create type event_in as (
    type text, account_id uuid, resource text, record_id uuid, version bigint, dedupe text, data jsonb, previous jsonb);

create type standing_touch as (account_id uuid, version bigint);

create type webhook_result as (
    delivery_id uuid, endpoint_id uuid, account_id uuid, at_position bigint, lane boolean, n int, base int,
    outcome text,          -- delivered, failed, exhausted, or returned: claimed, but not sent
    pause_ms bigint,       -- until the next attempt
    ago_us bigint, duration_ms int, status int, error text, address text, response_excerpt text);

create type webhook_endpoint_result as (
    endpoint_id uuid, settled bigint, failures int, opened int, pause_ms bigint, release boolean, gone text);

-- Which accounts a person may see, and which information areas of them (a bit mask). Filled by acl_refresh().
create table acl (
    user_id uuid not null,
    account_id uuid not null,
    reason text not null check (reason in ('manager', 'sponsor', 'delegate', 'above', 'team', 'grant', 'contributor')),
    areas bigint not null default (1::bigint << 18) - 1,
    visible_from timestamptz not null default '-infinity',
    visible_until timestamptz not null default 'infinity',
    removed bigint not null default 0, -- areas that a membership takes away
    nth int not null default 1,        -- of several rows with one reason
    opened boolean not null default true, -- it was told that this access has begun
    primary key (user_id, account_id, reason, nth)
);
create index acl_account_id_idx on acl (account_id);
grant delete on acl to kamd_worker;
create index acl_unopened_idx on acl (visible_from) where not opened;

create table history (
    id bigint generated always as identity primary key,
    at timestamptz not null default now(),
    account_id uuid,
    resource text not null,
    record_id uuid not null,
    version bigint not null,
    op text not null check (op in ('created', 'updated', 'deleted', 'restored', 'merged', 'erased')),
    actor text,
    origin text,
    request_id text,
    changes jsonb not null, -- {field: [before, after]}
    area smallint not null default 9 -- the number of the area that the record lies in
);
create index history_record_idx on history (record_id, id desc);
create index history_account_idx on history (account_id, id desc);
revoke insert, update on history from kamd_app, kamd_worker;

create table event (
    seq bigint generated always as identity,
    at timestamptz not null default now(),
    xid xid8 not null default pg_current_xact_id(),
    id uuid not null,
    type text not null,
    account_id uuid,
    resource text not null,
    record_id uuid not null,
    version bigint not null,
    sequence bigint not null, -- counts the events of one account without gaps
    actor text,
    origin text,
    request_id text,
    traceparent text,
    data jsonb not null,
    previous jsonb not null default '{}',
    area smallint not null default 9, -- the number of the area that it lies in
    primary key (at, seq)
) partition by range (at);
create index event_xid_idx on event (xid);
create index event_seq_idx on event (seq);
revoke insert, update on event from kamd_app, kamd_worker;

create table event_rest partition of event default;
revoke all on event_rest from kamd_app, kamd_worker;
select event_partitions(7);

-- One row per account: the lock that orders an account's events, and their count.
create table account_sequence (
    account_id uuid primary key,
    last bigint not null,
    -- Where the chain of changes ends stands beside the account's count of events: one lock for both, taken by every
    -- writer anyway.
    audit_seq bigint not null default 0, audit_hash bytea
) with (fillfactor = 50);
revoke insert, update on account_sequence from kamd_app, kamd_worker;

-- Committed events get a position: dense, in an order that holds per account. One transaction at a time does it (the
-- row below is its lock); it takes what became visible since the snapshot of the one before, so a transaction that
-- stays open delays only its own events. (The way of Skype's PgQ.)
create table event_position (
    position bigint primary key,
    at timestamptz not null, -- the event's, finds its partition
    seq bigint not null
);
revoke insert, update on event_position from kamd_app, kamd_worker;

create table sequencer (
    one boolean primary key default true check (one),
    snapshot pg_snapshot not null,
    position bigint not null,
    ticked_at timestamptz not null,
    database text not null default '',
    first_seq bigint not null default 0 -- events up to here are of another database: their xid says nothing
) with (fillfactor = 50);
insert into sequencer (snapshot, position, ticked_at, database)
    values (pg_current_snapshot(), 0, now(), database_identity());
revoke insert, update on sequencer from kamd_app, kamd_worker;

create table app_user (
    id uuid primary key, version bigint not null default 1,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(),
            deleted_at timestamptz,
    external_ids jsonb not null default '{}',
    subject text, -- the identity provider's `sub`
    name text not null, email text, title text, function text,
    manager_id uuid constraint app_user_manager_id_fkey references app_user,
    capacity int check (capacity >= 0), -- key accounts that the person can carry; null: no limit
    active boolean not null default true,
    -- days a year that the person can be with customers; null: unknown
    visit_days int check (visit_days between 0 and 366)
);
create unique index app_user_subject_key on app_user (subject) where deleted_at is null;
create index app_user_name_idx on app_user (name, id);
create index app_user_updated_at_idx on app_user (updated_at, id);
-- Also those that were deleted: they do not come back by signing in again.
create index app_user_subject_idx on app_user (subject);

create table account (
    id uuid primary key, version bigint not null default 1,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(),
            deleted_at timestamptz,
    external_ids jsonb not null default '{}',
    name text not null, account_number text, domain text, phones text[] not null default '{}',
            emails text[] not null default '{}',
    industry text, currency_code text, lifecycle text not null default 'customer', custom jsonb not null default '{}',
    parent_id uuid constraint account_parent_id_fkey references account, level text, division jsonb,
    manager_id uuid constraint account_manager_id_fkey references app_user,
    sponsor_id uuid constraint account_sponsor_id_fkey references app_user,
    delegate_id uuid constraint account_delegate_id_fkey references app_user, delegate_until timestamptz,
    business_model text, revenue_model text, our_contribution text, customer_plans jsonb not null default '[]',
    contact_preference jsonb, cadence jsonb not null default '[]', sales_cycle text, address jsonb, country_code text,
    merged_into uuid references account
);
create unique index account_account_number_key on account (account_number) where deleted_at is null;
create index account_name_idx on account (name, id);
create index account_updated_at_idx on account (updated_at, id);
create index account_created_at_idx on account (created_at, id);
create index account_manager_id_idx on account (manager_id, id);
create index account_parent_id_idx on account (parent_id);
create index account_name_trgm_idx on account using gin (lower(name) gin_trgm_ops);
create index account_custom_idx on account using gin (custom jsonb_path_ops);
create index account_industry_idx on account (industry, name, id) where deleted_at is null;

-- Derived values of an account: they change without anybody editing it, so they have a version of their own.
create table standing (
    account_id uuid primary key references account, version bigint not null default 1,
            updated_at timestamptz not null default now(),
    tier text not null default 'C' check (tier in ('A', 'B', 'C')),
    key_status text not null default 'none' check (
        key_status in ('none', 'candidate', 'key', 'at_risk', 'divesting', 'divested')),
    score numeric(7, 4), score_rank int, key_since timestamptz, health int,
    status_since timestamptz not null default now(),
    grace_until timestamptz, -- the grace clock, while it runs
    as_of date, criteria_version int,
    contributions jsonb not null default '[]', missing text[] not null default '{}',
    designation jsonb -- {reason, benefits[], charter, told_customer_at, designated_at, designated_by}
) with (fillfactor = 70);
create index standing_key_idx on standing (key_status) where key_status in ('key', 'at_risk', 'candidate');
create index standing_grace_idx on standing (grace_until) where grace_until is not null;
-- Only the functions above move a standing.
revoke insert, update on standing from kamd_app, kamd_worker;
-- The explanation of a score is economics; a standing's place in the list is not.
revoke select on standing from kamd_app;
grant
    select (
        account_id, version, updated_at, tier, key_status, score, score_rank, key_since, health, status_since,
            grace_until, as_of, criteria_version, designation) on standing to kamd_app;
create index standing_order_idx on standing (score desc nulls last, account_id desc);

create table contact (
    id uuid primary key, version bigint not null default 1,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(),
            deleted_at timestamptz,
    external_ids jsonb not null default '{}',
    account_id uuid not null constraint contact_account_id_fkey references account,
    given_name text, family_name text not null, title text, department text, email text, phone text, decision_role text,
            level text,
    influence int, disposition text, reports_to_id uuid, linkedin_url text, contact_preference jsonb, active_from date,
            active_until date,
    mirror_user_id uuid constraint contact_mirror_user_id_fkey references app_user,
            influences jsonb not null default '[]',
    last_interaction_at timestamptz, derived_version bigint not null default 0, -- counts changes of what is derived
    -- The record of who was erased stays without anything about the person, so that what refers to it still does.
    erased_at timestamptz,
    unique (id, account_id),
    constraint contact_reports_to_id_fkey foreign key (reports_to_id, account_id) references contact (id, account_id)
        deferrable
);
create index contact_account_id_idx on contact (account_id, id);
create index contact_family_name_idx on contact (family_name, id);
create index contact_updated_at_idx on contact (updated_at, id);
create index contact_email_idx on contact (lower(email));

create table plan_template (
    version int primary key, created_at timestamptz not null default now(), created_by text,
    active boolean not null default false, note text,
    -- [{section, title, guidance, required, shared, fields[] {name, title, kind, required, choices[], columns[]}}]
    sections jsonb not null
);
create unique index plan_template_active_key on plan_template (active) where active;
-- Version 1 asks for every section, but for no single field of it, so that it stops nobody who filled sections in
-- before; a company that wants more makes version 2.
insert into plan_template (version, active, note, sections) values
(1, true, 'Where every program starts; a new version may ask for more.', '[
  {"section": "competitive_environment", "title": "Competitive environment",
      "guidance": "What helps and what threatens the client, and who else is in the market (004-16).",
      "required": true, "shared": false, "fields": [
    {"name": "opportunities", "title": "Opportunities", "kind": "table", "columns": [{"name": "text",
        "title": "Opportunity", "kind": "text"}, {"name": "evidence", "title": "What shows it", "kind": "text"}]},
    {"name": "threats", "title": "Threats", "kind": "table", "columns": [{"name": "text", "title": "Threat",
        "kind": "text"}, {"name": "evidence", "title": "What shows it", "kind": "text"}]},
    {"name": "competitors", "title": "Competitors", "kind": "table", "columns": [{"name": "name", "title": "Name",
        "kind": "text"}, {"name": "strengths", "title": "Strengths", "kind": "texts"},
        {"name": "weaknesses", "title": "Weaknesses", "kind": "texts"}]}]},
  {"section": "contacts_and_decisions", "title": "Contacts and decisions",
      "guidance": "How the client decides, step by step: who decides, who influences (004-17).", "required": true,
      "shared": false, "fields": [
    {"name": "steps", "title": "Steps of the decision process", "kind": "table", "columns": [{"name": "step",
        "title": "Step", "kind": "text"}, {"name": "decision_makers", "title": "Who decides", "kind": "contacts"},
        {"name": "influencers", "title": "Who influences", "kind": "contacts"},
        {"name": "due_on", "title": "By", "kind": "date"}]}]},
  {"section": "negotiations", "title": "Processes and negotiations",
      "guidance": "What is under way: where it stands and what comes next (004-18).", "required": true,
      "shared": false, "fields": [
    {"name": "negotiations", "title": "Under way", "kind": "table", "columns": [{"name": "title",
        "title": "What about", "kind": "text"}, {"name": "stage", "title": "Stage", "kind": "text"},
        {"name": "next_step", "title": "Next step", "kind": "text"},
        {"name": "next_step_on", "title": "On", "kind": "date"}]}]},
  {"section": "leader_perceptions", "title": "How their leaders see it",
      "guidance": "How the client''s leaders see the market, their competitors and themselves (004-19).",
      "required": true, "shared": false, "fields": [
    {"name": "market", "title": "The market", "kind": "table", "columns": [{"name": "text",
        "title": "What they say of it", "kind": "text"}]}, {"name": "competitors", "title": "Their competitors",
        "kind": "table", "columns": [{"name": "text", "title": "What they say of them", "kind": "text"}]},
        {"name": "themselves", "title": "Themselves", "kind": "table", "columns": [{"name": "text",
        "title": "What they say of themselves", "kind": "text"}]},
    {"name": "leaders", "title": "Leader by leader", "kind": "table", "columns": [{"name": "contact_id",
        "title": "Who", "kind": "contact"}, {"name": "market", "title": "The market", "kind": "text"},
        {"name": "competitors", "title": "Their competitors", "kind": "text"},
        {"name": "themselves", "title": "Themselves", "kind": "text"}]}]},
  {"section": "values_beliefs", "title": "Values and beliefs",
      "guidance": "What the client holds to be right and true (004-20).", "required": true, "shared": false, "fields": [
    {"name": "values", "title": "Values", "kind": "texts"}, {"name": "beliefs", "title": "Beliefs", "kind": "texts"}]},
  {"section": "capabilities", "title": "Capabilities",
      "guidance": "What the client can do, and what they cannot (004-21).", "required": true, "shared": true,
      "fields": [
    {"name": "capabilities", "title": "Capabilities", "kind": "table", "columns": [{"name": "text",
        "title": "What they can do", "kind": "text"}]}, {"name": "gaps", "title": "Gaps", "kind": "table",
        "columns": [{"name": "text", "title": "What they cannot", "kind": "text"}]}]},
  {"section": "strategies", "title": "Strategies",
      "guidance": "The client''s strategies, present and future (004-22).", "required": true, "shared": true,
      "fields": [
    {"name": "current", "title": "Current", "kind": "table", "columns": [{"name": "text", "title": "What they do",
        "kind": "text"}]}, {"name": "future", "title": "Future", "kind": "table", "columns": [{"name": "text",
        "title": "What they will do", "kind": "text"}]}]},
  {"section": "internal_processes", "title": "Internal processes",
      "guidance": "How the client works inside: ordering, paying, deciding (004-23).", "required": true,
      "shared": true, "fields": [
    {"name": "processes", "title": "Processes", "kind": "table", "columns": [{"name": "name", "title": "Process",
        "kind": "text"}, {"name": "description", "title": "How it goes", "kind": "text"},
        {"name": "owner", "title": "Whose it is", "kind": "text"}]}]},
  {"section": "interaction_history", "title": "Interaction history",
     "guidance": "Written by kamd from interactions, problems, orders, reviews and versions; nobody types it (004-24).",
      "required": false, "shared": false, "fields": []}
]');

create table plan (
    id uuid primary key, version bigint not null default 1,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(),
            deleted_at timestamptz,
    external_ids jsonb not null default '{}',
    account_id uuid not null constraint plan_account_id_fkey references account,
    title text not null, period_start date not null, period_end date not null, status text not null default 'draft',
            version_no int not null default 0,
    company_strategy text, client_strategy text, objectives jsonb not null default '[]',
            win_win jsonb not null default '[]', opportunities jsonb not null default '[]',
    -- A plan remembers the version of the template that its sections are in.
    template_version int not null default template_in_force()
        constraint plan_template_version_fkey references plan_template,
    changed_since_version boolean not null default false,
    derived_version bigint not null default 0, -- counts changes that nobody typed into the plan itself
    unique (id, account_id),
    constraint plan_period_end_check check (period_end > period_start)
);
create index plan_account_id_idx on plan (account_id, id);
create index plan_updated_at_idx on plan (updated_at, id);
create index plan_period_start_idx on plan (period_start, id);
create index plan_template_version_idx on plan (template_version) where status <> 'closed' and deleted_at is null;
create unique index plan_active_key on plan (account_id) where status = 'active' and deleted_at is null;

-- Sections a to h; section i is generated when it is read.
create table plan_section (
    id uuid primary key default gen_random_uuid(), version bigint not null default 1,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(),
            deleted_at timestamptz,
    account_id uuid not null, plan_id uuid not null,
    section text not null, state text not null default 'empty', content jsonb not null default '{}',
            contributors jsonb not null default '[]',
    unique (plan_id, section),
    constraint plan_section_plan_id_fkey foreign key (plan_id, account_id) references plan (id, account_id) deferrable
);
create index plan_section_updated_at_idx on plan_section (updated_at) where deleted_at is null;
create index plan_section_account_id_idx on plan_section (account_id); -- acl_refresh(), policies

create table review (
    id uuid primary key, version bigint not null default 1,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(),
            deleted_at timestamptz,
    external_ids jsonb not null default '{}',
    account_id uuid not null constraint review_account_id_fkey references account,
    plan_id uuid, cadence text not null, due_on date not null, time_zone text not null default 'UTC',
            held_at timestamptz, status text not null default 'scheduled',
    participants jsonb not null default '[]', findings jsonb not null default '[]',
            decisions jsonb not null default '[]', outcome text,
    expectations jsonb not null default '[]', notes text,
    -- A series counts its dates from its anchor, so that the 31st is not forgotten in February.
    anchor_on date, series_no int not null default 0,
    previous_review_id uuid,
    unique (id, account_id),
    constraint review_plan_id_fkey foreign key (plan_id, account_id) references plan (id, account_id) deferrable,
    constraint review_previous_review_id_fkey foreign key (previous_review_id, account_id) references review
        (id, account_id) deferrable
);
create index review_account_id_idx on review (account_id, id);
create index review_due_on_idx on review (due_on, id);
create index review_updated_at_idx on review (updated_at, id);
create unique index review_previous_review_id_key on review (previous_review_id);
create index review_scheduled_idx on review (due_on) where status = 'scheduled' and deleted_at is null;

create table need (
    id uuid primary key, version bigint not null default 1,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(),
            deleted_at timestamptz,
    external_ids jsonb not null default '{}',
    account_id uuid not null constraint need_account_id_fkey references account,
    kind text not null, depth text not null default 'stated', horizon text not null default 'now',
            in_scope boolean not null default true,
    title text not null, description text, status text not null default 'stated', tags text[] not null default '{}',
    contact_id uuid, owner_id uuid constraint need_owner_id_fkey references app_user,
    diagnosed_at timestamptz, prescribed_at timestamptz, resolved_at timestamptz,
    constraint need_contact_id_fkey foreign key (contact_id, account_id) references contact (id, account_id) deferrable,
    unique (id, account_id)
);
create index need_account_id_idx on need (account_id, id);
create index need_updated_at_idx on need (updated_at, id);

create table project (
    id uuid primary key, version bigint not null default 1,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(),
            deleted_at timestamptz,
    external_ids jsonb not null default '{}',
    account_id uuid not null constraint project_account_id_fkey references account,
    title text not null, description text, status text not null default 'planned',
            owner_id uuid constraint project_owner_id_fkey references app_user,
    plan_id uuid, starts_on date, due_on date, milestones jsonb not null default '[]', risk jsonb,
    constraint project_plan_id_fkey foreign key (plan_id, account_id) references plan (id, account_id) deferrable,
    unique (id, account_id)
);
create index project_account_id_idx on project (account_id, id);
create index project_due_on_idx on project (due_on, id);
create index project_updated_at_idx on project (updated_at, id);

create table follow_up (
    id uuid primary key, version bigint not null default 1,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(),
            deleted_at timestamptz,
    external_ids jsonb not null default '{}',
    account_id uuid not null constraint follow_up_account_id_fkey references account,
    review_id uuid, plan_id uuid, contact_id uuid,
    title text not null, description text, assignee_id uuid constraint follow_up_assignee_id_fkey references app_user,
    due_at timestamptz not null, due_on date, time_zone text, priority text not null default 'normal',
            status text not null default 'open',
    completed_at timestamptz, completed_by text, series_id uuid, occurrence_no int not null default 1,
    revision int not null default 1,       -- counts due times: a new one makes one further event
    -- One row per occurrence. The series is the rule with the day and time that it counts from; `slot_on` is the
    -- occurrence's own day by the rule, also after it was moved.
    kind text not null default 'task' check (kind in ('task', 'stay_in_touch')),
    channel text, -- of stay_in_touch
    recurrence text, completion_note text,
    series_first_on date, series_time time, -- null: whole days
    series_first_no int not null default 1, -- the occurrence from which COUNT counts
    slot_on date,
    continued boolean not null default false, -- the next occurrence has been made
    planned jsonb, -- of stay_in_touch: day and assignee as kamd last worked them out
    need_id uuid, project_id uuid,
    constraint follow_up_review_id_fkey foreign key (review_id, account_id) references review (id, account_id)
        deferrable,
    constraint follow_up_plan_id_fkey foreign key (plan_id, account_id) references plan (id, account_id) deferrable,
    constraint follow_up_contact_id_fkey foreign key (contact_id, account_id) references contact (id, account_id)
        deferrable,
    constraint follow_up_need_id_fkey foreign key (need_id, account_id) references need (id, account_id) deferrable,
    constraint follow_up_project_id_fkey foreign key (project_id, account_id) references project (id, account_id)
        deferrable
);
create index follow_up_account_id_idx on follow_up (account_id, id);
create index follow_up_due_at_idx on follow_up (due_at, id);
create index follow_up_assignee_id_idx on follow_up (assignee_id, due_at);
create index follow_up_updated_at_idx on follow_up (updated_at, id);
create unique index follow_up_series_key on follow_up (series_id, occurrence_no) where series_id is not null;
create unique index follow_up_stay_in_touch_key on follow_up (account_id, channel)
    where kind = 'stay_in_touch' and status = 'open' and deleted_at is null;
create index follow_up_review_id_idx on follow_up (review_id) where review_id is not null;
create index follow_up_need_id_idx on follow_up (need_id) where need_id is not null;
create index follow_up_project_id_idx on follow_up (project_id) where project_id is not null;

create table interaction (
    id uuid primary key, version bigint not null default 1,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(),
            deleted_at timestamptz,
    external_ids jsonb not null default '{}',
    account_id uuid not null constraint interaction_account_id_fkey references account,
    kind text not null, channel text not null, occurred_at timestamptz not null,
            contact_ids jsonb not null default '[]',
    user_id uuid constraint interaction_user_id_fkey references app_user, subject text, notes text, approach text,
    questions jsonb not null default '[]', sentiment text, order_taking boolean not null default false,
            tags text[] not null default '{}',
    need_ids text[] not null default '{}'
);
create index interaction_account_id_idx on interaction (account_id, occurred_at desc, id);
create index interaction_updated_at_idx on interaction (updated_at, id);
create index interaction_channel_idx on interaction (account_id, channel, occurred_at desc) where deleted_at is null;

create table problem (
    id uuid primary key, version bigint not null default 1,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(),
            deleted_at timestamptz,
    external_ids jsonb not null default '{}',
    account_id uuid not null constraint problem_account_id_fkey references account,
    category text not null, severity text not null default 'medium', title text not null, description text,
            loss_per_hour numeric(19, 4), currency_code text,
    opened_at timestamptz not null, handled_at timestamptz, resolved_at timestamptz, contact_id uuid,
    constraint problem_contact_id_fkey foreign key (contact_id, account_id) references contact (id, account_id)
        deferrable
);
create index problem_account_id_idx on problem (account_id, opened_at desc, id);
create index problem_updated_at_idx on problem (updated_at, id);
create index problem_open_idx on problem (account_id) where resolved_at is null and deleted_at is null;

create table team_member (
    id uuid primary key, version bigint not null default 1,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(),
            deleted_at timestamptz,
    external_ids jsonb not null default '{}',
    account_id uuid not null constraint team_member_account_id_fkey references account,
    user_id uuid not null constraint team_member_user_id_fkey references app_user,
    role text not null, function text, allocation_pct int check (allocation_pct between 0 and 100), active_from date,
            active_until date,
    grants jsonb not null default '[]'
);
create unique index team_member_role_key on team_member (account_id, user_id, role) where deleted_at is null;
create index team_member_user_id_idx on team_member (user_id);
create index team_member_account_id_idx on team_member (account_id, id);

create table sales_order (
    id uuid primary key, version bigint not null default 1,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(),
            deleted_at timestamptz,
    external_ids jsonb not null default '{}',
    account_id uuid not null constraint sales_order_account_id_fkey references account,
    external_id text, ordered_on date not null, currency_code text not null, lines jsonb not null,
    amount numeric(19, 4) generated always as (lines_amount(lines)) stored,
    cost numeric(19, 4) generated always as (lines_cost(lines)) stored -- null: the cost of a line is unknown
);
create unique index sales_order_external_id_key on sales_order (account_id, external_id) where deleted_at is null;
create index sales_order_account_id_idx on sales_order (account_id, ordered_on desc, id);
create index sales_order_updated_at_idx on sales_order (updated_at, id);

-- Sums by day, kept with every order written, corrected or deleted: what the score's windows are made of.
create table day_sales (
    account_id uuid not null, day date not null, currency_code text not null,
    amount numeric(19, 4) not null, cost numeric(19, 4) not null, unknown_costs int not null, orders int not null,
    primary key (account_id, day, currency_code)
) with (fillfactor = 80);
revoke insert, update on day_sales from kamd_app, kamd_worker;

-- Accounts whose inputs changed since they were scored. A worker empties it.
create table rescore (account_id uuid not null, since timestamptz not null default now());
revoke insert, update on rescore from kamd_app, kamd_worker;
create index rescore_account_id_idx on rescore (account_id);

-- Typed custom fields: what `custom` may hold, per resource.
create table custom_field (
    id uuid primary key, version bigint not null default 1,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(),
            deleted_at timestamptz,
    resource text not null, name text not null, kind text not null, label text, choices text[] not null default '{}'
);
create unique index custom_field_name_key on custom_field (resource, name) where deleted_at is null;

-- Which record another system means by its own id. Follows external_ids of the records.
create table external_id (
    system text not null, resource text not null, external_id text not null, record_id uuid not null, account_id uuid,
    primary key (system, resource, external_id)
);
create index external_id_record_id_idx on external_id (record_id);
revoke insert, update on external_id from kamd_app, kamd_worker;

-- The principals of machines.
create table api_key (
    id uuid primary key, created_at timestamptz not null default now(),
    name text not null, prefix text not null, hash bytea not null constraint api_key_hash_key unique,
    role text not null check (role in ('admin', 'director', 'account_manager', 'member', 'auditor', 'integration')),
    scopes text[] not null default '{}', user_id uuid constraint api_key_user_id_fkey references app_user,
    expires_at timestamptz, revoked_at timestamptz, last_used_at timestamptz,
    -- A rotated key keeps its id, and so its history and its name as an OAuth client; its text before lives on until
    -- previous_until.
    secret_no int not null default 1, -- counts rotations: access tokens end with the secret that they were had for
    previous_hash bytea constraint api_key_previous_hash_key unique,
    previous_until timestamptz,
    rotated_at timestamptz,
    constraint api_key_previous_check check ((previous_hash is null) = (previous_until is null))
);

-- One effect per Idempotency-Key: written in the transaction of the effect, kept 24 hours.
create table idempotency (
    principal text not null, key text not null, request_hash bytea not null,
            created_at timestamptz not null default now(),
    status int not null, etag text not null, location text not null, body text not null,
    touches text not null, -- cache entries that the first answer had to replace: a replay does it again
    -- What the caller had when an answer was stored, so that it is not given to who has less by now: what they might at
    -- most, and, of who does not see all accounts, what they read of each account that the answer tells of.
    reach bigint not null default caller_reach(), told jsonb,
    primary key (principal, key)
);
create index idempotency_created_at_idx on idempotency (created_at);
grant delete on idempotency to kamd_worker;

-- Work over the whole portfolio, done by workers in chunks.
create table operation (
    id uuid primary key, created_at timestamptz not null default now(), updated_at timestamptz not null default now(),
    kind text not null, status text not null default 'queued' check
            (status in ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    request jsonb not null, progress_done bigint not null default 0, progress_total bigint, result jsonb, failure text,
    actor text, lease_token uuid, leased_until timestamptz,
    reach bigint not null default caller_reach() -- all that the caller might at most
);
create index operation_open_idx on operation (created_at) where status in ('queued', 'running');
grant delete on operation to kamd_worker;
create index operation_ended_idx on operation (updated_at) where status not in ('queued', 'running');

create table criteria (
    version int primary key, created_at timestamptz not null default now(), created_by text,
    note text, metrics jsonb not null -- [{metric, weight, floor, ceiling}]
);
insert into criteria (version, note, metrics) values (1, 'Where every program starts; replace it by your own.',
    '[{"metric": "revenue_ttm", "weight": "50", "floor": "0", "ceiling": "100000"},
      {"metric": "margin_ttm", "weight": "30", "floor": "0", "ceiling": "30000"},
      {"metric": "growth", "weight": "20", "floor": "-0.5", "ceiling": "0.5"}]');

create table program (
    one boolean primary key default true check (one), version bigint not null default 1,
            updated_at timestamptz not null default now(),
    objective text not null, max_key_accounts int not null check (max_key_accounts >= 0),
            max_net_growth int check (max_net_growth >= 0),
    program_year_start text not null default '01-01' check (program_year_start ~ '^\d\d-\d\d$'), -- month and day
    enter_score numeric(7, 4) not null, recover_score numeric(7, 4) not null, exit_score numeric(7, 4) not null,
    tier_b_score numeric(7, 4) not null, grace_days int not null check (grace_days >= 0),
    reporting_currency text not null, criteria_version int not null references criteria,
    last_full_evaluation_at timestamptz,
    tiers jsonb, -- how many accounts each tier had at the last full evaluation
    constraint program_recover_score_check check (enter_score >= recover_score and recover_score > exit_score)
);
insert into program (
    objective, max_key_accounts, enter_score, recover_score, exit_score, tier_b_score, grace_days, reporting_currency,
        criteria_version)
values ('Serve and grow the few customers that bring most of the profit.', 20, 60, 55, 50, 30, 30, 'USD', 1);

create table program_rate (
    currency_code text primary key, rate numeric(20, 10) not null check (rate > 0), -- reporting currency for one unit
    updated_at timestamptz not null default now()
);
grant delete on program_rate to kamd_app;

create table key_status_history (
    id bigint generated always as identity primary key, at timestamptz not null default now(),
    account_id uuid not null references account, cause text not null, actor text,
    from_status text not null, to_status text not null, from_tier text not null, to_tier text not null,
    score numeric(7, 4), score_before numeric(7, 4), score_rank int, criteria_version int,
    contributions jsonb not null, contributions_before jsonb not null,
    designation jsonb, -- the terms under which an account came onto the list
    reason text -- of a person's decision
);
create index key_status_history_account_id_idx on key_status_history (account_id, id desc);
revoke insert, update on key_status_history from kamd_app, kamd_worker;
create index key_status_history_at_idx on key_status_history (account_id, at desc);
create index key_status_history_time_idx on key_status_history (at);
revoke select on key_status_history from kamd_app;
grant
    select (
        id, at, account_id, cause, actor, from_status, to_status, from_tier, to_tier, score, score_before, score_rank,
            criteria_version, reason, designation) on key_status_history to kamd_app;

-- A stored evaluation as of some day; it does not move anybody.
create table evaluation_result (
    operation_id uuid not null references operation on delete cascade, account_id uuid not null,
    score_rank int, score numeric(7, 4), contributions jsonb not null, missing text[] not null,
    primary key (operation_id, account_id)
);
create index evaluation_result_rank_idx on evaluation_result (operation_id, score_rank, account_id);
grant delete on evaluation_result to kamd_worker;

create table webhook_endpoint (
    id uuid primary key, version bigint not null default 1,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(),
            deleted_at timestamptz,
    external_ids jsonb not null default '{}',
    url text not null, description text,
    event_types text[] not null default '{}',  -- none or '*': all; 'account.*': all that begin so
    account_ids text[] not null default '{}',  -- none: all
    state text not null default 'enabled' check (state in ('enabled', 'disabled')), disabled_reason text,
    ordering text not null default 'parallel' check (ordering in ('parallel', 'account')),
    payload text not null default 'thin',
    owner_user_id uuid constraint webhook_endpoint_owner_user_id_fkey references app_user,
    owner_scope text not null default 'acl', -- who made it saw all accounts, or those of acl
    account_tiers text[] not null default '{}',        -- none: all
    account_key_statuses text[] not null default '{}', -- none: all
    changed_fields text[] not null default '{}',       -- none: all; of events that name what changed
    headers jsonb not null default '[]',
    -- What an endpoint's owner may read: what the role of its maker read, and where that saw only some accounts, what
    -- the owner sees of each now.
    owner_areas bigint not null default (1::bigint << 18) - 1,
    owner_sees_all boolean generated always as (owner_scope = 'all' and owner_areas = (1::bigint << 18) - 1) stored,
    actor text default context('actor'),             -- who made it
    reach bigint not null default caller_reach(), -- and all that they might at most
    constraint webhook_endpoint_payload_check check (payload in ('thin', 'full'))
);
create index webhook_endpoint_updated_at_idx on webhook_endpoint (updated_at, id);
create index webhook_endpoint_actor_idx on webhook_endpoint (actor);

-- A secret's bytes are sealed by the program; the database never sees them. Several are live while one is being
-- replaced.
create table webhook_secret (
    id uuid primary key,
            endpoint_id uuid not null constraint webhook_secret_endpoint_id_fkey references webhook_endpoint,
    sealed bytea not null, created_at timestamptz not null default now(), expires_at timestamptz
);
create index webhook_secret_endpoint_id_idx on webhook_secret (endpoint_id);
revoke select, update on webhook_secret from kamd_app;
grant select (id, endpoint_id, created_at, expires_at), update (expires_at) on webhook_secret to kamd_app;
revoke insert, update on webhook_secret from kamd_worker;
grant delete on webhook_secret to kamd_worker;
-- Of values that are sealed only the seal may change, and only by the workers' role.
grant update (sealed) on webhook_secret to kamd_worker;

-- Processes that run the loops. One row each, renewed every second: what its owner claimed is free again when it has
-- run out.
create table worker (
    token uuid primary key, name text not null, started_at timestamptz not null default now(),
            until timestamptz not null
) with (fillfactor = 50);
revoke insert, update on worker from kamd_app;
grant delete on worker to kamd_worker;

-- How far each endpoint is. No index on what changes, so that updates stay in their page.
create table webhook_endpoint_state (
    endpoint_id uuid primary key constraint webhook_endpoint_state_endpoint_id_fkey references webhook_endpoint,
    number bigint generated always as identity, -- its short name, part of the ids of its deliveries
    -- events that were committed before it was made are not for it
    since pg_snapshot not null default pg_current_snapshot(),
    position bigint not null,           -- events up to here were claimed, or are not for it
    settled bigint not null,            -- up to here each claimed one has a result, or a row in webhook_retry
    owner uuid, claimed_at timestamptz, -- the worker that is sending
    failures int not null default 0,    -- in a row
    opened int not null default 0,      -- how often the breaker opened since the last success
    failing_since timestamptz,
    next_at timestamptz, -- the breaker: nothing is sent before
    -- An endpoint of which every attempt fails: its owner is warned at half of the time, and told when it is disabled.
    warned_at timestamptz,
    -- Which events are for an endpoint: those that were written after it was made, by their place in the log; of those
    -- before, only what was not committed yet then. `since` is compared with nothing else, so it is never one of
    -- another database.
    since_seq bigint not null default nextval('event_seq_seq')
) with (fillfactor = 50);
revoke insert, update on webhook_endpoint_state from kamd_app, kamd_worker;

create table webhook_delivery (
    id uuid primary key, endpoint_id uuid not null, position bigint not null,
    event_id uuid not null, event_type text not null, account_id uuid, created_at timestamptz not null default now()
);
create index webhook_delivery_endpoint_id_idx on webhook_delivery (endpoint_id, id);
create index webhook_delivery_created_at_idx on webhook_delivery using brin (created_at);
revoke insert, update on webhook_delivery from kamd_app, kamd_worker;
grant delete on webhook_delivery to kamd_worker;

create table webhook_attempt (
    delivery_id uuid not null, n int not null, account_id uuid, started_at timestamptz not null,
            duration_ms int not null,
    status int, error text, address text, response_excerpt text,
    primary key (delivery_id, n)
);
create index webhook_attempt_started_at_idx on webhook_attempt using brin (started_at);
revoke insert, update on webhook_attempt from kamd_app, kamd_worker;
grant delete on webhook_attempt to kamd_worker;

-- The exceptions. waiting: due at next_at; sending: claimed; parked: behind another one of its account; exhausted: the
-- dead letter; withheld: the endpoint's owner lacked the area when it was to be sent.
create table webhook_retry (
    delivery_id uuid primary key, endpoint_id uuid not null, position bigint not null, account_id uuid,
    attempts int not null,         -- counted when it is claimed, so that one that kills its worker is counted, too
    base int not null default 0,   -- of these, before somebody asked for another round
    lane boolean not null,         -- its account's later events wait for it
    state text not null check (state in ('waiting', 'sending', 'parked', 'exhausted', 'withheld')),
    next_at timestamptz
) with (fillfactor = 70);
create index webhook_retry_due_idx on webhook_retry (endpoint_id, next_at) where state = 'waiting';
create index webhook_retry_state_idx on webhook_retry (state, delivery_id);
revoke insert, update on webhook_retry from kamd_app, kamd_worker;
grant delete on webhook_retry to kamd_worker;
create index webhook_retry_lane_idx on webhook_retry (endpoint_id, account_id, position)
    where lane and state not in ('exhausted', 'withheld');

-- Settings of the program: one row, changed by a director, read by functions and reports.
create table program_settings (
    one boolean primary key default true check (one), version bigint not null default 1,
            updated_at timestamptz not null default now(),
    require_fit_check boolean not null default false, -- a designation needs one that is not older than:
    fit_check_max_age_days int not null default 365,
    -- a year; for the lifetime value
    retention_rate numeric(9, 4) not null default 0.8, discount_rate numeric(9, 4) not null default 0.1,
    attention_half_life_days int not null default 90, attention_gap_threshold numeric(9, 4) not null default 0.3,
    attention_channel_weights jsonb not null
        default '{"in_person": "1", "video": "0.7", "phone": "0.5", "email": "0.2", "web": "0.1"}',
    attention_level_weights jsonb not null default '{"executive": "1.5", "manager": "1.2", "user": "1"}',
    touches_per_year int not null default 12, -- what an account that says nothing of it is taken to want
    overdue_manager_days int not null default 1, overdue_sponsor_days int not null default 7,
    review_notice_days int not null default 14, review_grace_days int not null default 14,
    section_stale_days int not null default 180, commitment_grace_days int not null default 0,
    divestment_notice_days int not null default 30, silent_days int not null default 90,
    health_metrics jsonb not null default '[{"metric": "growth", "weight": "20", "floor": "-0.5", "ceiling": "0.5"},
      {"metric": "days_since_interaction", "weight": "20", "floor": "14", "ceiling": "180"},
      {"metric": "cadence_adherence", "weight": "15", "floor": "0", "ceiling": "1"},
      {"metric": "sentiment", "weight": "15", "floor": "-1", "ceiling": "1"},
      {"metric": "open_problems", "weight": "20", "floor": "0", "ceiling": "10"},
      {"metric": "complaint_load", "weight": "10", "floor": "0", "ceiling": "12"}]'
);
insert into program_settings default values;

-- Metrics that somebody assessed, by name, period and source (requirement 002-17).
create table account_metric (
    id uuid primary key default gen_random_uuid(), version bigint not null default 1,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(),
            deleted_at timestamptz,
    account_id uuid not null constraint account_metric_account_id_fkey references account,
    metric text not null, period text not null, value numeric(19, 4) not null, source text not null, note text,
            assessed_by text,
    days daterange not null generated always as (period_days(period)) stored,
    unique (account_id, metric, period)
);

-- The checklist to go through before any strategy (requirements 000-01 to 000-07). The verdict follows from the
-- answers.
create table fit_check (
    id uuid primary key default gen_random_uuid(), version bigint not null default 1,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(),
            deleted_at timestamptz,
    account_id uuid not null unique constraint fit_check_account_id_fkey references account,
    sales_cycle text not null check (sales_cycle in ('relational', 'mixed', 'transactional')),
            sales_cycle_evidence text,
    upsell jsonb not null, cross_sell jsonb not null, expand jsonb not null, -- {possible, evidence, est_value}
    checked_on date not null default current_date, checked_by text,
    failing text[] not null generated always as (
        case when sales_cycle = 'transactional' then array ['sales_cycle'] else array []::text[] end
        || case when (upsell ->> 'possible')::boolean then array []::text[] else array ['upsell'] end
        || case when (cross_sell ->> 'possible')::boolean then array []::text[] else array ['cross_sell'] end
        || case when (expand ->> 'possible')::boolean then array []::text[] else array ['expand'] end) stored,
    verdict text not null generated always as (
        case when sales_cycle = 'transactional'
                  or not (
                          (upsell ->> 'possible')::boolean or (cross_sell ->> 'possible')::boolean
                              or (expand ->> 'possible')::boolean) then 'unsuitable'
             when (upsell ->> 'possible')::boolean and (cross_sell ->> 'possible')::boolean
                     and (expand ->> 'possible')::boolean then 'suitable'
             else 'conditional' end) stored
);

-- Promises that were broken, and told: once for each account, channel and due day.
create table cadence_missed (
    account_id uuid not null, channel text not null, due_on date not null, told_at timestamptz not null default now(),
    primary key (account_id, channel, due_on)
);
revoke insert, update on cadence_missed from kamd_app, kamd_worker;

-- Gaps that opened; one that closed may open again. `times` counts.
create table attention_gap (
    account_id uuid primary key, times int not null default 1, opened_at timestamptz not null default now(),
            closed_at timestamptz
);
revoke insert, update on attention_gap from kamd_app, kamd_worker;

create table wallet (
    id uuid primary key, version bigint not null default 1,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(),
            deleted_at timestamptz,
    external_ids jsonb not null default '{}',
    account_id uuid not null constraint wallet_account_id_fkey references account,
    category text not null, period text not null,
    -- null: unknown
    customer_spend numeric(19, 4) check (customer_spend >= 0), our_revenue numeric(19, 4) check (our_revenue >= 0),
    currency_code text, source text, confidence text,
    share numeric(7, 4) generated always as (round(our_revenue / nullif(customer_spend, 0), 4)) stored,
    constraint wallet_share_check check (our_revenue <= customer_spend)
);
create unique index wallet_period_key on wallet (account_id, category, period) where deleted_at is null;
create index wallet_account_id_idx on wallet (account_id, id);
create index wallet_updated_at_idx on wallet (updated_at, id);

create table nomination (
    id uuid primary key, version bigint not null default 1,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(),
            deleted_at timestamptz,
    account_id uuid not null constraint nomination_account_id_fkey references account,
    region text not null, reason text not null,
    status text not null default 'open' check (status in ('open', 'accepted', 'declined', 'withdrawn')),
    nominated_by text, decided_at timestamptz, decided_by text, decision_reason text
);
create unique index nomination_region_key on nomination (account_id, region)
    where status = 'open' and deleted_at is null;
create index nomination_account_id_idx on nomination (account_id, id);
create index nomination_updated_at_idx on nomination (updated_at, id);
create index nomination_open_idx on nomination (id) where status = 'open';

-- Accounts whose stay-in-touch follow-ups may have to move: what they follow from was written. A worker empties it;
-- what is marked does not fall due before it was looked at.
create table stay_in_touch_mark (account_id uuid primary key, since timestamptz not null default now());
revoke insert, update on stay_in_touch_mark from kamd_app, kamd_worker;

create table stay_in_touch_sweep (
    one boolean primary key default true check (one), at timestamptz not null default '-infinity');
insert into stay_in_touch_sweep default values;
revoke insert, update on stay_in_touch_sweep from kamd_app, kamd_worker;

create table commitment (
    id uuid primary key, version bigint not null default 1,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(),
            deleted_at timestamptz,
    external_ids jsonb not null default '{}',
    account_id uuid not null constraint commitment_account_id_fkey references account,
    text text not null, made_to_contact_id uuid,
            made_by_id uuid constraint commitment_made_by_id_fkey references app_user,
    due_on date not null, time_zone text not null default 'UTC', status text not null default 'open', new_due_on date,
            note text,
    renegotiated_from_id uuid constraint commitment_renegotiated_from_id_fkey references commitment,
    settled_at timestamptz,
    due_at timestamptz not null, -- when due_on begins
    told_due_on date, -- the day whose event was written
    constraint commitment_made_to_contact_id_fkey foreign key (made_to_contact_id, account_id) references contact
        (id, account_id) deferrable
);
create index commitment_account_id_idx on commitment (account_id, due_on, id);
create index commitment_updated_at_idx on commitment (updated_at, id);
create index commitment_made_by_id_idx on commitment (made_by_id, due_at) where status = 'open' and deleted_at is null;
create index commitment_open_idx on commitment (due_at) where status = 'open' and deleted_at is null;

-- A secret that opens one person's calendar feed and nothing else; only its hash is kept.
create table agenda_token (
    user_id uuid primary key constraint agenda_token_user_id_fkey references app_user,
    hash bytea not null constraint agenda_token_hash_key unique, created_at timestamptz not null default now()
);
grant delete on agenda_token to kamd_app;

create table plan_version (
    plan_id uuid not null, account_id uuid not null, version_no int not null, id uuid not null default uuid_v7(),
    created_at timestamptz not null default now(), created_by text,
            kind text not null check (kind in ('activated', 'adapted')),
    review_id uuid, -- the review that adapted it
    template_version int not null, customer_impact text, note text,
    content jsonb not null, -- the plan and its sections, as plan_document() shows them
    primary key (plan_id, version_no),
    constraint plan_version_plan_id_fkey foreign key (plan_id, account_id) references plan (id, account_id) deferrable,
    constraint plan_version_review_id_fkey foreign key (review_id, account_id) references review (id, account_id)
        deferrable
);
create index plan_version_account_id_idx on plan_version (account_id, created_at desc, id);
create index plan_version_review_id_idx on plan_version (review_id) where review_id is not null;
revoke update on plan_version from kamd_app, kamd_worker; -- a version never changes
-- A version holds all sections: each reader gets those of their areas.
revoke select on plan_version from kamd_app;
grant
    select (
        id, plan_id, account_id, version_no, created_at, created_by, kind, review_id, template_version, customer_impact,
            note) on plan_version to kamd_app;

create table plan_acknowledgement (
    plan_id uuid not null, account_id uuid not null, version_no int not null,
    user_id uuid not null constraint plan_acknowledgement_user_id_fkey references app_user,
    acknowledged_at timestamptz not null default now(), recorded_by text,
    primary key (plan_id, version_no, user_id),
    constraint plan_acknowledgement_version_no_fkey foreign key (plan_id, version_no) references plan_version
        (plan_id, version_no),
    constraint plan_acknowledgement_plan_id_fkey foreign key (plan_id, account_id) references plan (id, account_id)
        deferrable
);
revoke update on plan_acknowledgement from kamd_app, kamd_worker;

-- Sections that nobody has touched for so long: told once for each time that one became stale.
create table plan_stale (
    section_id uuid primary key references plan_section, account_id uuid not null, told_for timestamptz not null
);
revoke insert, update on plan_stale from kamd_app;

-- Due dates that were told: one event for each review and date, whoever runs it and dies.
create table review_told (
    review_id uuid not null references review, due_on date not null, account_id uuid not null,
    primary key (review_id, due_on)
);
revoke insert, update on review_told from kamd_app;

-- Ratings that came without a review.
create table expectation_rating (
    id uuid primary key default uuid_v7(), version bigint not null default 1,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(),
            deleted_at timestamptz,
    account_id uuid not null constraint expectation_rating_account_id_fkey references account,
    expectation text not null, rater text not null check (rater in ('customer', 'internal')),
            rating int not null check (rating between 1 and 5),
    rated_at timestamptz not null default now(), contact_id uuid, note text, recorded_by text,
    constraint expectation_rating_contact_id_fkey foreign key (contact_id, account_id) references contact
        (id, account_id) deferrable
);
create index expectation_rating_account_id_idx on expectation_rating (account_id, rated_at desc);

-- What the health of an account is made of, and what it was before it last changed. Derived, as standing is.
create table account_health (
    account_id uuid primary key references account, updated_at timestamptz not null default now(), as_of date not null,
    health int, score numeric(7, 4), contributions jsonb not null, missing text[] not null,
    previous_health int, previous_score numeric(7, 4), previous_contributions jsonb, previous_as_of date,
            changed_at timestamptz not null default now()
) with (fillfactor = 70);
revoke insert, update on account_health from kamd_app, kamd_worker;

-- One row per follow-up. `level` says what was told of this due time: 0 nothing, 1 that it is due, 2 that it is overdue
-- to the manager, 3 to the sponsor.
create table follow_up_timer (
    follow_up_id uuid primary key references follow_up, account_id uuid not null,
    due_at timestamptz not null, level int not null, active boolean not null -- the follow-up is open, and there
) with (fillfactor = 80);
revoke insert, update on follow_up_timer from kamd_app, kamd_worker;
create index follow_up_timer_idx on follow_up_timer (level, due_at) where active and level < 3;

create table solution (
    id uuid primary key, version bigint not null default 1,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(),
            deleted_at timestamptz,
    external_ids jsonb not null default '{}',
    account_id uuid not null constraint solution_account_id_fkey references account,
    title text not null, need_ids text[] not null default '{}', status text not null default 'proposed',
            components jsonb not null default '[]', end_state text,
    agreed_with text[] not null default '{}', vendors jsonb not null default '[]', not_possible_alone text, value jsonb,
            outcome text,
    owner_id uuid constraint solution_owner_id_fkey references app_user
);
create index solution_account_id_idx on solution (account_id, id);
create index solution_updated_at_idx on solution (updated_at, id);

create table investment (
    id uuid primary key, version bigint not null default 1,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(),
            deleted_at timestamptz,
    external_ids jsonb not null default '{}',
    account_id uuid not null constraint investment_account_id_fkey references account,
    kind text not null, description text not null, amount numeric(19, 4) not null check (amount >= 0),
            currency_code text not null,
    invested_on date not null, payback_on date
);
create index investment_account_id_idx on investment (account_id, id);
create index investment_invested_on_idx on investment (invested_on, id);
create index investment_updated_at_idx on investment (updated_at, id);

create table link (
    id uuid primary key, version bigint not null default 1,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(),
            deleted_at timestamptz,
    external_ids jsonb not null default '{}',
    account_id uuid not null constraint link_account_id_fkey references account,
    name text not null, kind text not null,
            linked_account_id uuid constraint link_linked_account_id_fkey references account, note text
);
create index link_account_id_idx on link (account_id, id);
create index link_updated_at_idx on link (updated_at, id);

-- The key pairs of signatures v1a, by number. Several are live while one is being replaced.
create table webhook_key (
    number int primary key check (number > 0), created_at timestamptz not null default now(), expires_at timestamptz,
    sealed bytea
);
insert into webhook_key (number) values (1);
comment on column webhook_key.sealed is
        'The seed of the pair, sealed by the program; null until a worker has started once since this came.';

create table team_role (
    role text primary key, version bigint not null default 1, updated_at timestamptz not null default now(),
            updated_by text,
    areas bigint not null
);
insert into team_role (role, areas) select role, areas_mask(areas) from (values
    ('account_manager', area_names()),
    (
        'category_manager', array[
            'profile', 'contacts', 'interactions', 'problems', 'sales', 'plan', 'reviews', 'competitive_environment',
                'contacts_and_decisions', 'negotiations', 'capabilities', 'strategies', 'interaction_history']),
    (
        'intelligence', array[
            'profile', 'contacts', 'interactions', 'problems', 'plan', 'reviews', 'competitive_environment',
                'contacts_and_decisions', 'leader_perceptions', 'values_beliefs', 'capabilities', 'strategies',
                'internal_processes', 'interaction_history']),
    (
        'market_research', array[
            'profile', 'interactions', 'problems', 'sales', 'plan', 'competitive_environment', 'capabilities',
                'strategies']),
    ('controlling', array['profile', 'sales', 'economics', 'plan', 'reviews', 'capabilities']),
    (
        'customer_support',
            array['profile', 'contacts', 'interactions', 'problems', 'plan', 'reviews', 'interaction_history']),
    (
        'product_development', array[
            'profile', 'contacts', 'interactions', 'problems', 'plan', 'competitive_environment', 'capabilities',
                'strategies']),
    -- 'other': every role that is not here
    ('other', array['profile', 'contacts', 'interactions', 'problems', 'plan', 'reviews'])) v(role, areas);
grant delete on team_role to kamd_app;

-- Values of an endpoint's own headers, mostly receivers' tokens: the record holds a reference for each, `sealed:<id>`.
-- Only the workers read what is sealed.
create table webhook_header (
    id uuid primary key,
            endpoint_id uuid not null constraint webhook_header_endpoint_id_fkey references webhook_endpoint,
    sealed bytea not null, created_at timestamptz not null default now()
);
create index webhook_header_endpoint_id_idx on webhook_header (endpoint_id);
revoke select, update on webhook_header from kamd_app;
grant select (id, endpoint_id), delete on webhook_header to kamd_app;
revoke insert, update on webhook_header from kamd_worker;
grant update (sealed), delete on webhook_header to kamd_worker;

create table audit (
    account_id uuid not null, kind text not null check (kind in ('change', 'read')),
            seq bigint not null check (seq > 0),
    id bigint generated always as identity, at timestamptz not null,
    actor text, origin text, request_id text, action text not null, resource text not null, record_id uuid,
            version bigint, area smallint not null,
    records int not null default 1, -- how many of that resource one request showed
    history_id bigint,              -- the row that the digest is of
    digest bytea, personal jsonb,   -- {field: salted digest}, part of the digest
    prev_hash bytea not null, hash bytea not null,
    primary key (account_id, kind, seq)
);
create index audit_at_idx on audit (at, id);
create index audit_actor_idx on audit (actor, at, id);
create index audit_record_id_idx on audit (record_id);
revoke insert, update on audit from kamd_app, kamd_worker;
create index audit_id_idx on audit (id);

create table audit_read_head (account_id uuid primary key, seq bigint not null, hash bytea not null)
    with (fillfactor = 50);
revoke all on audit_read_head from kamd_app, kamd_worker;

-- Erasing a person's salt leaves digests that say nothing any more.
create table audit_salt (record_id uuid primary key, salt bytea not null);
revoke all on audit_salt from kamd_app, kamd_worker;

-- What is signed outside of the database: where every chain stood that had grown since the anchor before. body =
-- {anchor_no, at, chains, root, previous}: root is the hash of the leaves' texts, previous the hash of the body before.
-- `sealed` is the public key once more, as only who has the master key can write it: a key that somebody slips in
-- proves nothing.
create table audit_key (
    id text primary key, public_key bytea not null, sealed bytea not null,
    created_at timestamptz not null default now()
);
revoke insert, update on audit_key from kamd_app, kamd_worker;
grant update (sealed) on audit_key to kamd_worker;

create table audit_anchor (
    number bigint primary key, at timestamptz not null, body text not null, key_id text not null references audit_key,
    signature bytea not null
);
revoke insert, update on audit_anchor from kamd_app, kamd_worker;

create table audit_leaf (
    account_id uuid not null, kind text not null, number bigint not null, from_seq bigint not null, seq bigint not null,
            hash bytea not null,
    primary key (account_id, kind, number)
);
create index audit_leaf_number_idx on audit_leaf (number);
revoke insert, update on audit_leaf from kamd_app, kamd_worker;

-- How far each chain is anchored: saves looking for its last leaf.
create table audit_anchored (
    account_id uuid not null, kind text not null, seq bigint not null, number bigint not null,
    primary key (account_id, kind)
) with (fillfactor = 50);
revoke all on audit_anchored from kamd_app, kamd_worker;
grant select on audit_anchored to kamd_worker;

-- Also where the record was deleted, or never came: a message that is older is known as one.
create table sync_state (
    system text not null, resource text not null, external_id text not null,
    system_modstamp timestamptz, -- the other system's clock, never compared with ours
    is_deleted boolean not null default false,
    version bigint,                    -- of our record, after the system's last word
    -- {field: digest} of its last values: a change of ours is told from one of theirs, and nothing personal is left
    -- here
    said jsonb not null default '{}',
    primary key (system, resource, external_id)
);

create table sync_deferred (
    system text not null, resource text not null, external_id text not null,
    system_modstamp timestamptz,
    record jsonb not null,      -- as it came
    waits_for text[] not null,  -- "resource|external id" of each parent that was missing
    actor text, created_at timestamptz not null default now(),
    failure text,               -- its parents came, and it was refused all the same
    reach bigint not null default caller_reach(), -- all that the caller might at most
    primary key (system, resource, external_id)
);
create index sync_deferred_waits_for_idx on sync_deferred using gin (waits_for);
create index sync_deferred_created_at_idx on sync_deferred (created_at);
grant delete on sync_deferred to kamd_app, kamd_worker;

create table sync_policy (
    system text primary key,
    conflict_policy text not null check (conflict_policy in ('source_wins', 'kamd_wins', 'latest_wins')),
    fields jsonb not null default '[]', -- [{resource, field, rule}]
    updated_at timestamptz not null default now(), updated_by text
);

create table sync_conflict (
    id uuid primary key default gen_random_uuid(), created_at timestamptz not null default now(),
    system text not null, resource text not null, external_id text not null,
    account_id uuid, record_id uuid not null,
    field text not null, kamd_value jsonb, system_value jsonb,
    rule text not null, winner text not null check (winner in ('kamd', 'source')),
    system_modstamp timestamptz, request_id text,
    resolution text check (resolution in ('kamd', 'source')), resolved_at timestamptz, resolved_by text
);
create unique index sync_conflict_open_key on sync_conflict (system, resource, external_id, field)
    where resolved_at is null;
create index sync_conflict_system_idx on sync_conflict (system, created_at desc, id desc);
create index sync_conflict_record_id_idx on sync_conflict (record_id);

create table import (
    id uuid primary key, created_at timestamptz not null default now(), updated_at timestamptz not null default now(),
    system text not null, resource text not null, format text not null check (format in ('csv', 'ndjson')),
    dry_run boolean not null, presets jsonb not null, -- {columns: {column: field}, values: {field: value}}
    source text,                                      -- where the file comes from, and of when
    status text not null default 'open' check (
        status in ('open', 'queued', 'running', 'succeeded', 'failed', 'reverting', 'reverted')),
    who text not null, actor text not null, role text not null, user_id text not null,
    at_byte bigint not null default 0, at_line bigint not null default 0, size bigint not null default 0,
    header jsonb, -- the columns of a CSV file
    counts jsonb not null default '{}', failure text,
    -- An order of an imported file is whole, wherever its lines stand: the file is read once for which orders stand in
    -- several places; the lines of those are kept aside until all are there, the others are written as they come.
    scan_byte bigint not null default 0, -- how far it was read for that
    scan_line bigint not null default 0,
    scan_orders bigint not null default 0, -- what import_scan has
    scan_chunks int not null default 0,    -- how many chunks of them were looked through
    scattered boolean not null default false, -- some order stands in several places
    joined_to text not null default '', -- of those, the ones up to this are written
    reach bigint not null default caller_reach() -- all that the caller might at most
);
create index import_created_at_idx on import (created_at desc, id desc);
grant delete on import to kamd_worker;

create table import_part (
    import_id uuid not null references import on delete cascade, n int not null check (n between 1 and 100000),
    content bytea not null, digest text not null, start_byte bigint,
    primary key (import_id, n)
);
alter table import_part alter column content set storage external; -- read by the slice
grant delete on import_part to kamd_worker;

create table import_error (
    import_id uuid not null references import on delete cascade, line bigint not null, external_id text,
            errors jsonb not null,
    primary key (import_id, line)
);
grant delete on import_error to kamd_worker;

-- What it made or changed, for who wants to undo it.
create table import_record (
    -- written in the transaction that holds the import's row
    import_id uuid not null, n bigint generated always as identity,
    record_id uuid not null, outcome text not null, version bigint not null, reverted text,
    primary key (import_id, n)
);
grant delete on import_record to kamd_worker;

-- The ledger, to be applied again when a backup brings somebody back (deploy/README.md).
create table erasure (
    contact_id uuid primary key, erased_at timestamptz not null default now(), actor text, reason text
);
revoke all on erasure from kamd_app, kamd_worker;
grant select on erasure to kamd_worker;

-- Ids of theirs in other systems: digests under a key of this database alone, so that they are known again and read by
-- nobody.
create table erased_id (digest bytea primary key, contact_id uuid not null);
revoke all on erased_id from kamd_app, kamd_worker;

create table erased_id_key (one boolean primary key default true check (one), key bytea not null);
insert into erased_id_key (key) values (audit_salt_new());
revoke all on erased_id_key from kamd_app, kamd_worker;

-- They refer to nothing: they are written in the transaction that holds the import's row, and go when it has ended.
create table import_scan (
    import_id uuid not null, at_byte bigint not null,
    ids text[] not null, -- the orders from there on, each as often as it begins
    primary key (import_id, at_byte)
);

create table import_order ( -- those that stand in several places
    import_id uuid not null, external_id text collate "C" not null,
    primary key (import_id, external_id)
);

create table import_line ( -- of those
    import_id uuid not null, external_id text collate "C" not null, line bigint not null,
    record json not null,
    refused json, -- {field, code, detail}: why its order cannot be written
    primary key (import_id, external_id, line)
);

-- Each time that kamd found itself elsewhere. Positions begin anew far behind those before: what was given out for
-- events that the new database does not have is never given to others.
create table database_change (
    id bigint generated always as identity primary key,
    at timestamptz not null default now(),
    was text not null, became text not null,
    from_position bigint not null, -- the last one before
    to_position bigint not null    -- none in between was ever given, or the event is gone
);
revoke insert, update on database_change from kamd_app, kamd_worker;

-- A walk goes through the rows up to `upto`, the newest when it begins, at once or in several anchors. Ids are drawn
-- before the commit, so a row may come to be seen behind a walk: each one begins again at `settled`, which moves up to
-- where the walk before ended only once everybody who had drawn an id up to there was done.
create table audit_look (
    one boolean primary key default true check (one),
    settled bigint not null, -- nobody can commit a row up to here any more, and all are anchored
    next bigint not null,    -- what `settled` is to be at the end of this walk
    reached bigint not null, -- the walk is here; `upto`: it is over
    upto bigint not null,
    xid xid8 not null,       -- newer than that of anybody who has drawn an id up to `upto`
    looked_at timestamptz not null
) with (fillfactor = 50);
revoke all on audit_look from kamd_app, kamd_worker;
insert into audit_look select true, d, d, d, d, '0', '-infinity' from audit_drawn() d;
