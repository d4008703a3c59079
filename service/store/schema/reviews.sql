-- Reviews: their series and the events that tell of them, what a held one makes of its plan, and the ratings of the
-- seven buyer expectations (003-05 to 003-12).

-- Checks a review before it is written: its time zone exists, and one that was held stays held. A series counts its
-- dates from its anchor, so that the 31st is not forgotten in February. Here the anchor begins as the due date, and
-- moves to it when the cadence changes, or when the first review of the series is moved. One that is scheduled again
-- counts anew for review_account_id_cadence_key, also where the next review of its series was made (`continued`).
create or replace function review_keep() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' or (new.due_on, new.time_zone) is distinct from (old.due_on, old.time_zone) then
        begin
            perform day_begin(new.due_on, new.time_zone);
        exception when invalid_parameter_value then
            raise exception using errcode = 'KD422', message = 'validation_failed', column = 'time_zone',
                                  detail = 'There is no such time zone.';
        end;
    end if;
    if tg_op = 'INSERT' then
        new.anchor_on := coalesce(new.anchor_on, new.due_on);
    elsif old.status = 'held' and new.status <> 'held' then
        raise exception using errcode = 'KD409', message = 'conflict', column = 'status',
                              detail = 'The review was held; that cannot be undone.';
    elsif new.cadence <> old.cadence or (new.due_on <> old.due_on and old.series_no = 0) then
        new.anchor_on := new.due_on;
        new.series_no := 0;
    end if;
    if new.status = 'held' then
        new.held_at := coalesce(new.held_at, now());
    elsif tg_op = 'UPDATE' and new.status = 'scheduled' and old.status <> 'scheduled' then
        new.continued := false;
    end if;
    return new;
end $$;

-- The participants of a review who take part in the next one: all but the people of ours who are gone, and the contacts
-- who are deleted or with another account now.
create or replace function review_participants(r review) returns jsonb stable language sql as $$
    select coalesce(jsonb_agg(p.one order by p.nth), '[]')
      from jsonb_array_elements(r.participants) with ordinality p(one, nth)
     where not exists (select 1 from app_user u
                        where u.id = (p.one ->> 'user_id')::uuid and (u.deleted_at is not null or not u.active))
       and not exists (select 1 from contact c
                        where c.id = (p.one ->> 'contact_id')::uuid
                          and (c.deleted_at is not null or c.account_id <> r.account_id))
$$;

-- Makes the review that follows `r` in its series, on the first of its dates that is after `r` and not before
-- `earliest`, and returns its id; where there is a following review already, returns that one's. The new review has the
-- same participants and is of the same plan, unless that was closed or deleted. The caller has locked the review, which
-- is scheduled still: the mark `continued` makes room for the next one. Null: the account has another scheduled review
-- of the cadence.
create or replace function review_next(r review, earliest date) returns uuid language plpgsql as $$
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
    update review t set continued = true where t.id = r.id;
    insert into review (id, account_id, plan_id, cadence, due_on, time_zone, participants, anchor_on, series_no,
                        previous_review_id)
    select uuid_v7(), r.account_id,
           (select p.id from plan p where p.id = r.plan_id and p.status <> 'closed' and p.deleted_at is null),
           r.cadence, due, r.time_zone, review_participants(r), anchor, no, r.id
    on conflict (account_id, cadence) where status = 'scheduled' and deleted_at is null and not continued do nothing
    returning id into made;
    return made;
end $$;

-- Does what the outcome of a review says, before the review itself is written as held: 'adapt' makes a version of the
-- plan, 'replace' closes the plan, any other outcome leaves the plan alone; then the next review is made. `plan_id` is
-- the review's plan, or the account's active one; `said` has what replaces fields of the review. Nobody else completes
-- the review meanwhile: the caller has locked it.
create or replace function review_finish(review_id uuid, plan_id uuid, said jsonb) returns void
language plpgsql as $$
declare
    r review;
    outcome text;
