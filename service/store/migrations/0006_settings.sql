-- What the company decides once for its program, and what people say of an account: assessed metrics and the fit check.

-- Settings of the program: one row, changed by a director, read by functions and reports.
create table program_settings (
    one boolean primary key default true check (one), version bigint not null default 1, updated_at timestamptz not null default now(),
    require_fit_check boolean not null default false, -- a designation needs one that is not older than:
    fit_check_max_age_days int not null default 365,
    retention_rate numeric(9, 4) not null default 0.8, discount_rate numeric(9, 4) not null default 0.1, -- a year; for the lifetime value
    attention_half_life_days int not null default 90, attention_gap_threshold numeric(9, 4) not null default 0.3,
    attention_channel_weights jsonb not null default '{"in_person": "1", "video": "0.7", "phone": "0.5", "email": "0.2", "web": "0.1"}',
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

alter table app_user add column visit_days int check (visit_days between 0 and 366); -- days a year that the person can be with customers; null: unknown

-- The days of a period: 2026, 2026-H1, 2026-Q3, 2026-07. Null for anything else.
create function period_days(period text) returns daterange immutable strict parallel safe language sql as $$
    select case when p.first is not null then daterange(p.first, (p.first + make_interval(months => p.months))::date) end
      from (select case when period ~ '^\d{4}$' then 12 when period ~ '^\d{4}-H[12]$' then 6 when period ~ '^\d{4}-Q[1-4]$' then 3
                        when period ~ '^\d{4}-(0[1-9]|1[0-2])$' then 1 end as months,
                   case when period ~ '^\d{4}$' then make_date(left(period, 4)::int, 1, 1)
                        when period ~ '^\d{4}-H[12]$' then make_date(left(period, 4)::int, right(period, 1)::int * 6 - 5, 1)
                        when period ~ '^\d{4}-Q[1-4]$' then make_date(left(period, 4)::int, right(period, 1)::int * 3 - 2, 1)
                        when period ~ '^\d{4}-(0[1-9]|1[0-2])$' then make_date(left(period, 4)::int, right(period, 2)::int, 1) end as first
             where left(period, 4) >= '1000') p
$$;

-- Metrics that somebody assessed, by name, period and source (requirement 002-17).
create table account_metric (
    id uuid primary key default gen_random_uuid(), version bigint not null default 1,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(), deleted_at timestamptz,
    account_id uuid not null constraint account_metric_account_id_fkey references account,
    metric text not null, period text not null, value numeric(19, 4) not null, source text not null, note text, assessed_by text,
    days daterange not null generated always as (period_days(period)) stored,
    unique (account_id, metric, period)
);
call protect('account_metric', 'account_id');
call log_changes('account_metric', 'metric', 'account_id', 'quiet');

-- The checklist to go through before any strategy (requirements 000-01 to 000-07). The verdict follows from the answers.
create table fit_check (
    id uuid primary key default gen_random_uuid(), version bigint not null default 1,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(), deleted_at timestamptz,
    account_id uuid not null unique constraint fit_check_account_id_fkey references account,
    sales_cycle text not null check (sales_cycle in ('relational', 'mixed', 'transactional')), sales_cycle_evidence text,
    upsell jsonb not null, cross_sell jsonb not null, expand jsonb not null, -- {possible, evidence, est_value}
    checked_on date not null default current_date, checked_by text,
    failing text[] not null generated always as (
        case when sales_cycle = 'transactional' then array ['sales_cycle'] else array []::text[] end
        || case when (upsell ->> 'possible')::boolean then array []::text[] else array ['upsell'] end
        || case when (cross_sell ->> 'possible')::boolean then array []::text[] else array ['cross_sell'] end
        || case when (expand ->> 'possible')::boolean then array []::text[] else array ['expand'] end) stored,
    verdict text not null generated always as (
        case when sales_cycle = 'transactional'
                  or not ((upsell ->> 'possible')::boolean or (cross_sell ->> 'possible')::boolean or (expand ->> 'possible')::boolean) then 'unsuitable'
             when (upsell ->> 'possible')::boolean and (cross_sell ->> 'possible')::boolean and (expand ->> 'possible')::boolean then 'suitable'
             else 'conditional' end) stored
);
call protect('fit_check', 'account_id');
call log_changes('fit_check', 'fit_check', 'account_id', 'quiet');

-- What is below an account goes and comes back with it: same instant of deletion. Below is every table with an account and a deletion, so that none is forgotten.
create or replace function account_delete() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
declare
    child regclass;
begin
    if (new.deleted_at is null) = (old.deleted_at is null) then
        return null;
    end if;
    if new.deleted_at is not null then
        if exists (select 1 from account c where c.parent_id = new.id and c.deleted_at is null) then
            raise exception using errcode = 'KD409', message = 'conflict', detail = 'Accounts below this one still exist.';
        end if;
        if exists (select 1 from standing s where s.account_id = new.id and s.key_status in ('key', 'at_risk')) then
            raise exception using errcode = 'KD409', message = 'conflict', detail = 'A key account cannot be deleted; end its key status first.';
        end if;
    end if;
    for child in
        select c.oid from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'account_id' and not a.attisdropped
          join pg_attribute d on d.attrelid = c.oid and d.attname = 'deleted_at' and not d.attisdropped
         where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace order by c.relname
    loop
        if new.deleted_at is not null then
            execute format('update %s set deleted_at = $1, version = version + 1, updated_at = now() where account_id = $2 and deleted_at is null', child)
              using new.deleted_at, new.id;
        else
            execute format('update %s set deleted_at = null, version = version + 1, updated_at = now() where account_id = $2 and deleted_at = $1', child)
              using old.deleted_at, new.id;
        end if;
    end loop;
    return null;
end $$;
