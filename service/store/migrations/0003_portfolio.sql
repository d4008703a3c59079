-- The resources. Columns follow the descriptors in service/domain/; lists and objects that are read and written whole are jsonb.
-- Common columns: id, version (counts typed edits), created_at, updated_at, deleted_at (soft delete), external_ids {system: id}.

create table app_user (
    id uuid primary key, version bigint not null default 1,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(), deleted_at timestamptz,
    external_ids jsonb not null default '{}',
    subject text, -- the identity provider's `sub`
    name text not null, email text, title text, function text,
    manager_id uuid constraint app_user_manager_id_fkey references app_user,
    capacity int check (capacity >= 0), -- key accounts that the person can carry; null: no limit
    active boolean not null default true
);
create unique index app_user_subject_key on app_user (subject) where deleted_at is null;
create index app_user_name_idx on app_user (name, id);
create index app_user_updated_at_idx on app_user (updated_at, id);

create table account (
    id uuid primary key, version bigint not null default 1,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(), deleted_at timestamptz,
    external_ids jsonb not null default '{}',
    name text not null, account_number text, domain text, phones text[] not null default '{}', emails text[] not null default '{}',
    industry text, currency_code text, lifecycle text not null default 'customer', custom jsonb not null default '{}',
    parent_id uuid constraint account_parent_id_fkey references account, level text, division jsonb,
    manager_id uuid constraint account_manager_id_fkey references app_user,
    sponsor_id uuid constraint account_sponsor_id_fkey references app_user,
    delegate_id uuid constraint account_delegate_id_fkey references app_user, delegate_until timestamptz,
    business_model text, revenue_model text, our_contribution text, customer_plans jsonb not null default '[]',
    contact_preference jsonb, cadence jsonb not null default '[]', sales_cycle text, address jsonb, country_code text
);
create unique index account_account_number_key on account (account_number) where deleted_at is null;
create index account_name_idx on account (name, id);
create index account_updated_at_idx on account (updated_at, id);
create index account_created_at_idx on account (created_at, id);
create index account_manager_id_idx on account (manager_id, id);
create index account_parent_id_idx on account (parent_id);
create index account_name_trgm_idx on account using gin (lower(name) gin_trgm_ops);
create index account_custom_idx on account using gin (custom jsonb_path_ops);
call protect('account', 'id');

-- Derived values of an account: they change without anybody editing it, so they have a version of their own.
create table standing (
    account_id uuid primary key references account, version bigint not null default 1, updated_at timestamptz not null default now(),
    tier text not null default 'C' check (tier in ('A', 'B', 'C')),
    key_status text not null default 'none' check (key_status in ('none', 'candidate', 'key', 'at_risk', 'divesting', 'divested')),
    score numeric(7, 4), score_rank int, key_since timestamptz, health int,
    status_since timestamptz not null default now(),
    grace_until timestamptz, -- the grace clock, while it runs
    as_of date, criteria_version int,
    contributions jsonb not null default '[]', missing text[] not null default '{}',
    designation jsonb -- {reason, benefits[], charter, told_customer_at, designated_at, designated_by}
) with (fillfactor = 70);
create index standing_score_idx on standing (score desc nulls last, account_id);
create index standing_key_idx on standing (key_status) where key_status in ('key', 'at_risk', 'candidate');
create index standing_grace_idx on standing (grace_until) where grace_until is not null;
call protect('standing', 'account_id');

create table contact (
    id uuid primary key, version bigint not null default 1,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(), deleted_at timestamptz,
    external_ids jsonb not null default '{}',
    account_id uuid not null constraint contact_account_id_fkey references account,
    given_name text, family_name text not null, title text, department text, email text, phone text, decision_role text, level text,
    influence int, disposition text, reports_to_id uuid, linkedin_url text, contact_preference jsonb, active_from date, active_until date,
    mirror_user_id uuid constraint contact_mirror_user_id_fkey references app_user, influences jsonb not null default '[]',
    last_interaction_at timestamptz, derived_version bigint not null default 0, -- counts changes of what is derived
    unique (id, account_id),
    constraint contact_reports_to_id_fkey foreign key (reports_to_id, account_id) references contact (id, account_id)
);
create index contact_account_id_idx on contact (account_id, id);
create index contact_family_name_idx on contact (family_name, id);
create index contact_updated_at_idx on contact (updated_at, id);
create index contact_email_idx on contact (lower(email));
call protect('contact', 'account_id');