begin
    select * into r from review t where t.id = review_finish.review_id;
    outcome := coalesce(said ->> 'outcome', r.outcome);
    r.participants := coalesce(nullif(said -> 'participants', 'null'), r.participants);
    if outcome in ('adapt', 'replace') then
        if plan_id is null then
            raise exception using
                errcode = 'KD422', message = 'validation_failed', column = 'outcome',
                detail = format('The review is of no plan, and none of the account is active: there is nothing to %s.',
                                outcome);
        end if;
        perform plan_lock(plan_id);
        if outcome = 'adapt' then
            perform plan_version_make(plan_id, 'adapted', r.id, null, null);
        else
            update plan t set status = 'closed', version = t.version + 1, updated_at = now()
             where t.id = review_finish.plan_id;
        end if;
    end if;
    r.plan_id := plan_id;
    perform review_next(r, r.due_on);
end $$;

-- Tells of reviews that became held or missed, and names what each one made: a version of the plan, the next review,
-- follow-ups. enable_nestloop is off for the join of the states before and after, which a connection plans once, and
-- mostly for one row: nested loops would compare each of thousands of rows with each.
create or replace function review_tell() returns trigger
language plpgsql security definer set search_path = public, pg_temp set enable_nestloop = off as $$
begin
    perform event_write(array_agg(
               row (case n.status when 'held' then 'review.completed' else 'review.missed' end,
                    n.account_id, 'review', n.id, n.version, null,
                    jsonb_strip_nulls(jsonb_build_object(
                        'account_id', n.account_id, 'review_id', n.id, 'version', n.version, 'plan_id', n.plan_id,
                        'cadence', n.cadence, 'due_on', n.due_on, 'time_zone', n.time_zone, 'outcome', n.outcome,
                        'held_at', utc_text(n.held_at),
                        'plan_version_no', (select v.version_no from plan_version v where v.review_id = n.id),
                        'next_review_id', (select x.id from review x where x.previous_review_id = n.id),
                        'follow_up_ids', (select jsonb_agg(f.id order by f.id) from follow_up f
                                           where f.review_id = n.id and f.deleted_at is null))),
                    jsonb_build_object('version', o.version, 'status', o.status))::event_in
               order by n.due_on, n.id))
       from new_rows n join old_rows o on o.id = n.id
      where n.status in ('held', 'missed') and o.status <> n.status;
    return null;
end $$;

-- Tells of at most `most` reviews that are due, then calls at most `most` missed and makes the next of their series;
-- returns how many. A review is due when its day begins in its time zone, by PostgreSQL's clock. It is missed when
-- review_grace_days are over, which run at least since the review was entered, and only after it was told to be due:
-- one whose row another transaction held is passed over when the due ones are told, and would be missed a moment later
-- by the same call. `earliest` for the next review is a day that is not missed yet.
create or replace function reviews_fire(most int) returns int
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    evs event_in[];
    r review;
    grace int := (select review_grace_days from program_settings);
    -- today's date where the day begins first
    furthest date := ((clock_timestamp() at time zone 'UTC') + interval '14 hours')::date;
    n int := 0;
begin
    -- Those that were told stay scheduled for days: they are left out before anything is worked out.
    with waiting as materialized (
        select t.id from review t
         where t.status = 'scheduled' and t.deleted_at is null and t.due_on <= furthest
           and not exists (select 1 from review_told d where d.review_id = t.id and d.due_on = t.due_on)
    ), due as materialized (
        select t.* from review t join waiting w on w.id = t.id
         where t.status = 'scheduled' and t.deleted_at is null and day_begin(t.due_on, t.time_zone) <= clock_timestamp()
         order by t.due_on
         limit most
           for update of t skip locked
    ), told as (
        insert into review_told (review_id, due_on, account_id)
        select id, due_on, account_id from due
        on conflict do nothing
        returning review_id
    )
    select array_agg(
               row ('review.due', d.account_id, 'review', d.id, d.version, 'review.due:' || d.id || ':' || d.due_on,
                    jsonb_strip_nulls(jsonb_build_object(
                        'account_id', d.account_id, 'review_id', d.id, 'version', d.version, 'plan_id', d.plan_id,
                        'cadence', d.cadence, 'due_on', d.due_on, 'time_zone', d.time_zone)),
                    '{}')::event_in
               order by d.due_on, d.id)
      into evs
      from due d join told t on t.review_id = d.id;
    perform event_write(evs);
    for r in
        select t.* from review t
         where t.status = 'scheduled' and t.deleted_at is null and t.due_on <= furthest - grace - 1
           and day_begin(t.due_on + grace + 1, t.time_zone) <= clock_timestamp()
           and t.created_at + make_interval(days => grace) <= clock_timestamp()
           and exists (select 1 from review_told d where d.review_id = t.id and d.due_on = t.due_on)
         order by t.due_on
         limit most
           for update skip locked
    loop
        perform review_next(r, (clock_timestamp() at time zone r.time_zone)::date - grace);
        update review t set status = 'missed', version = t.version + 1, updated_at = now() where t.id = r.id;
        n := n + 1;
    end loop;
    return n + coalesce(cardinality(evs), 0);
