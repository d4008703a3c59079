-- Plans and reviews in full: the single template, versions, acknowledgements and activation; series of reviews and what they make.

create or replace function uuid_v7() returns uuid volatile parallel safe language sql as $$
    select encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
               placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3) from 1 for 6), 52, 1), 53, 1), 'hex')::uuid
$$;

-- As the API shows a time.
create function utc_text(at timestamptz) returns text immutable strict parallel safe language sql as
$$ select to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') $$;

-- When a day begins in a time zone: its first instant, also where clocks go back at midnight (the earlier of two), or midnight is skipped (the first minute after it).
create function day_begin(day date, zone text) returns timestamptz stable strict parallel safe language sql as $$
    select min(u) from (select day::timestamp at time zone zone - make_interval(mins => m) as u from unnest(array [0, 30, 60]) m) c where (u at time zone zone)::date >= day
$$;

-- ---- the single template (004-15) ----

create table plan_template (
    version int primary key, created_at timestamptz not null default now(), created_by text,
    active boolean not null default false, note text,
    sections jsonb not null -- [{section, title, guidance, required, shared, fields[] {name, title, kind, required, choices[], columns[]}}]
);
create unique index plan_template_active_key on plan_template (active) where active;

-- Version 1 asks for every section, but for no single field of it, so that it stops nobody who filled sections in before; a company that wants more makes version 2.
insert into plan_template (version, active, note, sections) values (1, true, 'Where every program starts; a new version may ask for more.', '[
  {"section": "competitive_environment", "title": "Competitive environment", "guidance": "What helps and what threatens the client, and who else is in the market (004-16).", "required": true, "shared": false, "fields": [
    {"name": "opportunities", "title": "Opportunities", "kind": "table", "columns": [{"name": "text", "title": "Opportunity", "kind": "text"}, {"name": "evidence", "title": "What shows it", "kind": "text"}]},
    {"name": "threats", "title": "Threats", "kind": "table", "columns": [{"name": "text", "title": "Threat", "kind": "text"}, {"name": "evidence", "title": "What shows it", "kind": "text"}]},
    {"name": "competitors", "title": "Competitors", "kind": "table", "columns": [{"name": "name", "title": "Name", "kind": "text"}, {"name": "strengths", "title": "Strengths", "kind": "texts"}, {"name": "weaknesses", "title": "Weaknesses", "kind": "texts"}]}]},
  {"section": "contacts_and_decisions", "title": "Contacts and decisions", "guidance": "How the client decides, step by step: who decides, who influences (004-17).", "required": true, "shared": false, "fields": [
    {"name": "steps", "title": "Steps of the decision process", "kind": "table", "columns": [{"name": "step", "title": "Step", "kind": "text"}, {"name": "decision_makers", "title": "Who decides", "kind": "contacts"}, {"name": "influencers", "title": "Who influences", "kind": "contacts"}, {"name": "due_on", "title": "By", "kind": "date"}]}]},
  {"section": "negotiations", "title": "Processes and negotiations", "guidance": "What is under way: where it stands and what comes next (004-18).", "required": true, "shared": false, "fields": [
    {"name": "negotiations", "title": "Under way", "kind": "table", "columns": [{"name": "title", "title": "What about", "kind": "text"}, {"name": "stage", "title": "Stage", "kind": "text"}, {"name": "next_step", "title": "Next step", "kind": "text"}, {"name": "next_step_on", "title": "On", "kind": "date"}]}]},
  {"section": "leader_perceptions", "title": "How their leaders see it", "guidance": "How the client''s leaders see the market, their competitors and themselves (004-19).", "required": true, "shared": false, "fields": [
    {"name": "market", "title": "The market", "kind": "table", "columns": [{"name": "text", "title": "What they say of it", "kind": "text"}]}, {"name": "competitors", "title": "Their competitors", "kind": "table", "columns": [{"name": "text", "title": "What they say of them", "kind": "text"}]}, {"name": "themselves", "title": "Themselves", "kind": "table", "columns": [{"name": "text", "title": "What they say of themselves", "kind": "text"}]},
    {"name": "leaders", "title": "Leader by leader", "kind": "table", "columns": [{"name": "contact_id", "title": "Who", "kind": "contact"}, {"name": "market", "title": "The market", "kind": "text"}, {"name": "competitors", "title": "Their competitors", "kind": "text"}, {"name": "themselves", "title": "Themselves", "kind": "text"}]}]},
  {"section": "values_beliefs", "title": "Values and beliefs", "guidance": "What the client holds to be right and true (004-20).", "required": true, "shared": false, "fields": [
    {"name": "values", "title": "Values", "kind": "texts"}, {"name": "beliefs", "title": "Beliefs", "kind": "texts"}]},
  {"section": "capabilities", "title": "Capabilities", "guidance": "What the client can do, and what they cannot (004-21).", "required": true, "shared": true, "fields": [
    {"name": "capabilities", "title": "Capabilities", "kind": "table", "columns": [{"name": "text", "title": "What they can do", "kind": "text"}]}, {"name": "gaps", "title": "Gaps", "kind": "table", "columns": [{"name": "text", "title": "What they cannot", "kind": "text"}]}]},
  {"section": "strategies", "title": "Strategies", "guidance": "The client''s strategies, present and future (004-22).", "required": true, "shared": true, "fields": [
    {"name": "current", "title": "Current", "kind": "table", "columns": [{"name": "text", "title": "What they do", "kind": "text"}]}, {"name": "future", "title": "Future", "kind": "table", "columns": [{"name": "text", "title": "What they will do", "kind": "text"}]}]},
  {"section": "internal_processes", "title": "Internal processes", "guidance": "How the client works inside: ordering, paying, deciding (004-23).", "required": true, "shared": true, "fields": [
    {"name": "processes", "title": "Processes", "kind": "table", "columns": [{"name": "name", "title": "Process", "kind": "text"}, {"name": "description", "title": "How it goes", "kind": "text"}, {"name": "owner", "title": "Whose it is", "kind": "text"}]}]},
  {"section": "interaction_history", "title": "Interaction history", "guidance": "Written by kamd from interactions, problems, orders, reviews and versions; nobody types it (004-24).", "required": false, "shared": false, "fields": []}
]');