create table plan (
    id uuid primary key, version bigint not null default 1,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(), deleted_at timestamptz,
    external_ids jsonb not null default '{}',
    account_id uuid not null constraint plan_account_id_fkey references account,
    title text not null, period_start date not null, period_end date not null, status text not null default 'draft', version_no int not null default 0,
    company_strategy text, client_strategy text, objectives jsonb not null default '[]', win_win jsonb not null default '[]', opportunities jsonb not null default '[]',
    unique (id, account_id),
    constraint plan_period_end_check check (period_end > period_start)
);
create index plan_account_id_idx on plan (account_id, id);
create index plan_updated_at_idx on plan (updated_at, id);
create index plan_period_start_idx on plan (period_start, id);
call protect('plan', 'account_id');

-- Sections a to h; section i is generated when it is read.
create table plan_section (
    id uuid primary key default gen_random_uuid(), version bigint not null default 1,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(), deleted_at timestamptz,
    account_id uuid not null, plan_id uuid not null,
    section text not null, state text not null default 'empty', content jsonb not null default '{}', contributors jsonb not null default '[]',
    unique (plan_id, section),
    constraint plan_section_plan_id_fkey foreign key (plan_id, account_id) references plan (id, account_id)
);
call protect('plan_section', 'account_id');

create table review (
    id uuid primary key, version bigint not null default 1,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(), deleted_at timestamptz,
    external_ids jsonb not null default '{}',
    account_id uuid not null constraint review_account_id_fkey references account,
    plan_id uuid, cadence text not null, due_on date not null, time_zone text not null default 'UTC', held_at timestamptz, status text not null default 'scheduled',
    participants jsonb not null default '[]', findings jsonb not null default '[]', decisions jsonb not null default '[]', outcome text,
    expectations jsonb not null default '[]', notes text,
    unique (id, account_id),
    constraint review_plan_id_fkey foreign key (plan_id, account_id) references plan (id, account_id)
);
create index review_account_id_idx on review (account_id, id);
create index review_due_on_idx on review (due_on, id);
create index review_updated_at_idx on review (updated_at, id);
call protect('review', 'account_id');

create table follow_up (
    id uuid primary key, version bigint not null default 1,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(), deleted_at timestamptz,
    external_ids jsonb not null default '{}',
    account_id uuid not null constraint follow_up_account_id_fkey references account,
    review_id uuid, plan_id uuid, contact_id uuid,
    title text not null, description text, assignee_id uuid constraint follow_up_assignee_id_fkey references app_user,
    due_at timestamptz not null, due_on date, time_zone text, priority text not null default 'normal', status text not null default 'open',
    completed_at timestamptz, completed_by text, series_id uuid, occurrence_no int not null default 1,
    revision int not null default 1,       -- counts due times: a new one makes one further event
    fired_revision int not null default 0, -- the revision whose event was written
    constraint follow_up_review_id_fkey foreign key (review_id, account_id) references review (id, account_id),
    constraint follow_up_plan_id_fkey foreign key (plan_id, account_id) references plan (id, account_id),
    constraint follow_up_contact_id_fkey foreign key (contact_id, account_id) references contact (id, account_id)
);
create index follow_up_account_id_idx on follow_up (account_id, id);
create index follow_up_due_at_idx on follow_up (due_at, id);
create index follow_up_assignee_id_idx on follow_up (assignee_id, due_at);
create index follow_up_updated_at_idx on follow_up (updated_at, id);
create index follow_up_unfired_idx on follow_up (due_at) where fired_revision < revision and status = 'open' and deleted_at is null;
call protect('follow_up', 'account_id');

