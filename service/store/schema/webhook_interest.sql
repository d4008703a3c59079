-- What webhook endpoints want. The view comes before the files whose functions have its rows as parameters: files are
-- applied in the order of their names.

-- What an endpoint wants, in a form that is quick to compare: patterns of types, accounts, and, unless its maker saw
-- all, the accounts that its owner sees now; and of which endpoints it is told what becomes of them: null of all, as an
-- admin made it.
create or replace view webhook_interest with (security_invoker = true) as
select e.id as endpoint_id, e.event_types as types,
       cardinality(e.event_types) = 0 or '*' = any (e.event_types) as every_type,
       array(select replace(left(t, -1), '_', '\_') || '%' from unnest(e.event_types) t where right(t, 2) = '.*')
           as prefixes,
       e.account_ids::uuid[] as accounts,
       case when e.owner_scope <> 'all'
            then array(select a.account_id from account_access a where a.user_id = e.owner_user_id
                          and a.visible_from <= now() and a.visible_until > now()) end as visible,
       e.changed_fields, e.account_tiers as tiers, e.account_key_statuses as statuses,
       cardinality(e.account_tiers) + cardinality(e.account_key_statuses) > 0 as by_status,
       case when e.reach >> 41 & 1 = 0
            then array(select s.id from webhook_endpoint s where s.actor = e.actor) end as siblings
  from webhook_endpoint e;