create function template_in_force() returns int stable language sql as $$ select version from plan_template where active $$;

-- A plan remembers the version of the template that its sections are in.
alter table plan
    add column template_version int not null default 1 constraint plan_template_version_fkey references plan_template,
    add column changed_since_version boolean not null default false,
    add column derived_version bigint not null default 0; -- counts changes that nobody typed into the plan itself
alter table plan alter column template_version set default template_in_force();
create index plan_template_version_idx on plan (template_version) where status <> 'closed' and deleted_at is null;
create unique index plan_active_key on plan (account_id) where status = 'active' and deleted_at is null;
create index plan_section_updated_at_idx on plan_section (updated_at) where deleted_at is null;

create function is_blank(value jsonb) returns boolean immutable parallel safe language sql as
$$ select value is null or value in ('null', '[]', '{}') or (jsonb_typeof(value) = 'string' and btrim(value #>> '{}') = '') $$;

create function is_date(value text) returns boolean immutable language plpgsql as $$
begin
    return value ~ '^\d{4}-\d\d-\d\d$' and value::date is not null;
exception when datetime_field_overflow or invalid_datetime_format then
    return false;
end $$;

create function violation(pointer text, code text, detail text) returns jsonb immutable parallel safe language sql as
$$ select jsonb_build_object('pointer', pointer, 'code', code, 'detail', detail) $$;

create function unknown_contacts(ids jsonb, account uuid, at text) returns setof jsonb stable language sql as $$
    select violation(at || case when jsonb_typeof(ids) = 'array' then '/' || (i.nth - 1) else '' end, 'unknown_reference', 'There is no such contact of this account.')
      from jsonb_array_elements_text(case when jsonb_typeof(ids) = 'array' then ids else jsonb_build_array(ids) end) with ordinality i(id, nth)
     where not exists (select 1 from contact c where c.id::text = lower(i.id) and c.account_id = account)
$$;

-- What contradicts a field of the template. A list may be given as its one element, a table as its one row, and a row as the text of its first column; members of a row
-- that the template does not name are kept.
create function field_errors(field jsonb, value jsonb, at text, account uuid) returns setof jsonb stable language plpgsql as $$
declare
    kind text := field ->> 'kind';
    form text := jsonb_typeof(value);
    fits boolean;
    one jsonb;
    col jsonb;
    place text;
    nth int := 0;
begin
    if is_blank(value) then
        return;
    end if;
    fits := case kind
        when 'text' then form = 'string'
        when 'texts' then form = 'string' or (form = 'array' and not jsonb_path_exists(value, '$[*] ? (@.type() != "string")'))
        when 'number' then form = 'number' or (form = 'string' and value #>> '{}' ~ '^-?\d{1,15}(\.\d{1,4})?$')
        when 'date' then form = 'string' and is_date(value #>> '{}')
        when 'boolean' then form = 'boolean'
        when 'choice' then form = 'string' and field -> 'choices' @> value
        when 'contact' then form = 'string'
        when 'contacts' then form = 'array' and not jsonb_path_exists(value, '$[*] ? (@.type() != "string")')
        when 'table' then form in ('string', 'object') or (form = 'array' and not jsonb_path_exists(value, '$[*] ? (@.type() != "string" && @.type() != "object")'))
    end;
    if not fits then
        return next violation(at, 'wrong_type', case kind
            when 'text' then 'must be text' when 'texts' then 'must be a text or an array of texts' when 'number' then 'must be a number or a decimal as text'
            when 'date' then 'must be a date as text, YYYY-MM-DD' when 'boolean' then 'must be true or false'
            when 'choice' then 'must be one of ' || (select string_agg(c, ', ') from jsonb_array_elements_text(field -> 'choices') c)
            when 'contact' then 'must be the id of a contact' when 'contacts' then 'must be an array of ids of contacts' else 'must be an array of rows, each an object or a text' end);
    elsif kind in ('contact', 'contacts') then
        return query select unknown_contacts(value, account, at);
    elsif kind = 'table' then
        for one in select r from jsonb_array_elements(case form when 'array' then value else jsonb_build_array(value) end) r loop
            for col in select c from jsonb_array_elements(field -> 'columns') c where jsonb_typeof(one) = 'object' loop
                place := at || case form when 'array' then '/' || nth else '' end || '/' || (col ->> 'name');
                if (col ->> 'required')::boolean and is_blank(one -> (col ->> 'name')) then
                    return next violation(place, 'required', 'is required in every row');
                end if;
                return query select field_errors(col, one -> (col ->> 'name'), place, account);
            end loop;
            nth := nth + 1;
        end loop;
    end if;
end $$;

create function section_errors(fields jsonb, content jsonb, complete boolean, account uuid) returns jsonb stable language sql as $$
    select jsonb_agg(e) from jsonb_array_elements(fields) with ordinality f(field, nth), lateral (
        select field_errors(f.field, content -> (f.field ->> 'name'), '/content/' || (f.field ->> 'name'), account) as e
        union all
        select violation('/content/' || (f.field ->> 'name'), 'required', 'is required before the section is complete')
         where complete and (f.field ->> 'required')::boolean and is_blank(content -> (f.field ->> 'name'))) x
$$;

create function template_fields(template int, section_name text) returns jsonb stable language sql as $$
    select s -> 'fields' from plan_template t, jsonb_array_elements(t.sections) s where t.version = template and s ->> 'section' = section_name
$$;

-- Section before plan: the order in which both are locked, here and where a new template is followed.
create function plan_section_keep() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
declare
    p plan;
    errors jsonb;
begin
    if tg_op = 'UPDATE' and (new.state, new.content, new.contributors) is not distinct from (old.state, old.content, old.contributors) then
        return new;
    end if;
    select * into p from plan t where t.id = new.plan_id for no key update;
    if p.status = 'closed' then
        raise exception using errcode = 'KD409', message = 'conflict', detail = 'The plan is closed; it does not change any more.';
    end if;
    if new.state = 'empty' and new.content <> '{}' then
        new.state := 'in_progress';
    end if;
    if tg_op = 'UPDATE' and (new.state, new.content) is not distinct from (old.state, old.content) then
        return new;
    end if;
    errors := section_errors(template_fields(p.template_version, new.section), new.content, new.state = 'complete', new.account_id);
    if errors is not null then
        raise exception using errcode = 'KD422', message = 'validation_failed', hint = jsonb_build_object('errors', errors)::text,
            detail = format('The section does not fit version %s of the template; errors[] names every place.', p.template_version);
    end if;
    return new;
end $$;
create trigger plan_section_keep before insert or update on plan_section for each row execute function plan_section_keep();

create function plan_section_follow() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    update plan p set changed_since_version = true, derived_version = p.derived_version + 1
     where p.version_no > 0 and not p.changed_since_version
       and p.id in (select n.plan_id from new_rows n join old_rows o on o.id = n.id
                     where (n.state, n.content, n.contributors) is distinct from (o.state, o.content, o.contributors));
    return null;
end $$;
create trigger plan_section_follow after update on plan_section referencing old table as old_rows new table as new_rows for each statement execute function plan_section_follow();

create function plan_keep() returns trigger language plpgsql as $$
begin
    if (new.title, new.period_start, new.period_end, new.company_strategy, new.client_strategy, new.objectives, new.win_win, new.opportunities)
       is distinct from (old.title, old.period_start, old.period_end, old.company_strategy, old.client_strategy, old.objectives, old.win_win, old.opportunities) then
        if old.status = 'closed' then
            raise exception using errcode = 'KD409', message = 'conflict', detail = 'The plan is closed; it does not change any more.';
        end if;
        new.changed_since_version := new.version_no > 0;
    end if;
    return new;
end $$;
create trigger plan_keep before update on plan for each row execute function plan_keep();

-- A section's content in another version of the template. Nothing is lost: what vanished as a field, or does not fit the field that has its name now, goes to `other`
-- under its old name; what was free stays free.
create function content_migrate(content jsonb, before jsonb, after jsonb, before_version int, account uuid) returns jsonb stable language plpgsql as $$
declare
    result jsonb := content;
    moved jsonb := '{}';
    kept jsonb := case when jsonb_typeof(content -> 'other') = 'object' then content -> 'other' when content ? 'other' then jsonb_build_object('other', content -> 'other') else '{}' end;
    name text;
    place text;
    said jsonb;
    field jsonb;
begin
    for name, said in select * from jsonb_each(content) where key <> 'other' loop
        select f into field from jsonb_array_elements(after) f where f ->> 'name' = name;
        continue when field is null and not before @> jsonb_build_array(jsonb_build_object('name', name));
        continue when field is not null and not exists (select field_errors(field, said, '', account));
        place := name;
        while (kept || moved) ? place and (kept || moved) -> place is distinct from said loop
            place := place || '_v' || before_version;
        end loop;
        moved := moved || jsonb_build_object(place, said);
        result := result - name;
    end loop;
    return case when moved = '{}' then result else result || jsonb_build_object('other', kept || moved) end;
end $$;

-- Plans follow the template in force, `most` of them at a time; closed ones stay as they were. Returns them with their cache version.
create function plans_follow_template(most int) returns table (plan_id uuid, version bigint) language plpgsql security definer set search_path = public, pg_temp as $$
declare
    chosen uuid;
    before int;
    after int := template_in_force();
begin
    if not pg_try_advisory_xact_lock(hashtextextended('kamd plan template', 0)) then
        return; -- another process is at it
    end if;
    for chosen in select p.id from plan p where (p.template_version < after or p.template_version > after) and p.status <> 'closed' and p.deleted_at is null order by p.id limit most loop
        perform 1 from plan_section s where s.plan_id = chosen order by s.id for update;
        select p.template_version into before from plan p where p.id = chosen and p.status <> 'closed' for update;
        continue when not found or before = after;
        update plan p set template_version = after, derived_version = p.derived_version + 1 where p.id = chosen;
        update plan_section s
           set content = m.content, version = s.version + 1,
               state = case when s.state = 'complete' and section_errors(m.fields, m.content, true, s.account_id) is not null then 'in_progress' else s.state end
          from (select o.id, f.fields, content_migrate(o.content, template_fields(before, o.section), f.fields, before, o.account_id) as content
                  from plan_section o, lateral (select template_fields(after, o.section) as fields) f
                 where o.plan_id = chosen and f.fields <> template_fields(before, o.section)) m
         where s.id = m.id
           and (m.content <> s.content or (s.state = 'complete' and section_errors(m.fields, m.content, true, s.account_id) is not null));
        return query select p.id, p.version + p.derived_version from plan p where p.id = chosen;
    end loop;
end $$;
revoke execute on function plans_follow_template(int) from kamd_app;

-- ---- versions, acknowledgements ----

create table plan_version (
    plan_id uuid not null, account_id uuid not null, version_no int not null, id uuid not null default uuid_v7(),
    created_at timestamptz not null default now(), created_by text, kind text not null check (kind in ('activated', 'adapted')),
    review_id uuid, -- the review that adapted it
    template_version int not null, customer_impact text, note text,
    content jsonb not null, -- the plan and its sections, as plan_document() shows them
    primary key (plan_id, version_no),
    constraint plan_version_plan_id_fkey foreign key (plan_id, account_id) references plan (id, account_id),
    constraint plan_version_review_id_fkey foreign key (review_id, account_id) references review (id, account_id)
);
create index plan_version_account_id_idx on plan_version (account_id, created_at desc, id);
create index plan_version_review_id_idx on plan_version (review_id) where review_id is not null;
call protect('plan_version', 'account_id');
revoke update on plan_version from kamd_app, kamd_worker; -- a version never changes

create table plan_acknowledgement (
    plan_id uuid not null, account_id uuid not null, version_no int not null,
    user_id uuid not null constraint plan_acknowledgement_user_id_fkey references app_user,
    acknowledged_at timestamptz not null default now(), recorded_by text,
    primary key (plan_id, version_no, user_id),
    constraint plan_acknowledgement_version_no_fkey foreign key (plan_id, version_no) references plan_version (plan_id, version_no),
    constraint plan_acknowledgement_plan_id_fkey foreign key (plan_id, account_id) references plan (id, account_id)
);
call protect('plan_acknowledgement', 'account_id');
revoke update on plan_acknowledgement from kamd_app, kamd_worker;

create function plan_document(p plan) returns jsonb stable language sql as $$
    select jsonb_build_object('title', p.title, 'period_start', p.period_start, 'period_end', p.period_end, 'company_strategy', p.company_strategy,
               'client_strategy', p.client_strategy, 'objectives', p.objectives, 'win_win', p.win_win, 'opportunities', p.opportunities,
               'sections', (select jsonb_object_agg(s.section, jsonb_build_object('state', s.state, 'content', s.content, 'contributors', s.contributors))
                              from plan_section s where s.plan_id = p.id))
$$;

-- The next version of a plan that the caller has locked.
create function plan_version_make(plan_id uuid, kind text, review_id uuid, customer_impact text, note text) returns int language plpgsql as $$
declare
    p plan;
begin
    update plan t set version_no = t.version_no + 1, status = case when plan_version_make.kind = 'activated' then 'active' else t.status end,
           changed_since_version = false, version = t.version + 1, updated_at = now()
     where t.id = plan_version_make.plan_id returning * into p;
    insert into plan_version (plan_id, account_id, version_no, created_by, kind, review_id, template_version, customer_impact, note, content)
    values (p.id, p.account_id, p.version_no, context('actor'), kind, review_id, p.template_version, customer_impact, note, plan_document(p));
    return p.version_no;
end $$;

create function plan_version_tell() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform emit(array_agg(row ('plan.' || n.kind, n.account_id, 'plan', n.plan_id, p.version, 'plan.' || n.kind || ':' || n.plan_id || ':' || n.version_no,
                jsonb_strip_nulls(jsonb_build_object('account_id', n.account_id, 'plan_id', n.plan_id, 'version', p.version, 'version_no', n.version_no,
                    'template_version', n.template_version, 'review_id', n.review_id)),
                jsonb_build_object('version_no', n.version_no - 1))::event_in))
       from new_rows n join plan p on p.id = n.plan_id;
    return null;
end $$;
create trigger plan_version_tell after insert on plan_version referencing new table as new_rows for each statement execute function plan_version_tell();

-- ---- activation ----

-- What keeps a plan from being activated, all of it.
create function plan_gates(p plan) returns jsonb stable language sql as $$
    with facts as (
        select a.manager_id, a.sponsor_id, s.tier, f.verdict, f.checked_on, g.fit_check_max_age_days as max_age,
               (select t.sections from plan_template t where t.version = p.template_version) as template
          from account a join standing s on s.account_id = a.id cross join program_settings g
          left join fit_check f on f.account_id = a.id and f.deleted_at is null
         where a.id = p.account_id
    ), found as (
        select 1 as place, 0 as nth, violation('/fit_check', 'fit_check_required', case when checked_on is null then 'The account has no fit check yet.'
                   else format('The fit check is of %s; at most %s days are allowed.', checked_on, max_age) end) as v
          from facts where checked_on is null or checked_on < current_date - max_age
        union all
        select 2, 0, violation('/fit_check', 'fit_check_unsuitable', 'The fit check says that the account does not suit the strategy.') from facts where verdict = 'unsuitable'
        union all
        select 3, t.nth, violation('/sections/' || s.section, 'section_incomplete', format('The section is %s; it must be complete.', replace(s.state, '_', ' ')))
          from facts, jsonb_array_elements(template) with ordinality t(one, nth) join plan_section s on s.plan_id = p.id and s.section = t.one ->> 'section'
         where (t.one ->> 'required')::boolean and s.state <> 'complete'
        union all
        select 4, 0, violation('/win_win', 'win_win_one_sided', 'The plan says neither what we gain nor what they gain.') where p.win_win = '[]'
        union all
        select 5, w.nth, violation('/win_win/' || (w.nth - 1) || case when is_blank(w.one -> 'our_gain') then '/our_gain' else '/their_gain' end, 'win_win_one_sided', 'Both sides must gain.')
          from jsonb_array_elements(p.win_win) with ordinality w(one, nth) where is_blank(w.one -> 'our_gain') or is_blank(w.one -> 'their_gain')
        union all
        select 6, 0, violation('/account/manager_id', 'manager_required', 'The account needs an accountable manager.') from facts where manager_id is null
        union all
        select 7, 0, violation('/account/sponsor_id', 'sponsor_required_for_tier_a', 'An account of tier A needs an executive sponsor.') from facts where tier = 'A' and sponsor_id is null
    )
    select jsonb_agg(v order by place, nth) from found
$$;

-- The account is locked first: one plan of it is active at a time.
create function plan_lock(plan_id uuid) returns plan language plpgsql as $$
declare
    p plan;
begin
    perform 1 from account a where a.id = (select t.account_id from plan t where t.id = plan_lock.plan_id) for no key update;
    select * into p from plan t where t.id = plan_lock.plan_id and t.deleted_at is null for update;
    if not found then
        raise exception using errcode = 'KD404', message = 'not_found', detail = 'There is no such plan that you can see.';
    end if;
    if p.status = 'closed' then
        raise exception using errcode = 'KD409', message = 'conflict', detail = 'The plan is closed.';
    end if;
    return p;
end $$;

create function plan_activate(plan_id uuid, customer_impact text, note text) returns int language plpgsql as $$
declare
    p plan := plan_lock(plan_activate.plan_id);
    gates jsonb := plan_gates(p);
begin
    if gates is not null then
        raise exception using errcode = 'KD409', hint = jsonb_build_object('errors', gates)::text,
            message = case when jsonb_array_length(gates) = 1 and gates -> 0 ->> 'code' = 'fit_check_required' then 'fit_check_required' else 'plan_not_ready' end,
            detail = (select string_agg(g ->> 'detail', ' ') from (select g from jsonb_array_elements(gates) g limit 3) few);
    end if;
    update plan t set status = 'closed', version = t.version + 1, updated_at = now()
     where t.account_id = p.account_id and t.status = 'active' and t.deleted_at is null and t.id <> p.id;
    return plan_version_make(p.id, 'activated', null, customer_impact, note);
end $$;

create function plan_close(plan_id uuid) returns void language plpgsql as $$
declare
    p plan := plan_lock(plan_close.plan_id);
begin
    update plan t set status = 'closed', version = t.version + 1, updated_at = now() where t.id = p.id;
end $$;

-- The customer's copy: of the version in force, of the draft before there is one. Without internal sections, our own strategy, values and who of us does what.
create function plan_shared(plan_id uuid) returns jsonb stable language sql as $$
    select jsonb_build_object('id', p.id, 'account_id', p.account_id, 'view', 'shared', 'status', p.status, 'version_no', p.version_no,
               'title', d -> 'title', 'period_start', d -> 'period_start', 'period_end', d -> 'period_end', 'client_strategy', d -> 'client_strategy', 'win_win', d -> 'win_win',
               'objectives', (select coalesce(jsonb_agg(jsonb_build_object('title', o -> 'title', 'metric', o -> 'metric', 'baseline', o -> 'baseline', 'target', o -> 'target',
                                  'current', o -> 'current', 'due_on', o -> 'due_on',
                                  'actions', (select coalesce(jsonb_agg(jsonb_build_object('title', a.one -> 'title', 'due_on', a.one -> 'due_on', 'status', a.one -> 'status') order by a.nth), '[]')
                                                from jsonb_array_elements(case jsonb_typeof(o -> 'actions') when 'array' then o -> 'actions' else '[]' end) with ordinality a(one, nth))) order by x.nth), '[]')
                                from jsonb_array_elements(d -> 'objectives') with ordinality x(o, nth)),
               'sections', (select coalesce(jsonb_agg(jsonb_build_object('section', s.one -> 'section', 'title', s.one -> 'title', 'content', d #> array ['sections', s.one ->> 'section', 'content']) order by s.nth), '[]')
                              from jsonb_array_elements(t.sections) with ordinality s(one, nth) where (s.one ->> 'shared')::boolean and d -> 'sections' ? (s.one ->> 'section')))
      from plan p left join plan_version v on v.plan_id = p.id and v.version_no = p.version_no
      join plan_template t on t.version = coalesce(v.template_version, p.template_version)
      cross join lateral (select coalesce(v.content, plan_document(p)) as d) doc
     where p.id = plan_shared.plan_id and p.deleted_at is null
$$;

-- Sections that nobody has touched for so long: told once for each time that one became stale.
create table plan_stale (section_id uuid primary key references plan_section, account_id uuid not null, told_for timestamptz not null);
call protect('plan_stale', 'account_id');
revoke insert, update on plan_stale from kamd_app;

create function plans_stale(most int) returns int language plpgsql security definer set search_path = public, pg_temp as $$
declare
    evs event_in[];
begin
    with stale as materialized (
        select s.id, s.plan_id, s.account_id, s.section, s.updated_at
          from plan_section s join plan p on p.id = s.plan_id and p.status = 'active' and p.deleted_at is null
         where s.deleted_at is null and s.updated_at < now() - make_interval(days => (select section_stale_days from program_settings))
           and not exists (select 1 from plan_stale t where t.section_id = s.id and t.told_for = s.updated_at)
         order by s.plan_id limit most for update of s skip locked
    ), told as (
        insert into plan_stale as t (section_id, account_id, told_for) select id, account_id, updated_at from stale
        on conflict (section_id) do update set told_for = excluded.told_for where t.told_for <> excluded.told_for
        returning section_id
    )
    select array_agg(row ('plan.stale', g.account_id, 'plan', g.plan_id, p.version, null,
               jsonb_build_object('account_id', g.account_id, 'plan_id', g.plan_id, 'version', p.version, 'sections', g.sections), '{}')::event_in)
      into evs
      from (select plan_id, account_id, jsonb_agg(section order by section) as sections from stale join told on told.section_id = stale.id group by 1, 2) g join plan p on p.id = g.plan_id;
    perform emit(evs);
    return coalesce(cardinality(evs), 0);
end $$;
revoke execute on function plans_stale(int) from kamd_app;

-- ---- reviews ----

-- A series counts its dates from its anchor, so that the 31st is not forgotten in February.
alter table review
    add column anchor_on date, add column series_no int not null default 0,
    add column previous_review_id uuid,
    add constraint review_previous_review_id_fkey foreign key (previous_review_id, account_id) references review (id, account_id);
create unique index review_previous_review_id_key on review (previous_review_id);
create index review_scheduled_idx on review (due_on) where status = 'scheduled' and deleted_at is null;
create index follow_up_review_id_idx on follow_up (review_id) where review_id is not null;

create function review_keep() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' or (new.due_on, new.time_zone) is distinct from (old.due_on, old.time_zone) then
        begin
            perform day_begin(new.due_on, new.time_zone);
        exception when invalid_parameter_value then
            raise exception using errcode = 'KD422', message = 'validation_failed', column = 'time_zone', detail = 'There is no such time zone.';
        end;
    end if;
    if tg_op = 'INSERT' then
        new.anchor_on := coalesce(new.anchor_on, new.due_on);
    elsif old.status = 'held' and new.status <> 'held' then
        raise exception using errcode = 'KD409', message = 'conflict', column = 'status', detail = 'The review was held; that cannot be undone.';
    elsif new.cadence <> old.cadence or (new.due_on <> old.due_on and old.series_no = 0) then
        new.anchor_on := new.due_on;
        new.series_no := 0;
    end if;
    if new.status = 'held' then
        new.held_at := coalesce(new.held_at, now());
    end if;
    return new;
end $$;
create trigger review_keep before insert or update on review for each row execute function review_keep();

create function cadence_months(cadence text) returns int immutable parallel safe language sql as
$$ select case cadence when 'monthly' then 1 when 'quarterly' then 3 when 'semiannual' then 6 when 'annual' then 12 end $$;

-- The next review of a series, after this one and not before `earliest`; the one that is there already, if there is. The caller has locked the review.
create function review_next(r review, earliest date) returns uuid language plpgsql as $$
declare
    made uuid;
    anchor date := coalesce(r.anchor_on, r.due_on);
    no int := r.series_no + 1;
    due date;
begin
    select n.id into made from review n where n.previous_review_id = r.id;
    if found then
        return made;
    end if;
    loop
        due := (anchor + make_interval(months => no * cadence_months(r.cadence)))::date;
        exit when due > r.due_on and due >= earliest;
        no := no + 1;
    end loop;
    insert into review (id, account_id, plan_id, cadence, due_on, time_zone, anchor_on, series_no, previous_review_id)
    select uuid_v7(), r.account_id, (select p.id from plan p where p.id = r.plan_id and p.status <> 'closed' and p.deleted_at is null), r.cadence, due, r.time_zone, anchor, no, r.id
    returning id into made;
    return made;
end $$;

-- What a review makes of its plan (or the one given) and of its series, before it is held itself. Nobody else completes it meanwhile: the caller has locked it.
create function review_conclude(review_id uuid, plan_id uuid, outcome text) returns void language plpgsql as $$
declare
    r review;
begin
    select * into r from review t where t.id = review_conclude.review_id;
    if outcome in ('adapt', 'replace') then
        if plan_id is null then
            raise exception using errcode = 'KD422', message = 'validation_failed', column = 'outcome',
                detail = format('The review is of no plan, and none of the account is active: there is nothing to %s.', outcome);
        end if;
        perform plan_lock(plan_id);
        if outcome = 'adapt' then
            perform plan_version_make(plan_id, 'adapted', r.id, null, null);
        else
            update plan t set status = 'closed', version = t.version + 1, updated_at = now() where t.id = review_conclude.plan_id;
        end if;
    end if;
    r.plan_id := plan_id;
    perform review_next(r, r.due_on);
end $$;

create function review_tell() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform emit(array_agg(row (case n.status when 'held' then 'review.completed' else 'review.missed' end, n.account_id, 'review', n.id, n.version, null,
                jsonb_strip_nulls(jsonb_build_object('account_id', n.account_id, 'review_id', n.id, 'version', n.version, 'plan_id', n.plan_id, 'cadence', n.cadence, 'due_on', n.due_on,
                    'time_zone', n.time_zone, 'outcome', n.outcome, 'held_at', utc_text(n.held_at),
                    'plan_version_no', (select v.version_no from plan_version v where v.review_id = n.id),
                    'next_review_id', (select x.id from review x where x.previous_review_id = n.id),
                    'follow_up_ids', (select jsonb_agg(f.id order by f.id) from follow_up f where f.review_id = n.id and f.deleted_at is null))),
                jsonb_build_object('version', o.version, 'status', o.status))::event_in order by n.due_on, n.id))
       from new_rows n join old_rows o on o.id = n.id where n.status in ('held', 'missed') and o.status <> n.status;
    return null;
end $$;
create trigger review_tell after update on review referencing old table as old_rows new table as new_rows for each statement execute function review_tell();

-- Due dates that were told: one event for each review and date, whoever runs it and dies.
create table review_told (review_id uuid not null references review, due_on date not null, account_id uuid not null, primary key (review_id, due_on));
call protect('review_told', 'account_id');
revoke insert, update on review_told from kamd_app;

-- Due is a review when its day begins in its time zone, by PostgreSQL's clock; missed when the days of grace are over, which run at least since the review was entered.
create function reviews_fire(most int) returns int language plpgsql security definer set search_path = public, pg_temp as $$
declare
    evs event_in[];
    r review;
    grace int := (select review_grace_days from program_settings);
    furthest date := ((clock_timestamp() at time zone 'UTC') + interval '14 hours')::date; -- today's date where the day begins first
    n int := 0;
begin
    with waiting as materialized ( -- those that were told stay scheduled for days: they are left out before anything is worked out
        select t.id from review t where t.status = 'scheduled' and t.deleted_at is null and t.due_on <= furthest
           and not exists (select 1 from review_told d where d.review_id = t.id and d.due_on = t.due_on)
    ), due as materialized (
        select t.* from review t join waiting w on w.id = t.id
         where t.status = 'scheduled' and t.deleted_at is null and day_begin(t.due_on, t.time_zone) <= clock_timestamp()
         order by t.due_on limit most for update of t skip locked
    ), told as (
        insert into review_told (review_id, due_on, account_id) select id, due_on, account_id from due on conflict do nothing returning review_id
    )
    select array_agg(row ('review.due', d.account_id, 'review', d.id, d.version, 'review.due:' || d.id || ':' || d.due_on,
               jsonb_strip_nulls(jsonb_build_object('account_id', d.account_id, 'review_id', d.id, 'version', d.version, 'plan_id', d.plan_id, 'cadence', d.cadence,
                   'due_on', d.due_on, 'time_zone', d.time_zone)), '{}')::event_in order by d.due_on, d.id)
      into evs from due d join told t on t.review_id = d.id;
    perform emit(evs);
    for r in
        select t.* from review t
         where t.status = 'scheduled' and t.deleted_at is null and t.due_on <= furthest - grace - 1
           and greatest(day_begin(t.due_on + grace + 1, t.time_zone), t.created_at + make_interval(days => grace)) <= clock_timestamp()
         order by t.due_on limit most for update skip locked
    loop
        perform review_next(r, (clock_timestamp() at time zone r.time_zone)::date - grace);
        update review t set status = 'missed', version = t.version + 1, updated_at = now() where t.id = r.id;
        n := n + 1;
    end loop;
    return n + coalesce(cardinality(evs), 0);
end $$;
revoke execute on function reviews_fire(int) from kamd_app;

-- ---- the seven buyer expectations (003-05 to 003-12) ----

-- Ratings that came without a review.
create table expectation_rating (
    id uuid primary key default uuid_v7(), version bigint not null default 1,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(), deleted_at timestamptz,
    account_id uuid not null constraint expectation_rating_account_id_fkey references account,
    expectation text not null, rater text not null check (rater in ('customer', 'internal')), rating int not null check (rating between 1 and 5),
    rated_at timestamptz not null default now(), contact_id uuid, note text, recorded_by text,
    constraint expectation_rating_contact_id_fkey foreign key (contact_id, account_id) references contact (id, account_id)
);
create index expectation_rating_account_id_idx on expectation_rating (account_id, rated_at desc);
call protect('expectation_rating', 'account_id');
call log_changes('expectation_rating', 'expectation', 'account_id', 'quiet');

create function expectation_ratings(account uuid) returns table (at timestamptz, source uuid, expectation text, rater text, rating int) stable language sql as $$
    select coalesce(r.held_at, r.updated_at), r.id, e ->> 'expectation', v.rater, v.rating
      from review r, jsonb_array_elements(r.expectations) e, lateral (values ('customer', (e ->> 'customer')::int), ('internal', (e ->> 'internal')::int)) v(rater, rating)
     where r.account_id = account and r.status = 'held' and r.deleted_at is null and v.rating is not null
    union all
    select x.rated_at, x.id, x.expectation, x.rater, x.rating from expectation_rating x where x.account_id = account and x.deleted_at is null
$$;

-- All seven, with the gap (ours less theirs: above zero, we think better of ourselves than they do) and the trend of the customer's rating. `own`: a review's ratings,
-- compared with what came before it; null: the account's latest, compared with the ones before them.
create function expectation_result(account uuid, own jsonb, own_id uuid, until timestamptz) returns jsonb stable language sql as $$
    with past as materialized (
        select x.*, row_number() over (partition by x.expectation, x.rater order by x.at desc, x.source desc) + case when own is null then 0 else 1 end as nth
          from expectation_ratings(account) x where x.at <= coalesce(until, now()) and x.source is distinct from own_id
    ), rated as (
        select expectation, rater, nth, rating, at from past
        union all
        select e ->> 'expectation', v.rater, 1, v.rating, until
          from jsonb_array_elements(own) e, lateral (values ('customer', (e ->> 'customer')::int), ('internal', (e ->> 'internal')::int)) v(rater, rating) where v.rating is not null
    ), seven as (
        select u.name, u.ord,
               max(r.rating) filter (where r.rater = 'customer' and r.nth = 1) as customer, max(r.rating) filter (where r.rater = 'internal' and r.nth = 1) as internal,
               max(r.rating) filter (where r.rater = 'customer' and r.nth = 2) as customer_before, max(r.rating) filter (where r.rater = 'internal' and r.nth = 2) as internal_before
          from unnest(array ['responsible_for_results', 'understands_business', 'on_our_side', 'right_applications', 'accessible', 'solves_problems', 'creative']) with ordinality u(name, ord)
          left join rated r on r.expectation = u.name group by 1, 2
    )
    select jsonb_build_object(
        'items', jsonb_agg(jsonb_build_object('expectation', name, 'customer', customer, 'internal', internal, 'gap', internal - customer, 'customer_before', customer_before,
                     'gap_before', internal_before - customer_before, 'trend', customer - customer_before) order by ord),
        'weakest', (select w.name from seven w where w.customer is not null order by w.customer, w.internal - w.customer desc nulls last, w.ord limit 1),
        'rated_at', (select utc_text(max(at)) from rated where nth = 1))
      from seven
$$;