-- A date falls due when that day begins in its time zone. A new due time is a new revision.
create function follow_up_due() returns trigger language plpgsql as $$
begin
    if new.due_on is not null and (tg_op = 'INSERT' or (new.due_on, new.time_zone) is distinct from (old.due_on, old.time_zone)) then
        new.due_at := new.due_on::timestamp at time zone coalesce(new.time_zone, 'UTC');
    end if;
    if tg_op = 'UPDATE' and new.due_at is distinct from old.due_at then
        new.revision := old.revision + 1;
        if new.due_on is not distinct from old.due_on then
            new.due_on := null; -- the instant was set; the date no longer says when
        end if;
    end if;
    if new.status = 'done' and new.completed_at is null then
        new.completed_at := now();
        new.completed_by := context('actor');
    elsif new.status <> 'done' then
        new.completed_at := null;
        new.completed_by := null;
    end if;
    return new;
end $$;
create trigger follow_up_due before insert or update on follow_up for each row execute function follow_up_due();

create table interaction (
    id uuid primary key, version bigint not null default 1,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(), deleted_at timestamptz,
    external_ids jsonb not null default '{}',
    account_id uuid not null constraint interaction_account_id_fkey references account,
    kind text not null, channel text not null, occurred_at timestamptz not null, contact_ids jsonb not null default '[]',
    user_id uuid constraint interaction_user_id_fkey references app_user, subject text, notes text, approach text,
    questions jsonb not null default '[]', sentiment text, order_taking boolean not null default false, tags text[] not null default '{}'
);
create index interaction_account_id_idx on interaction (account_id, occurred_at desc, id);
create index interaction_updated_at_idx on interaction (updated_at, id);
call protect('interaction', 'account_id');

-- A contact's last interaction follows the interactions.
create function interaction_contacts() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
declare
    concerned uuid[];
begin
    if tg_op = 'INSERT' then
        select array_agg(distinct c::uuid) into concerned from new_rows n, jsonb_array_elements_text(n.contact_ids) c;
    else
        select array_agg(distinct c::uuid) into concerned from
            (select contact_ids from new_rows union all select contact_ids from old_rows) r, jsonb_array_elements_text(r.contact_ids) c;
    end if;
    update contact t set last_interaction_at = l.at, derived_version = t.derived_version + 1
      from (select c.id, (select max(i.occurred_at) from interaction i
                           where i.account_id = c.account_id and i.deleted_at is null and i.occurred_at <= now()
                             and i.contact_ids ? c.id::text) as at
              from contact c where c.id = any (concerned) order by c.id for update) l
     where t.id = l.id and t.last_interaction_at is distinct from l.at;
    return null;
end $$;
create trigger interaction_contacts_insert after insert on interaction referencing new table as new_rows for each statement execute function interaction_contacts();
create trigger interaction_contacts_update after update on interaction referencing old table as old_rows new table as new_rows for each statement execute function interaction_contacts();

create table problem (
    id uuid primary key, version bigint not null default 1,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(), deleted_at timestamptz,
    external_ids jsonb not null default '{}',
    account_id uuid not null constraint problem_account_id_fkey references account,
    category text not null, severity text not null default 'medium', title text not null, description text, loss_per_hour numeric(19, 4), currency_code text,
    opened_at timestamptz not null, handled_at timestamptz, resolved_at timestamptz, contact_id uuid,
    constraint problem_contact_id_fkey foreign key (contact_id, account_id) references contact (id, account_id)
);
create index problem_account_id_idx on problem (account_id, opened_at desc, id);
create index problem_updated_at_idx on problem (updated_at, id);
create index problem_open_idx on problem (account_id) where resolved_at is null and deleted_at is null;
call protect('problem', 'account_id');

