-- Our own people and what they answer for. Whoever leaves (is not active any more, or deleted) hands it over first, and
-- nobody who has left is given anything new, so that somebody always answers.

-- The id of a person who is here: active and not deleted. Null for anybody else. It is PL/pgSQL, which keeps its plan.
create or replace function user_here(person uuid) returns uuid stable parallel safe language plpgsql as $$
begin
    return (select u.id from app_user u where u.id = person and u.active and u.deleted_at is null);
end $$;

-- Who does what somebody did before: the same person; the account's manager when that person has left; null when the
-- manager has left, too. What belonged to nobody goes on belonging to nobody.
create or replace function user_successor(person uuid, account uuid) returns uuid stable language plpgsql as $$
begin
    return case when person is not null
                then coalesce(user_here(person), (select user_here(a.manager_id) from account a where a.id = account))
           end;
end $$;

-- A person as recognition shows one; null where there is nobody.
create or replace function user_shown(u app_user) returns jsonb
immutable parallel safe language sql as
$$ select case when u.id is not null then jsonb_build_object('id', u.id, 'name', u.name, 'email', u.email) end $$;

-- Whom to alert when a key account calls (001-04), of people who are here, each with a role: the cover while there is
-- one, else the manager; and the sponsor. Where there is none of them, the manager's manager, else the program's
-- fallback.
create or replace function users_to_alert(
    cover app_user, manager app_user, sponsor app_user, above app_user, fallback app_user) returns jsonb
immutable parallel safe language sql as $$
    select case when cover.id is not null then jsonb_build_array(user_shown(cover) || '{"role": "cover"}')
                when manager.id is not null then jsonb_build_array(user_shown(manager) || '{"role": "manager"}')
                else '[]' end
           || case when sponsor.id is not null then jsonb_build_array(user_shown(sponsor) || '{"role": "sponsor"}')
                   when coalesce(cover.id, manager.id) is not null then '[]'
                   when above.id is not null
                       then jsonb_build_array(user_shown(above) || '{"role": "managers_manager"}')
                   when fallback.id is not null
                       then jsonb_build_array(user_shown(fallback) || '{"role": "fallback"}')
                   else '[]' end
$$;

-- Whom to alert when a unit calls: its own people, then those of its customer who are not among them.
create or replace function alerts_joined(unit jsonb, customer jsonb) returns jsonb
immutable parallel safe language sql as $$
    select unit || coalesce((select jsonb_agg(c order by n) from jsonb_array_elements(customer) with ordinality e(c, n)
                              where not unit @> jsonb_build_array(jsonb_build_object('id', c -> 'id'))), '[]')
$$;

-- Whom to tell of an account when its manager (`first` = 'manager') or sponsor ('sponsor') is to be told: that person,
-- else the next one who is here of the sponsor, the manager's manager, and the program's fallback.
create or replace function user_to_tell(a account, first text) returns uuid stable language plpgsql as $$
begin
    return coalesce(
        case first when 'manager' then user_here(a.manager_id) end,
        user_here(a.sponsor_id),
        (select user_here(m.manager_id) from app_user m where m.id = a.manager_id),
        (select user_here(s.fallback_alert_user_id) from program_settings s));
end $$;

-- Whether an action of a plan is still to be done.
create or replace function action_is_open(action jsonb) returns boolean
immutable parallel safe language sql as $$ select coalesce(action ->> 'status', 'open') not in ('done', 'cancelled') $$;

-- The actions of an objective, also of one that has none.
create or replace function objective_actions(objective jsonb) returns jsonb
immutable parallel safe language sql as
$$ select case when jsonb_typeof(objective -> 'actions') = 'array' then objective -> 'actions' else '[]' end $$;

-- Who owns objectives, and actions that are not done, among a plan's objectives; `at` is the JSON pointer of the owner.
create or replace function plan_owners(objectives jsonb) returns table (at text, duty text, owner_id uuid)
immutable language sql as $$
    with o as (
        select e.j, '/objectives/' || (e.n - 1) as at from jsonb_array_elements(objectives) with ordinality e(j, n)
    )
    select o.at || '/owner_id', 'objectives', (o.j ->> 'owner_id')::uuid from o where o.j ->> 'owner_id' is not null
    union all
    select o.at || '/actions/' || (a.n - 1) || '/owner_id', 'actions', (a.j ->> 'owner_id')::uuid
      from o, jsonb_array_elements(objective_actions(o.j)) with ordinality a(j, n)
     where a.j ->> 'owner_id' is not null and action_is_open(a.j)
$$;

-- A plan's objectives with `heir` (null: nobody) as the owner of all that plan_owners() says is the person's.
create or replace function objectives_hand_over(objectives jsonb, person uuid, heir uuid) returns jsonb
immutable language sql as $$
    select coalesce(jsonb_agg(
               o.j
               || case when (o.j ->> 'owner_id')::uuid = person then jsonb_build_object('owner_id', heir) else '{}' end
               || case when o.j ? 'actions' then jsonb_build_object('actions', (
                      select coalesce(jsonb_agg(
                                 a.j || case when (a.j ->> 'owner_id')::uuid = person and action_is_open(a.j)
                                             then jsonb_build_object('owner_id', heir) else '{}' end
                                 order by a.n), '[]')
                        from jsonb_array_elements(objective_actions(o.j)) with ordinality a(j, n))) else '{}' end
               order by o.n), '[]')
      from jsonb_array_elements(objectives) with ordinality o(j, n)
