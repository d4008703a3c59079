-- Account plans: their sections, checked against the single template (004-15), their versions and activation, and the
-- customer's copy of a plan.

-- Whether a JSON value says nothing: null, an empty list or object, or blank text.
create or replace function field_is_blank(value jsonb) returns boolean
immutable parallel safe language sql as $$
    select value is null or value in ('null', '[]', '{}')
           or (jsonb_typeof(value) = 'string' and btrim(value #>> '{}') = '')
$$;

-- Whether a text is a date YYYY-MM-DD that the calendar has.
create or replace function field_is_date(value text) returns boolean immutable language plpgsql as $$
begin
    return value ~ '^\d{4}-\d\d-\d\d$' and value::date is not null;
exception when datetime_field_overflow or invalid_datetime_format then
    return false;
end $$;

-- One item of the list errors[] of a refusal; `pointer` is the JSON pointer of the place that is wrong.
create or replace function field_violation(pointer text, code text, detail text) returns jsonb
immutable parallel safe language sql as
$$ select jsonb_build_object('pointer', pointer, 'code', code, 'detail', detail) $$;

-- A violation for each id that is no contact of the account, and was none. `ids` is one id or an array of them; `at` is
-- the JSON pointer of `ids`.
create or replace function field_unknown_contacts(ids jsonb, account uuid, at text) returns setof jsonb
stable language sql as $$
    select field_violation(at || case when jsonb_typeof(ids) = 'array' then '/' || (i.nth - 1) else '' end,
                           'unknown_reference', 'There is no such contact of this account.')
      from jsonb_array_elements_text(case when jsonb_typeof(ids) = 'array' then ids else jsonb_build_array(ids) end)
           with ordinality i(id, nth)
     where not exists (select 1 from contact c
                        where c.id::text = lower(i.id) and account = any (person_accounts(c.id)))
$$;

-- The violations of a value that contradicts its field of the template; `at` is the value's JSON pointer. A blank value
-- contradicts nothing. A list may be given as its one element, a table as its one row, and a row as the text of its
-- first column; members of a row that the template does not name are kept.
create or replace function field_errors(field jsonb, value jsonb, at text, account uuid) returns setof jsonb
stable language plpgsql as $$
declare
    kind text := field ->> 'kind';
    form text := jsonb_typeof(value);
    fits boolean;
    one jsonb;
    col jsonb;
    place text;
    nth int := 0;
begin
    if field_is_blank(value) then
        return;
    end if;
    fits := case kind
        when 'text' then form = 'string'
        when 'texts' then form = 'string'
                          or (form = 'array' and not jsonb_path_exists(value, '$[*] ? (@.type() != "string")'))
        when 'number' then form = 'number' or (form = 'string' and value #>> '{}' ~ '^-?\d{1,15}(\.\d{1,4})?$')
        when 'date' then form = 'string' and field_is_date(value #>> '{}')
        when 'boolean' then form = 'boolean'
        when 'choice' then form = 'string' and field -> 'choices' @> value
        when 'contact' then form = 'string'
        when 'contacts' then form = 'array' and not jsonb_path_exists(value, '$[*] ? (@.type() != "string")')
        when 'table' then form in ('string', 'object')
                          or (form = 'array' and not jsonb_path_exists(
                                  value, '$[*] ? (@.type() != "string" && @.type() != "object")'))
    end;
    if not fits then
        return next field_violation(at, 'wrong_type', case kind
            when 'text' then 'must be text'
            when 'texts' then 'must be a text or an array of texts'
            when 'number' then 'must be a number or a decimal as text'
            when 'date' then 'must be a date as text, YYYY-MM-DD'
            when 'boolean' then 'must be true or false'
            when 'choice' then 'must be one of '
                               || (select string_agg(c, ', ') from jsonb_array_elements_text(field -> 'choices') c)
            when 'contact' then 'must be the id of a contact'
            when 'contacts' then 'must be an array of ids of contacts'
            else 'must be an array of rows, each an object or a text' end);
    elsif kind in ('contact', 'contacts') then
        return query select field_unknown_contacts(value, account, at);
    elsif kind = 'table' then
        for one in
            select r from jsonb_array_elements(case form when 'array' then value else jsonb_build_array(value) end) r
        loop
            for col in select c from jsonb_array_elements(field -> 'columns') c where jsonb_typeof(one) = 'object' loop
                place := at || case form when 'array' then '/' || nth else '' end || '/' || (col ->> 'name');
                if (col ->> 'required')::boolean and field_is_blank(one -> (col ->> 'name')) then
                    return next field_violation(place, 'required', 'is required in every row');
                end if;
                return query select field_errors(col, one -> (col ->> 'name'), place, account);
            end loop;
            nth := nth + 1;
        end loop;
    end if;
end $$;

-- The violations of a section's content, as an array; null: it fits the fields of the template. `complete`: required
-- fields are asked for, too. This is PL/pgSQL, which keeps its plan: an SQL function that cannot become a part of the
-- statement around it is planned at each call.
create or replace function section_errors(fields jsonb, content jsonb, complete boolean, account uuid) returns jsonb
stable language plpgsql as $$
begin
    return (
        select jsonb_agg(e)
          from jsonb_array_elements(fields) with ordinality f(field, nth), lateral (
            select field_errors(f.field, content -> (f.field ->> 'name'), '/content/' || (f.field ->> 'name'), account)
                   as e
            union all
            select field_violation('/content/' || (f.field ->> 'name'), 'required',
                                   'is required before the section is complete')
             where complete and (f.field ->> 'required')::boolean
               and field_is_blank(content -> (f.field ->> 'name'))) x);
end $$;

-- The fields of a section in a version of the template; null: there is no such version, or it has no such section. This
-- is PL/pgSQL, which keeps its plan: as an SQL function it would be planned at each call.
create or replace function template_fields(template int, section_name text) returns jsonb stable language plpgsql as $$
begin
    return (select s -> 'fields' from plan_template t, jsonb_array_elements(t.sections) s
             where t.version = template and s ->> 'section' = section_name);
end $$;

-- Gives a new plan its eight sections: empty, or as the plan has them that it goes on from, for somebody to look at
-- again. Who fills them stays, by when does not. The ninth, interaction_history, is generated when it is read.
create or replace function plan_sections() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    insert into plan_section (account_id, plan_id, section, state, content, contributors)
    select n.account_id, n.id, s, case when coalesce(c.content, '{}') = '{}' then 'empty' else 'in_progress' end,
           coalesce(c.content, '{}'), coalesce(c.contributors, '[]')
      from new_rows n
     cross join unnest(array ['competitive_environment', 'contacts_and_decisions', 'negotiations', 'leader_perceptions',
                              'values_beliefs', 'capabilities', 'strategies', 'internal_processes']) s
      left join lateral (
           select content_migrate(o.content, template_fields(p.template_version, s),
                                  template_fields(n.template_version, s), p.template_version, n.account_id) as content,
                  (select jsonb_agg(k.one - 'due_on' order by k.nth)
                     from jsonb_array_elements(o.contributors) with ordinality k(one, nth)) as contributors
             from plan p join plan_section o on o.plan_id = p.id and o.section = s
            where p.id = n.copy_from) c on true;
    return null;
end $$;

-- Whether nothing is left to be done for an objective: it has reached its target, from whichever side; or, where that
-- is not known, all of its actions are over.
create or replace function objective_reached(o jsonb) returns boolean immutable language sql as $$
    select case when v.current is null or v.target is null
                then coalesce((select bool_and(coalesce(a ->> 'status', 'open') in ('done', 'cancelled'))
                                 from jsonb_array_elements(nullif(o -> 'actions', 'null')) a), false)
                when v.baseline > v.target then v.current <= v.target
                else v.current >= v.target end
      from (select (o ->> 'baseline')::numeric as baseline, (o ->> 'target')::numeric as target,
                   (o ->> 'current')::numeric as current) v
$$;

-- What is left of a plan's objectives: those that are not reached, with the actions that are not over. A need that is
-- gone is no longer named.
create or replace function objectives_open(objectives jsonb) returns jsonb stable language sql as $$
    select coalesce(jsonb_agg(
               o.one || case when jsonb_typeof(o.one -> 'actions') = 'array' then jsonb_build_object('actions', (
                   select coalesce(jsonb_agg(
                              case when exists (select from need n where n.id = (a.one ->> 'need_id')::uuid
                                                                     and n.deleted_at is null)
                                   then a.one else a.one - 'need_id' end order by a.nth), '[]')
                     from jsonb_array_elements(o.one -> 'actions') with ordinality a(one, nth)
                    where coalesce(a.one ->> 'status', 'open') not in ('done', 'cancelled'))) else '{}' end
               order by o.nth), '[]')
      from jsonb_array_elements(objectives) with ordinality o(one, nth)
     where not objective_reached(o.one)
$$;

-- Fills in what a new plan does not say from the plan that it goes on from; win-win is thought of anew.
create or replace function plan_copy() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    p plan;
begin
    select * into p from plan t where t.id = new.copy_from;
    new.company_strategy := coalesce(new.company_strategy, p.company_strategy);
    new.client_strategy := coalesce(new.client_strategy, p.client_strategy);
    if new.objectives = '[]' then
        new.objectives := objectives_open(p.objectives);
    end if;
    if new.opportunities = '[]' then
        new.opportunities := p.opportunities;
    end if;
    return new;
end $$;

-- Checks a section before it is written: its plan is not closed, and its content fits the plan's version of the
-- template. An empty section that gets content is in progress. The section is locked before the plan:
-- plans_follow_template() locks them in this order, too.
create or replace function plan_section_keep() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    p plan;
    errors jsonb;
begin
    if tg_op = 'UPDATE'
       and (new.state, new.content, new.contributors)
           is not distinct from (old.state, old.content, old.contributors) then
        return new;
    end if;
    select * into p from plan t where t.id = new.plan_id for no key update;
    if p.status = 'closed' then
        raise exception using errcode = 'KD409', message = 'conflict',
                              detail = 'The plan is closed; it does not change any more.';
    end if;
    if new.state = 'empty' and new.content <> '{}' then
        new.state := 'in_progress';
    end if;
    if tg_op = 'UPDATE' and (new.state, new.content) is not distinct from (old.state, old.content) then
        return new;
    end if;
    errors := section_errors(template_fields(p.template_version, new.section), new.content, new.state = 'complete',
                             new.account_id);
    if errors is not null then
        raise exception using
            errcode = 'KD422', message = 'validation_failed', hint = jsonb_build_object('errors', errors)::text,
            detail = format('The section does not fit version %s of the template; errors[] names every place.',
                            p.template_version);
    end if;
    return new;
end $$;

-- Marks the plans of changed sections as changed since their last version, if they have one; `derived_version` grows,
-- since nobody typed anything into the plan itself. enable_nestloop is off for the join of the states before and after,
-- which a connection plans once, and mostly for one row: nested loops would compare each of thousands of rows with
-- each. The update, and what it fires, has nested loops again.
create or replace function plan_section_follow() returns trigger
language plpgsql security definer set search_path = public, pg_temp set enable_nestloop = off as $$
declare
    plans uuid[];
begin
    select array_agg(distinct n.plan_id) into plans
      from new_rows n join old_rows o on o.id = n.id
     where (n.state, n.content, n.contributors) is distinct from (o.state, o.content, o.contributors);
    if plans is not null then
        perform set_config('enable_nestloop', 'on', true);
        update plan p set changed_since_version = true, derived_version = p.derived_version + 1
         where p.version_no > 0 and not p.changed_since_version and p.id = any (array(select unnest(plans)));
    end if;
    return null;
end $$;

-- Refuses a change of what a closed plan says; a change of any other plan that has a version sets
-- `changed_since_version`.
create or replace function plan_keep() returns trigger language plpgsql as $$
begin
    if (new.title, new.period_start, new.period_end, new.company_strategy, new.client_strategy, new.objectives,
        new.win_win, new.opportunities)
       is distinct from
       (old.title, old.period_start, old.period_end, old.company_strategy, old.client_strategy, old.objectives,
        old.win_win, old.opportunities) then
        if old.status = 'closed' then
            raise exception using errcode = 'KD409', message = 'conflict',
                                  detail = 'The plan is closed; it does not change any more.';
        end if;
        new.changed_since_version := new.version_no > 0;
    end if;
    return new;
end $$;

-- A section's content in another version of the template; `before` and `after` are the fields of the section in both.
-- Nothing is lost: the value of a field that vanished, or that does not fit the field of the same name in `after`, goes
-- to the member `other` under its old name, or under that name and the old version where the name is taken. Members
-- that were no field of `before`, and are none of `after`, stay where they are.
create or replace function content_migrate(content jsonb, before jsonb, after jsonb, before_version int, account uuid)
returns jsonb stable language plpgsql as $$
declare
    result jsonb := content;
    moved jsonb := '{}';
    kept jsonb := case when jsonb_typeof(content -> 'other') = 'object' then content -> 'other'
                       when content ? 'other' then jsonb_build_object('other', content -> 'other')
                       else '{}' end;
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

-- Brings at most `most` plans to the template in force, in the order of their ids, and returns them with their cache
-- version. Closed plans stay as they are. A complete section that lacks what the template now requires is in progress
-- again. Sections are locked before their plan, as a write of a section locks them; the advisory lock keeps a second
-- process from the same work. The condition on template_version is `<` or `>` since `<>` uses no index.
create or replace function plans_follow_template(most int) returns table (plan_id uuid, version bigint)
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    chosen uuid;
    before int;
    after int := template_in_force();
begin
    if not pg_try_advisory_xact_lock(hashtextextended('kamd plan template', 0)) then
        return; -- another process is at it
    end if;
    for chosen in
        select p.id from plan p
         where (p.template_version < after or p.template_version > after) and p.status <> 'closed'
           and p.deleted_at is null
         order by p.id
         limit most
    loop
        perform 1 from plan_section s where s.plan_id = chosen order by s.id for update;
        select p.template_version into before from plan p where p.id = chosen and p.status <> 'closed' for update;
        continue when not found or before = after;
        update plan p set template_version = after, derived_version = p.derived_version + 1 where p.id = chosen;
        update plan_section s
           set content = m.content, version = s.version + 1,
               state = case when s.state = 'complete'
                                 and section_errors(m.fields, m.content, true, s.account_id) is not null
                            then 'in_progress' else s.state end
          from (select o.id, f.fields,
                       content_migrate(o.content, template_fields(before, o.section), f.fields, before, o.account_id)
                       as content
                  from plan_section o, lateral (select template_fields(after, o.section) as fields) f
                 where o.plan_id = chosen and f.fields <> template_fields(before, o.section)) m
         where s.id = m.id
           and (m.content <> s.content
                or (s.state = 'complete' and section_errors(m.fields, m.content, true, s.account_id) is not null));
        return query select p.id, p.version + p.derived_version from plan p where p.id = chosen;
    end loop;
end $$;
revoke execute on function plans_follow_template(int) from kamd_app;

-- A plan with its sections, as a version of the plan keeps it. All sections are in it, whoever asks (security definer):
-- a version is whole, and a reader gets the sections of their areas by sections_readable().
create or replace function plan_document(p plan) returns jsonb
stable security definer set search_path = public, pg_temp language sql as $$
    select jsonb_build_object(
               'title', p.title, 'period_start', p.period_start, 'period_end', p.period_end,
               'company_strategy', p.company_strategy, 'client_strategy', p.client_strategy,
               'objectives', p.objectives, 'win_win', p.win_win, 'opportunities', p.opportunities,
               'sections', (select jsonb_object_agg(s.section, jsonb_build_object(
                                       'state', s.state, 'content', s.content, 'contributors', s.contributors))
                              from plan_section s
                             where s.plan_id = p.id))
$$;

-- Makes the next version of a plan that the caller has locked, and returns its number. `kind` 'activated' puts the plan
-- in force, 'adapted' is by the review `review_id` and leaves the status. `customer_impact` and `note` are said of an
-- activation, else null.
create or replace function plan_version_make(plan_id uuid, kind text, review_id uuid, customer_impact text, note text)
returns int language plpgsql as $$
declare
    p plan;
begin
    update plan t
       set version_no = t.version_no + 1,
           status = case when plan_version_make.kind = 'activated' then 'active' else t.status end,
           changed_since_version = false, version = t.version + 1, updated_at = now()
     where t.id = plan_version_make.plan_id
    returning * into p;
    insert into plan_version
           (plan_id, account_id, version_no, created_by, kind, review_id, template_version, customer_impact, note,
            content)
    values (p.id, p.account_id, p.version_no, session_setting('actor'), kind, review_id, p.template_version,
            customer_impact, note, plan_document(p));
    return p.version_no;
end $$;

-- Tells of each new version of a plan: plan.activated or plan.adapted.
create or replace function plan_version_tell() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform event_write(array_agg(
               row ('plan.' || n.kind, n.account_id, 'plan', n.plan_id, p.version,
                    'plan.' || n.kind || ':' || n.plan_id || ':' || n.version_no,
                    jsonb_strip_nulls(jsonb_build_object(
                        'account_id', n.account_id, 'plan_id', n.plan_id, 'version', p.version,
                        'version_no', n.version_no, 'template_version', n.template_version,
                        'review_id', n.review_id)),
                    jsonb_build_object('version_no', n.version_no - 1))::event_in))
       from new_rows n join plan p on p.id = n.plan_id;
    return null;
end $$;

-- What a version of a plan says, with the sections that the caller may read; null: the caller may not read plans of the
-- account. The column itself is readable for nobody, so this is the only way to it (security definer).
create or replace function plan_version_content(plan_id uuid, version_no int) returns jsonb
stable language sql security definer set search_path = public, pg_temp as $$
    select sections_readable(v.content, areas_of(v.account_id))
      from plan_version v
     where v.plan_id = plan_version_content.plan_id and v.version_no = plan_version_content.version_no
       and areas_of(v.account_id) >> area_number('plan') & 1 = 1
$$;

-- All that keeps a plan from being activated, as an array of violations; null: nothing does.
create or replace function plan_gates(p plan) returns jsonb stable language sql as $$
    with facts as (
        select user_here(a.manager_id) as manager_id, user_here(a.sponsor_id) as sponsor_id, s.tier, f.verdict,
               f.checked_on, g.fit_check_max_age_days as max_age,
               (select t.sections from plan_template t where t.version = p.template_version) as template
          from account a join account_status s on s.account_id = a.id
          cross join program_settings g
          left join fit_check f on f.account_id = a.id and f.deleted_at is null
         where a.id = p.account_id
    ), found as (
        select 1 as place, 0 as nth,
               field_violation('/fit_check', 'fit_check_required',
                               case when checked_on is null then 'The account has no fit check yet.'
                                    else format('The fit check is of %s; at most %s days are allowed.', checked_on,
                                                max_age) end) as v
          from facts
         where checked_on is null or checked_on < current_date - max_age
        union all
        select 2, 0, field_violation('/fit_check', 'fit_check_unsuitable',
                                     'The fit check says that the account does not suit the strategy.')
          from facts
         where verdict = 'unsuitable'
        union all
        select 3, t.nth, field_violation('/sections/' || s.section, 'section_incomplete',
                                         format('The section is %s; it must be complete.', replace(s.state, '_', ' ')))
          from facts, jsonb_array_elements(template) with ordinality t(one, nth)
          join plan_section s on s.plan_id = p.id and s.section = t.one ->> 'section'
         where (t.one ->> 'required')::boolean and s.state <> 'complete'
        union all
        select 4, 0, field_violation('/win_win', 'win_win_one_sided',
                                     'The plan says neither what we gain nor what they gain.')
         where p.win_win = '[]'
        union all
        select 5, w.nth, field_violation('/win_win/' || (w.nth - 1) || case when field_is_blank(w.one -> 'our_gain')
                                                                            then '/our_gain' else '/their_gain' end,
                                         'win_win_one_sided', 'Both sides must gain.')
          from jsonb_array_elements(p.win_win) with ordinality w(one, nth)
         where field_is_blank(w.one -> 'our_gain') or field_is_blank(w.one -> 'their_gain')
        union all
        select 6, 0, field_violation('/account/manager_id', 'manager_required',
                                     'The account needs an accountable manager.')
          from facts
         where manager_id is null
        union all
        select 7, 0, field_violation('/account/sponsor_id', 'sponsor_required_for_tier_a',
                                     'An account of tier A needs an executive sponsor.')
          from facts
         where tier = 'A' and sponsor_id is null
    )
    select jsonb_agg(v order by place, nth) from found
$$;

-- Locks a plan that is about to be activated, adapted or closed, and returns it; refuses one that the caller does not
-- see, or that is closed. The account is locked before the plan: one plan of an account is active at a time, and
-- whoever activates another one waits here.
create or replace function plan_lock(plan_id uuid) returns plan language plpgsql as $$
declare
    p plan;
begin
    perform 1 from account a
      where a.id = (select t.account_id from plan t where t.id = plan_lock.plan_id)
        for no key update;
    select * into p from plan t where t.id = plan_lock.plan_id and t.deleted_at is null for update;
    if not found then
        raise exception using errcode = 'KD404', message = 'not_found',
                              detail = 'There is no such plan that you can see.';
    end if;
    if p.status = 'closed' then
        raise exception using errcode = 'KD409', message = 'conflict', detail = 'The plan is closed.';
    end if;
    return p;
end $$;

-- Puts a plan in force and closes the account's plan that was active before; returns the number of the new version.
-- Refuses a plan that plan_gates() finds not ready: the detail names the first three reasons, the hint all.
create or replace function plan_activate(plan_id uuid, customer_impact text, note text) returns int
language plpgsql as $$
declare
    p plan := plan_lock(plan_activate.plan_id);
    gates jsonb := plan_gates(p);
begin
    if gates is not null then
        raise exception using
            errcode = 'KD409', hint = jsonb_build_object('errors', gates)::text,
            message = case when jsonb_array_length(gates) = 1 and gates -> 0 ->> 'code' = 'fit_check_required'
                           then 'fit_check_required' else 'plan_not_ready' end,
            detail = (select string_agg(g ->> 'detail', ' ')
                        from (select g from jsonb_array_elements(gates) g limit 3) few);
    end if;
    update plan t set status = 'closed', version = t.version + 1, updated_at = now()
     where t.account_id = p.account_id and t.status = 'active' and t.deleted_at is null and t.id <> p.id;
    return plan_version_make(p.id, 'activated', null, customer_impact, note);
end $$;

-- Closes a plan; refuses one that the caller does not see, or that is closed already.
create or replace function plan_close(plan_id uuid) returns void language plpgsql as $$
declare
    p plan := plan_lock(plan_close.plan_id);
begin
    update plan t set status = 'closed', version = t.version + 1, updated_at = now() where t.id = p.id;
end $$;

-- The customer's copy of a plan: of its last version, or of the draft before there is one; null: the caller may not
-- read plans of the account. Left out are sections that the template does not share or that the caller may not read,
-- our own strategy, the opportunities, and who of us does what.
create or replace function plan_shared(plan_id uuid) returns jsonb
stable language sql security definer set search_path = public, pg_temp as $$
    select jsonb_build_object(
               'id', p.id, 'account_id', p.account_id, 'view', 'shared', 'status', p.status,
               'version_no', p.version_no, 'title', d -> 'title', 'period_start', d -> 'period_start',
               'period_end', d -> 'period_end', 'client_strategy', d -> 'client_strategy', 'win_win', d -> 'win_win',
               'objectives', (
                   select coalesce(jsonb_agg(
                              jsonb_build_object(
                                  'title', o -> 'title', 'metric', o -> 'metric', 'baseline', o -> 'baseline',
                                  'target', o -> 'target', 'current', o -> 'current', 'due_on', o -> 'due_on',
                                  'actions', (
                                      select coalesce(jsonb_agg(
                                                 jsonb_build_object('title', a.one -> 'title',
                                                                    'due_on', a.one -> 'due_on',
                                                                    'status', a.one -> 'status')
                                                 order by a.nth), '[]')
                                        from jsonb_array_elements(
                                                 case jsonb_typeof(o -> 'actions') when 'array' then o -> 'actions'
                                                      else '[]' end) with ordinality a(one, nth)))
                              order by x.nth), '[]')
                     from jsonb_array_elements(d -> 'objectives') with ordinality x(o, nth)),
               'sections', (
                   select coalesce(jsonb_agg(
                              jsonb_build_object(
                                  'section', s.one -> 'section', 'title', s.one -> 'title',
                                  'content', d #> array ['sections', s.one ->> 'section', 'content'])
                              order by s.nth), '[]')
                     from jsonb_array_elements(t.sections) with ordinality s(one, nth)
                    where (s.one ->> 'shared')::boolean and d -> 'sections' ? (s.one ->> 'section')))
      from plan p
      left join plan_version v on v.plan_id = p.id and v.version_no = p.version_no
      join plan_template t on t.version = coalesce(v.template_version, p.template_version)
      cross join lateral (
          select sections_readable(coalesce(v.content, plan_document(p)), areas_of(p.account_id)) as d) doc
     where p.id = plan_shared.plan_id and p.deleted_at is null and areas_of(p.account_id) >> area_number('plan') & 1 = 1
$$;

-- Tells of sections of active plans that nobody has touched for section_stale_days, at most `most` of them, with one
-- event for each plan; returns how many events. A section is told of once for each time that it became stale:
-- plan_stale holds the time of the change that it was told for. Sections that somebody else has locked have their turn
-- later.
create or replace function plans_stale(most int) returns int
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    evs event_in[];
begin
    with stale as materialized (
        select s.id, s.plan_id, s.account_id, s.section, s.updated_at
          from plan_section s join plan p on p.id = s.plan_id and p.status = 'active' and p.deleted_at is null
         where s.deleted_at is null
           and s.updated_at < now() - make_interval(days => (select section_stale_days from program_settings))
           and not exists (select 1 from plan_stale t where t.section_id = s.id and t.told_for = s.updated_at)
         order by s.plan_id
         limit most
           for update of s skip locked
    ), told as (
        insert into plan_stale as t (section_id, account_id, told_for)
        select id, account_id, updated_at from stale
        on conflict (section_id) do update set told_for = excluded.told_for where t.told_for <> excluded.told_for
        returning section_id
    )
    select array_agg(
               row ('plan.stale', g.account_id, 'plan', g.plan_id, p.version, null,
                    jsonb_build_object('account_id', g.account_id, 'plan_id', g.plan_id, 'version', p.version,
                                       'sections', g.sections),
                    '{}')::event_in)
      into evs
      from (select plan_id, account_id, jsonb_agg(section order by section) as sections
              from stale join told on told.section_id = stale.id
             group by 1, 2) g
      join plan p on p.id = g.plan_id;
    perform event_write(evs);
    return coalesce(cardinality(evs), 0);
end $$;
revoke execute on function plans_stale(int) from kamd_app;

-- Refuses a plan with an action that names a need which its account does not have. An id that the plan named before may
-- stay when the need was deleted.
create or replace function plan_needs() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    stranger text;
begin
    select lower(a ->> 'need_id') into stranger
      from jsonb_array_elements(new.objectives) o
      cross join jsonb_array_elements(coalesce(nullif(o -> 'actions', 'null'), '[]')) a
     where a ->> 'need_id' is not null
       and not exists (select 1 from need n
                        where n.id = (a ->> 'need_id')::uuid and n.account_id = new.account_id
                          and n.deleted_at is null)
       and (tg_op = 'INSERT' or position(lower(a ->> 'need_id') in lower(old.objectives::text)) = 0)
     limit 1;
    if found then
        raise exception using errcode = 'KD422', message = 'unknown_reference', column = 'objectives',
                              detail = format('The account has no need %s.', stranger);
    end if;
    return new;
end $$;

-- A plan's document without the sections whose area is not in the bit mask `areas`. A section whose name is no area
-- counts as the area 'plan'.
create or replace function sections_readable(content jsonb, areas bigint) returns jsonb immutable language sql as $$
    select case when content -> 'sections' is null or jsonb_typeof(content -> 'sections') <> 'object' then content
                else content || jsonb_build_object(
                    'sections', (select coalesce(jsonb_object_agg(s.key, s.value), '{}')
                                   from jsonb_each(content -> 'sections') s
                                  where areas >> coalesce(area_number(s.key), area_number('plan')) & 1 = 1)) end
$$;