create table team_member (
    id uuid primary key, version bigint not null default 1,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(), deleted_at timestamptz,
    external_ids jsonb not null default '{}',
    account_id uuid not null constraint team_member_account_id_fkey references account,
    user_id uuid not null constraint team_member_user_id_fkey references app_user,
    role text not null, function text, allocation_pct int check (allocation_pct between 0 and 100), active_from date, active_until date
);
create unique index team_member_role_key on team_member (account_id, user_id, role) where deleted_at is null;
create index team_member_user_id_idx on team_member (user_id);
create index team_member_account_id_idx on team_member (account_id, id);
call protect('team_member', 'account_id');

-- A person's allocations over all accounts are at most 100 % (requirement 004-08).
create function team_allocation() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
declare
    over record;
begin
    perform 1 from app_user u where u.id in (select user_id from new_rows) order by u.id for no key update;
    select u.name, sum(t.allocation_pct) as pct into over from team_member t join app_user u on u.id = t.user_id
     where t.user_id in (select user_id from new_rows) and t.deleted_at is null
       and (t.active_until is null or t.active_until >= current_date)
     group by u.id, u.name having sum(t.allocation_pct) > 100 limit 1;
    if found then
        raise exception using errcode = 'KD422', message = 'over_allocated', column = 'allocation_pct',
            detail = format('%s would be allocated %s %% over all accounts; at most 100 %%.', over.name, over.pct);
    end if;
    return null;
end $$;
create trigger team_allocation_insert after insert on team_member referencing new table as new_rows for each statement execute function team_allocation();
create trigger team_allocation_update after update on team_member referencing new table as new_rows for each statement execute function team_allocation();

-- Orders are facts: they arrive and are corrected whole, so the lines stay with them. Sums are exact.
create function lines_amount(lines jsonb) returns numeric immutable strict parallel safe language sql as
$$ select coalesce(sum((l ->> 'amount')::numeric), 0) from jsonb_array_elements(lines) l $$;
create function lines_cost(lines jsonb) returns numeric immutable strict parallel safe language sql as
$$ select case when bool_and(l ->> 'cost' is not null) then sum((l ->> 'cost')::numeric) end from jsonb_array_elements(lines) l $$;

create table sales_order (
    id uuid primary key, version bigint not null default 1,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(), deleted_at timestamptz,
    external_ids jsonb not null default '{}',
    account_id uuid not null constraint sales_order_account_id_fkey references account,
    external_id text, ordered_on date not null, currency_code text not null, lines jsonb not null,
    amount numeric(19, 4) generated always as (lines_amount(lines)) stored,
    cost numeric(19, 4) generated always as (lines_cost(lines)) stored -- null: the cost of a line is unknown
);
create unique index sales_order_external_id_key on sales_order (account_id, external_id) where deleted_at is null;
create index sales_order_account_id_idx on sales_order (account_id, ordered_on desc, id);
create index sales_order_updated_at_idx on sales_order (updated_at, id);
call protect('sales_order', 'account_id');

-- Sums by day, kept with every order written, corrected or deleted: what the score's windows are made of.
create table day_sales (
    account_id uuid not null, day date not null, currency_code text not null,
    amount numeric(19, 4) not null, cost numeric(19, 4) not null, unknown_costs int not null, orders int not null,
    primary key (account_id, day, currency_code)
) with (fillfactor = 80);
call protect('day_sales', 'account_id');
revoke insert, update on day_sales from kamd_app, kamd_worker;

-- Accounts whose inputs changed since they were scored. A worker empties it.
create table rescore (account_id uuid primary key, since timestamptz not null default now());
call protect('rescore', 'account_id');
revoke insert, update on rescore from kamd_app, kamd_worker;

-- The update locks a mark that is there, so that no worker takes it before this transaction commits and misses what it wrote.
create function rescore_mark(ids uuid[]) returns void language sql security definer set search_path = public, pg_temp as $$
    insert into rescore as r (account_id) select distinct i from unnest(ids) i where i is not null order by i
    on conflict (account_id) do update set since = r.since
$$;

-- `deltas`: what a statement adds to the sums, as rows of day_sales.
create function order_sums_add(deltas day_sales[]) returns void language plpgsql security definer set search_path = public, pg_temp as $$
declare
    touched uuid[];