$$;

-- What a person answers for, one a row: of what kind, and the record that says so. It is what keeps somebody from
-- leaving; user_hand_over() gives it to somebody else. A plan is searched as text before it is taken apart.
create or replace function user_duties(person uuid) returns table (duty text, record_id uuid)
stable language sql as $$
    select 'managed_accounts', a.id from account a where a.manager_id = person and a.deleted_at is null
    union all
    select 'sponsored_accounts', a.id from account a where a.sponsor_id = person and a.deleted_at is null
    union all
    select 'follow_ups', f.id
      from follow_up f where f.assignee_id = person and f.status = 'open' and f.deleted_at is null
    union all
    select 'commitments', c.id
      from commitment c where c.made_by_id = person and c.status = 'open' and c.deleted_at is null
    union all
    select o.duty, p.id
      from plan p cross join lateral plan_owners(p.objectives) o
     where p.status in ('draft', 'active') and p.deleted_at is null
       and lower(p.objectives::text) like '%' || person || '%' and o.owner_id = person
    union all
    select 'projects', p.id
      from project p where p.owner_id = person and p.status in ('planned', 'active') and p.deleted_at is null
    union all
    select 'needs', n.id from need n where n.owner_id = person and n.status <> 'resolved' and n.deleted_at is null
    union all
    select 'solutions', s.id
      from solution s where s.owner_id = person and s.status in ('proposed', 'agreed') and s.deleted_at is null
    union all
    select 'fallback_alerts', null from program_settings s where s.fallback_alert_user_id = person
$$;

-- Keeps a person from leaving who answers for something: the hint has how much of each kind. Who gives the person
-- something has locked the person's row (see given_to_somebody_here()): it is seen here, or sees that the person left.
create or replace function user_leaves() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    duties jsonb;
    words text;
begin
    select jsonb_object_agg(k.duty, k.n),
           string_agg(k.n || ' ' || replace(k.duty, '_', ' '), ', ' order by k.place) filter (where k.n > 0)
      into duties, words
      from (select k.duty, k.place, count(d.duty) as n
              from unnest(array ['managed_accounts', 'sponsored_accounts', 'follow_ups', 'commitments', 'objectives',
                                 'actions', 'projects', 'needs', 'solutions', 'fallback_alerts'])
                   with ordinality k(duty, place)
              left join user_duties(new.id) d on d.duty = k.duty
             group by k.duty, k.place) k;
    if words is not null then
        raise exception using errcode = 'KD409', message = 'user_is_needed',
            detail = format('%s still answers for %s. Hand this over with POST /v1/users/%s/deactivate.', new.name,
                            words, new.id),
            hint = jsonb_build_object('counts', duties)::text;
    end if;
    return null;
end $$;

-- Refuses to give something to a person who has left. The person's row is locked, so that nobody leaves meanwhile.
-- Argument: the column with the person.
create or replace function given_to_somebody_here() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    u app_user;
begin
    select * into u from app_user t where t.id = (to_jsonb(new) ->> tg_argv[0])::uuid for share;
    if not u.active or u.deleted_at is not null then
        raise exception using errcode = 'KD422', message = 'user_has_left', column = tg_argv[0],
            detail = format('%s has left, and takes on nothing new.', u.name);
    end if;
    return null;
end $$;

-- A record that comes back from deletion comes back without a person who has left meanwhile. Argument: the column with
-- the person.
create or replace function comes_back_without_leavers() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform 1 from app_user u where u.id = (to_jsonb(new) ->> tg_argv[0])::uuid for share;
    if user_here((to_jsonb(new) ->> tg_argv[0])::uuid) is null then
        new := jsonb_populate_record(new, jsonb_build_object(tg_argv[0], null));
    end if;
    return new;
end $$;

-- What this column of a table gives to a person is given to nobody who has left, at every way of writing: where the
-- person is new, or the record is open again. `is_open` is a condition on the row %1$s: when it is open. Triggers fire
-- in the order of their names: account_manager takes a stronger lock on the person's row, and comes first.
create or replace procedure give_to_somebody_here(tab regclass, its_column text, is_open text) language plpgsql as $$
declare
    given text := format('new.%I is not null and new.deleted_at is null and %s', its_column, format(is_open, 'new'));
