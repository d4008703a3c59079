-- The waiting list (requirement 002-20), best first: what stands in the way of each, and how many regions nominated it (001-08).
create function report_candidates(params jsonb) returns jsonb stable set enable_nestloop = off language sql as $$
with loads as materialized (
    select * from key_list_loads()
), places as (
    select p.max_key_accounts as most, (select coalesce(sum(l.key_accounts), 0) from loads l) as taken from program p
), rows as (
    select row_number() over (order by s.score desc nulls last, a.account_number, a.id) as n, a.id, a.account_number, a.name, a.manager_id, s.score, s.score_rank, s.contributions, s.missing,
           s.status_since, array_remove(array [
               case when coalesce(f.sales_cycle, a.sales_cycle) = 'transactional' then 'transactional' end,
               case when f.verdict = 'unsuitable' then 'fit_check_unsuitable' end,
               case when g.require_fit_check and coalesce(f.checked_on < current_date - g.fit_check_max_age_days, true) then 'fit_check_required' end,
               case when u.capacity <= coalesce(l.key_accounts, 0) then 'manager_capacity' end], null) as blocked_by,
           (select count(*) from nomination n where n.account_id = a.id and n.status = 'open' and n.deleted_at is null) as open_nominations
      from standing s join account a on a.id = s.account_id and a.deleted_at is null cross join program_settings g
      left join fit_check f on f.account_id = a.id and f.deleted_at is null
      left join app_user u on u.id = a.manager_id left join loads l on l.manager_id = a.manager_id
     where s.key_status = 'candidate'
)
select jsonb_build_object(
    'data', coalesce(jsonb_agg(jsonb_build_object('rank', r.n, 'account_id', r.id, 'account_number', r.account_number, 'name', r.name, 'manager_id', r.manager_id, 'score', r.score::text,
                 'score_rank', r.score_rank, 'contributions', r.contributions, 'missing', to_jsonb(r.missing), 'waiting_since', report_time(r.status_since), 'blocked_by', to_jsonb(r.blocked_by), 'open_nominations', r.open_nominations) order by r.n)
                     filter (where r.n > report_after(params) and r.n <= report_last(params)), '[]'),
    'places', (select jsonb_build_object('max', p.most, 'taken', p.taken, 'free', greatest(p.most - p.taken, 0)) from places p),
    'page', report_page(params, count(*)))
  from rows r
$$;