begin
    with added as (
        insert into day_sales as d (account_id, day, currency_code, amount, cost, unknown_costs, orders)
        select account_id, day, currency_code, sum(amount), sum(cost), sum(unknown_costs), sum(orders) from unnest(deltas)
         group by 1, 2, 3 having sum(amount) <> 0 or sum(cost) <> 0 or sum(unknown_costs) <> 0 or sum(orders) <> 0
         order by 1, 2, 3
        on conflict (account_id, day, currency_code) do update
            set amount = d.amount + excluded.amount, cost = d.cost + excluded.cost,
                unknown_costs = d.unknown_costs + excluded.unknown_costs, orders = d.orders + excluded.orders
        returning d.account_id
    )
    select array_agg(distinct account_id order by account_id) into touched from added;
    perform rescore_mark(touched);
    perform emit(array_agg(row ('account.updated', a.id, 'account', a.id, a.version, null,
                jsonb_build_object('account_id', a.id, 'version', a.version, 'changed_fields', jsonb_build_array('orders')),
                jsonb_build_object('version', a.version))::event_in order by a.id))
       from account a where a.id = any (touched);
end $$;
revoke execute on function order_sums_add(day_sales[]) from kamd_app;

create function order_sums() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if tg_op = 'INSERT' then
        perform order_sums_add(array_agg(row (account_id, ordered_on, currency_code, amount, coalesce(cost, 0), (cost is null)::int, 1)::day_sales))
           from new_rows where deleted_at is null;
    else
        perform order_sums_add(array_agg(d)) from (
            select row (account_id, ordered_on, currency_code, amount, coalesce(cost, 0), (cost is null)::int, 1)::day_sales as d
              from new_rows where deleted_at is null
            union all
            select row (account_id, ordered_on, currency_code, -amount, -coalesce(cost, 0), -(cost is null)::int, -1)::day_sales
              from old_rows where deleted_at is null) both_sides;
    end if;
    return null;
end $$;
create trigger order_sums_insert after insert on sales_order referencing new table as new_rows for each statement execute function order_sums();
create trigger order_sums_update after update on sales_order referencing old table as old_rows new table as new_rows for each statement execute function order_sums();

-- Typed custom fields: what `custom` may hold, per resource.
create table custom_field (
    id uuid primary key, version bigint not null default 1,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(), deleted_at timestamptz,
    resource text not null, name text not null, kind text not null, label text, choices text[] not null default '{}'
);
create unique index custom_field_name_key on custom_field (resource, name) where deleted_at is null;

-- Which record another system means by its own id. Follows external_ids of the records.
create table external_id (
    system text not null, resource text not null, external_id text not null, record_id uuid not null, account_id uuid,
    primary key (system, resource, external_id)
);
create index external_id_record_id_idx on external_id (record_id);
call protect('external_id', 'account_id');
create policy everybody on external_id for select to kamd_app using (account_id is null);
revoke insert, update on external_id from kamd_app, kamd_worker;

create function external_ids_follow() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
declare
    resource_name text := tg_argv[0];
    account_column text := tg_argv[1];
    taken record;
begin
    if tg_op = 'UPDATE' then
        delete from external_id x using (
            select o.id, k.key, k.value from old_rows o join new_rows n on n.id = o.id, jsonb_each_text(o.external_ids) k
             where o.external_ids is distinct from n.external_ids and n.external_ids ->> k.key is distinct from k.value) gone
         where x.system = gone.key and x.resource = resource_name and x.external_id = gone.value and x.record_id = gone.id;
    end if;
    with wanted as (
        select k.key as system, k.value as ext, n.id, nullif(to_jsonb(n) ->> account_column, '')::uuid as account_id
          from new_rows n, jsonb_each_text(n.external_ids) k
    ), put as (
        insert into external_id (system, resource, external_id, record_id, account_id)
        select system, resource_name, ext, id, account_id from wanted order by 1, 3
        on conflict (system, resource, external_id) do update set account_id = excluded.account_id where external_id.record_id = excluded.record_id
        returning system, external_id, record_id
    )
    select w.system, w.ext into taken from wanted w left join put p on p.system = w.system and p.external_id = w.ext and p.record_id = w.id
     where p.record_id is null limit 1;
    if found then
        raise exception using errcode = 'KD409', message = 'already_exists', column = 'external_ids',
            detail = format('Another record already has the id %s of system %s.', taken.ext, taken.system);
    end if;
    return null;