begin
    execute format('create or replace trigger %I after insert on %s for each row when (%s)'
                   ' execute function given_to_somebody_here(%L)', its_column || '_given_insert', tab, given,
                   its_column);
    execute format('create or replace trigger %1$I after update on %2$s for each row'
                   ' when (%3$s and (new.%4$I is distinct from old.%4$I or not (%5$s)))'
                   ' execute function given_to_somebody_here(%4$L)', its_column || '_given_update', tab, given,
                   its_column, format(is_open, 'old'));
    execute format('create or replace trigger %1$I before update on %2$s for each row'
                   ' when (old.deleted_at is not null and new.deleted_at is null and new.%3$I is not null)'
                   ' execute function comes_back_without_leavers(%3$L)', its_column || '_back', tab, its_column);
end $$;

-- given_to_somebody_here() for the owners of a plan's objectives and open actions.
create or replace function plan_given_to_somebody_here() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    wrong record;
begin
    perform 1 from app_user u where u.id in (select o.owner_id from plan_owners(new.objectives) o)
      order by u.id for share;
    select o.at, u.name into wrong
      from plan_owners(new.objectives) o join app_user u on u.id = o.owner_id
     where not (u.active and u.deleted_at is null)
       and (tg_op = 'INSERT' or o.owner_id not in (select b.owner_id from plan_owners(old.objectives) b))
     limit 1;
    if found then
        raise exception using errcode = 'KD422', message = 'user_has_left', column = wrong.at,
            detail = format('%s has left, and takes on nothing new.', wrong.name);
    end if;
    return null;
end $$;

-- comes_back_without_leavers() for the owners of a plan's objectives and open actions.
create or replace function plan_comes_back_without_leavers() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    owner uuid;
begin
    for owner in
        select u.id from app_user u where u.id in (select o.owner_id from plan_owners(new.objectives) o)
         order by u.id for share
    loop
        if user_here(owner) is null then
            new.objectives := objectives_hand_over(new.objectives, owner, null);
        end if;
    end loop;
    return new;
end $$;

-- Gives all that a person answers for to the heir, and what names the person without keeping anybody from leaving:
-- covers and counterparts. A manager does not cover for himself.
create or replace function user_hand_over(person uuid, heir uuid) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    update account a
       set manager_id = n.manager_id, sponsor_id = n.sponsor_id, delegate_id = nullif(n.delegate_id, n.manager_id),
           delegate_until = case when n.delegate_id <> n.manager_id or n.manager_id is null then a.delegate_until end,
           version = a.version + 1, updated_at = now()
      from (select b.id, case b.manager_id when person then heir else b.manager_id end as manager_id,
                   case b.sponsor_id when person then heir else b.sponsor_id end as sponsor_id,
                   case b.delegate_id when person then heir else b.delegate_id end as delegate_id
              from account b
             where person in (b.manager_id, b.sponsor_id, b.delegate_id)) n
     where n.id = a.id and a.deleted_at is null;
    update follow_up f set assignee_id = heir, version = f.version + 1, updated_at = now()
     where f.assignee_id = person and f.status = 'open' and f.deleted_at is null;
    update commitment c set made_by_id = heir, version = c.version + 1, updated_at = now()
     where c.made_by_id = person and c.status = 'open' and c.deleted_at is null;
    update plan p
       set objectives = objectives_hand_over(p.objectives, person, heir), version = p.version + 1, updated_at = now()
     where p.id in (select d.record_id from user_duties(person) d where d.duty in ('objectives', 'actions'));
    update project p set owner_id = heir, version = p.version + 1, updated_at = now()
     where p.owner_id = person and p.status in ('planned', 'active') and p.deleted_at is null;
    update need n set owner_id = heir, version = n.version + 1, updated_at = now()
     where n.owner_id = person and n.status <> 'resolved' and n.deleted_at is null;
    update solution s set owner_id = heir, version = s.version + 1, updated_at = now()
     where s.owner_id = person and s.status in ('proposed', 'agreed') and s.deleted_at is null;
    update contact c set mirror_user_id = heir, version = c.version + 1, updated_at = now()
     where c.mirror_user_id = person and c.deleted_at is null;
    update program_settings s set fallback_alert_user_id = heir, version = s.version + 1, updated_at = now()
     where s.fallback_alert_user_id = person;
end $$;
revoke execute on function user_hand_over(uuid, uuid) from kamd_app;

-- Ends a person's activity after the heir has taken over all that the person answers for: all of it or nothing. Only
-- for callers whose scope is all accounts. Somebody who has left already hands over what is left. The rows of both are
-- locked first, so that nobody gives the person something, and the heir does not leave, meanwhile.
create or replace function user_deactivate(person uuid, heir uuid) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if session_setting('scope') is distinct from 'all' then
        raise exception using errcode = 'KD403', message = 'forbidden',
            detail = 'Only who sees all accounts hands them over.';
    end if;
    perform 1 from app_user u where u.id in (person, heir) order by u.id for no key update;
    if user_here(heir) is null then
        raise exception using errcode = 'KD422', message = 'user_has_left', column = 'transfer_to_id',
            detail = format('%s has left, and takes on nothing new.',
                            (select u.name from app_user u where u.id = heir));
    end if;
    perform user_hand_over(person, heir);
    update app_user u set active = false, version = u.version + 1, updated_at = now()
     where u.id = person and u.active;
end $$;