end $$;
revoke execute on function reviews_fire(int) from kamd_app;

-- All ratings (1 to 5) of buyer expectations, by the customer and by us ('internal'): those of held reviews, and those
-- that came without a review. `source` is the id of the review or of the rating. Of these accounts; null: of all.
create or replace function buyer_ratings(accounts uuid[])
returns table (account_id uuid, at timestamptz, source uuid, expectation text, rater text, rating int)
stable language sql as $$
    select r.account_id, coalesce(r.held_at, r.updated_at), r.id, e ->> 'expectation', v.rater, v.rating
      from review r, jsonb_array_elements(r.expectations) e,
           lateral (values ('customer', (e ->> 'customer')::int), ('internal', (e ->> 'internal')::int))
                   v(rater, rating)
     where (accounts is null or r.account_id = any (accounts)) and r.status = 'held' and r.deleted_at is null
       and v.rating is not null
    union all
    select x.account_id, x.rated_at, x.id, x.expectation, x.rater, x.rating
      from expectation_rating x
     where (accounts is null or x.account_id = any (accounts)) and x.deleted_at is null
$$;

-- The seven expectations of an account, rated or not, with the gap (ours less theirs: above zero, we think better of
-- ourselves than they do), the trend of the customer's rating, and the weakest one. `own`: the ratings of the review
-- `own_id`, compared with the latest ones up to `until` (null: now) from elsewhere; null: the account's latest ratings,
-- compared with the ones before them.
create or replace function expectation_result(account uuid, own jsonb, own_id uuid, until timestamptz) returns jsonb
stable language sql as $$
    with past as materialized (
        select x.*, row_number() over (partition by x.expectation, x.rater order by x.at desc, x.source desc)
                    + case when own is null then 0 else 1 end as nth
          from buyer_ratings(array [account]) x
         where x.at <= coalesce(until, now()) and x.source is distinct from own_id
    ), rated as (
        select expectation, rater, nth, rating, at from past
        union all
        select e ->> 'expectation', v.rater, 1, v.rating, until
          from jsonb_array_elements(own) e,
               lateral (values ('customer', (e ->> 'customer')::int), ('internal', (e ->> 'internal')::int))
                       v(rater, rating)
         where v.rating is not null
    ), seven as (
        select u.name, u.ord,
               max(r.rating) filter (where r.rater = 'customer' and r.nth = 1) as customer,
               max(r.rating) filter (where r.rater = 'internal' and r.nth = 1) as internal,
               max(r.rating) filter (where r.rater = 'customer' and r.nth = 2) as customer_before,
               max(r.rating) filter (where r.rater = 'internal' and r.nth = 2) as internal_before
          from unnest(array ['responsible_for_results', 'understands_business', 'on_our_side', 'right_applications',
                             'accessible', 'solves_problems', 'creative']) with ordinality u(name, ord)
          left join rated r on r.expectation = u.name
         group by 1, 2
    )
    select jsonb_build_object(
               'items', jsonb_agg(
                   jsonb_build_object(
                       'expectation', name, 'customer', customer, 'internal', internal, 'gap', internal - customer,
                       'customer_before', customer_before, 'gap_before', internal_before - customer_before,
                       'trend', customer - customer_before)
                   order by ord),
               'weakest', (select w.name from seven w
                            where w.customer is not null
                            order by w.customer, w.internal - w.customer desc nulls last, w.ord
                            limit 1),
               'rated_at', (select utc_text(max(at)) from rated where nth = 1))
      from seven
$$;