end $$;

create procedure follow_external_ids(tab regclass, resource text, account_column text) language plpgsql as $$
begin
    execute format('create trigger external_ids_insert after insert on %s referencing new table as new_rows for each statement'
                   ' execute function external_ids_follow(%L, %L)', tab, resource, account_column);
    execute format('create trigger external_ids_update after update on %s referencing old table as old_rows new table as new_rows for each statement'
                   ' execute function external_ids_follow(%L, %L)', tab, resource, account_column);
end $$;

-- The tree: levels strictly descend, so an account cannot come below itself; still checked, to name a cycle as one.
create function level_rank(level text) returns int immutable strict parallel safe language sql as
$$ select array_position(array ['global', 'regional', 'national', 'sub_regional'], level) $$;

create function account_tree() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
declare
    parent account;
    above uuid;
begin
    if tg_op = 'UPDATE' and (new.parent_id, new.level) is not distinct from (old.parent_id, old.level) then
        return new;
    end if;
    if new.parent_id is not null or tg_op = 'UPDATE' then
        perform pg_advisory_xact_lock(hashtextextended('kamd account tree', 0)); -- moves of two branches into each other
    end if;
    if new.parent_id is not null then
        above := new.parent_id;
        for steps in 1 .. 16 loop
            if above = new.id then
                raise exception using errcode = 'KD409', message = 'account_cycle', column = 'parent_id',
                    detail = 'The parent named is the account itself or lies below it.';
            end if;
            select parent_id into above from account where id = above;
            exit when above is null;
        end loop;
        select * into parent from account where id = new.parent_id;
        if found and parent.deleted_at is not null then
            raise exception using errcode = 'KD422', message = 'unknown_reference', column = 'parent_id', detail = 'The parent was deleted.';
        end if;
        if found and (new.level is null or parent.level is null or level_rank(new.level) <= level_rank(parent.level)) then
            raise exception using errcode = 'KD422', message = 'level_order', column = 'level',
                detail = format('Below a parent of level %s, this account needs a lower level; it has %s.', coalesce(parent.level, 'none'), coalesce(new.level, 'none'));
        end if;
    end if;
    if tg_op = 'UPDATE' and exists (select 1 from account c where c.parent_id = new.id and c.deleted_at is null
                                     and (new.level is null or level_rank(c.level) <= level_rank(new.level))) then
        raise exception using errcode = 'KD422', message = 'level_order', column = 'level', detail = 'An account below this one has the same or a higher level.';
    end if;
    return new;
end $$;
create trigger account_tree before insert or update on account for each row execute function account_tree();

-- Who may see an account: its manager, sponsor and cover; managers of the accounts above it; its team.
create function acl_refresh(ids uuid[]) returns void language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if ids is null then
        return;
    end if;
    with recursive affected as (
        select unnest(ids) as id
        union
        select c.id from account c join affected a on c.parent_id = a.id
    ), chain as (
        select a.id as account_id, p.id as above_id, p.parent_id, 0 as up from affected a join account p on p.id = a.id
        union all
        select c.account_id, p.id, p.parent_id, c.up + 1 from chain c join account p on p.id = c.parent_id where c.up < 16
    ), wanted as (
        select c.account_id, a.manager_id as user_id, case c.up when 0 then 'manager' else 'above' end as reason, 'infinity'::timestamptz as until, '-infinity'::timestamptz as since
          from chain c join account a on a.id = c.above_id where a.manager_id is not null
        union
        select a.id, a.sponsor_id, 'sponsor', 'infinity', '-infinity' from account a join affected f on f.id = a.id where a.sponsor_id is not null
        union
        select a.id, a.delegate_id, 'delegate', coalesce(a.delegate_until, 'infinity'), '-infinity' from account a join affected f on f.id = a.id where a.delegate_id is not null
        union
        select t.account_id, t.user_id, 'team', max(coalesce((t.active_until + 1)::timestamptz, 'infinity')), min(coalesce(t.active_from::timestamptz, '-infinity'))
          from team_member t join affected f on f.id = t.account_id where t.deleted_at is null group by 1, 2
    ), one as (
        select account_id, user_id, reason, max(until) as until, min(since) as since from wanted group by 1, 2, 3
    ), gone as (
        delete from acl x using affected f where x.account_id = f.id and x.reason <> 'grant'
           and not exists (select 1 from one o where o.account_id = x.account_id and o.user_id = x.user_id and o.reason = x.reason)
    )
    insert into acl as x (user_id, account_id, reason, visible_from, visible_until) select user_id, account_id, reason, since, until from one
    on conflict (user_id, account_id, reason) do update set visible_from = excluded.visible_from, visible_until = excluded.visible_until
     where (x.visible_from, x.visible_until) is distinct from (excluded.visible_from, excluded.visible_until);
end $$;
revoke execute on function acl_refresh(uuid[]) from kamd_app;

create function account_follow() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if tg_op = 'INSERT' then
        insert into standing (account_id) select id from new_rows;
        perform acl_refresh(array_agg(id)) from new_rows;
        perform rescore_mark(array_agg(id)) from new_rows;
        return null;
    end if;
    perform acl_refresh(array_agg(n.id)) from new_rows n join old_rows o on o.id = n.id
      where (n.manager_id, n.sponsor_id, n.delegate_id, n.delegate_until, n.parent_id)
            is distinct from (o.manager_id, o.sponsor_id, o.delegate_id, o.delegate_until, o.parent_id);
    perform rescore_mark(array_agg(n.id)) from new_rows n join old_rows o on o.id = n.id
      where (n.lifecycle, n.deleted_at) is distinct from (o.lifecycle, o.deleted_at);
    return null;
end $$;
create trigger account_follow_insert after insert on account referencing new table as new_rows for each statement execute function account_follow();
create trigger account_follow_update after update on account referencing old table as old_rows new table as new_rows for each statement execute function account_follow();

create function team_follow() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform acl_refresh(array_agg(distinct account_id)) from new_rows;
    return null;
end $$;
create trigger team_follow_insert after insert on team_member referencing new table as new_rows for each statement execute function team_follow();
create trigger team_follow_update after update on team_member referencing new table as new_rows for each statement execute function team_follow();

-- What is below an account goes and comes back with it: same instant of deletion.
create function account_delete() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
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
    foreach child in array array ['contact', 'plan', 'plan_section', 'review', 'follow_up', 'interaction', 'problem', 'team_member', 'sales_order']::regclass[] loop
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
create trigger account_delete after update of deleted_at on account for each row execute function account_delete();

create function plan_sections() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    insert into plan_section (account_id, plan_id, section)
    select n.account_id, n.id, s from new_rows n, unnest(array ['competitive_environment', 'contacts_and_decisions', 'negotiations', 'leader_perceptions',
        'values_beliefs', 'capabilities', 'strategies', 'internal_processes']) s;
    return null;
end $$;
create trigger plan_sections after insert on plan referencing new table as new_rows for each statement execute function plan_sections();

call log_changes('app_user', 'user', '', 'events');
call log_changes('account', 'account', 'id', 'events');
call log_changes('contact', 'contact', 'account_id', 'events');
call log_changes('plan', 'plan', 'account_id', 'events');
call log_changes('plan_section', 'plan_section', 'account_id', 'quiet');
call log_changes('review', 'review', 'account_id', 'events');
call log_changes('follow_up', 'follow_up', 'account_id', 'events');
call log_changes('interaction', 'interaction', 'account_id', 'events');
call log_changes('problem', 'problem', 'account_id', 'events');
call log_changes('team_member', 'team_member', 'account_id', 'events');
call log_changes('sales_order', 'order', 'account_id', 'quiet');
call log_changes('custom_field', 'custom_field', '', 'quiet');

call follow_external_ids('app_user', 'user', '');
call follow_external_ids('account', 'account', 'id');
call follow_external_ids('contact', 'contact', 'account_id');
call follow_external_ids('plan', 'plan', 'account_id');
call follow_external_ids('review', 'review', 'account_id');
call follow_external_ids('follow_up', 'follow_up', 'account_id');
call follow_external_ids('interaction', 'interaction', 'account_id');
call follow_external_ids('problem', 'problem', 'account_id');
call follow_external_ids('team_member', 'team_member', 'account_id');
call follow_external_ids('sales_order', 'order', 'account_id');

-- Cached entries that this transaction replaces, for the API to invalidate before it answers: "kind:id version" lines in a transaction-local setting. The version grows
-- with every change of the entry, typed or derived. Workers know what they touched.
create function touched() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if context('actor') = 'worker' then
        return null;
    end if;
    perform set_config('kamd.touched', coalesce(current_setting('kamd.touched', true), '') || coalesce(
        case tg_argv[0]
            when 'standing' then (select string_agg('account:' || a.id || ' ' || (a.version + n.version), E'\n') || E'\n'
                                    from (select (to_jsonb(r) ->> 'account_id')::uuid as id, (to_jsonb(r) ->> 'version')::bigint as version from new_rows r) n
                                    join account a on a.id = n.id)
            when 'account' then (select string_agg('account:' || n.id || ' ' || (n.version + s.version), E'\n') || E'\n'
                                   from (select (to_jsonb(r) ->> 'id')::uuid as id, (to_jsonb(r) ->> 'version')::bigint as version from new_rows r) n
                                   join standing s on s.account_id = n.id)
            else (select string_agg(tg_argv[0] || ':' || (j ->> 'id') || ' ' || ((j ->> 'version')::bigint + coalesce((j ->> 'derived_version')::bigint, 0)), E'\n') || E'\n'
                    from (select to_jsonb(r) as j from new_rows r) n)
        end, ''), true);
    return null;
end $$;
create trigger touched after update on account referencing new table as new_rows for each statement execute function touched('account');
create trigger touched after update on standing referencing new table as new_rows for each statement execute function touched('standing');
create trigger touched after update on contact referencing new table as new_rows for each statement execute function touched('contact');
create trigger touched after update on plan referencing new table as new_rows for each statement execute function touched('plan');

-- The principals of machines.
create table api_key (
    id uuid primary key, created_at timestamptz not null default now(),
    name text not null, prefix text not null, hash bytea not null constraint api_key_hash_key unique,
    role text not null check (role in ('admin', 'director', 'account_manager', 'member', 'auditor', 'integration')),
    scopes text[] not null default '{}', user_id uuid constraint api_key_user_id_fkey references app_user,
    expires_at timestamptz, revoked_at timestamptz, last_used_at timestamptz
);

-- One effect per Idempotency-Key: written in the transaction of the effect, kept 24 hours.
create table idempotency (
    principal text not null, key text not null, request_hash bytea not null, created_at timestamptz not null default now(),
    status int not null, etag text not null, location text not null, body text not null,
    touches text not null, -- cache entries that the first answer had to replace: a replay does it again
    primary key (principal, key)
);
create index idempotency_created_at_idx on idempotency (created_at);
grant delete on idempotency to kamd_worker;

-- Work over the whole portfolio, done by workers in chunks.
create table operation (
    id uuid primary key, created_at timestamptz not null default now(), updated_at timestamptz not null default now(),
    kind text not null, status text not null default 'queued' check (status in ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    request jsonb not null, progress_done bigint not null default 0, progress_total bigint, result jsonb, failure text,
    actor text, lease_token uuid, leased_until timestamptz
);
create index operation_open_idx on operation (created_at) where status in ('queued', 'running');
