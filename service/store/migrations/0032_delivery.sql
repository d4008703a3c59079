-- What is called for each delivery that is claimed is one expression, so that the planner puts it in the place of the call.
-- min-binary: 29
create or replace function webhook_delivery_id(at_position bigint, number bigint) returns uuid immutable strict parallel safe language sql as $$
    select (left(lpad(to_hex(at_position), 15, '0'), 12) || '8' || right(lpad(to_hex(at_position), 15, '0'), 3) || '8' || lpad(to_hex(number), 15, '0'))::uuid
$$;

-- As in 0005, in time that grows with the number of rows: one head of each lane is found first. (Row by row, the planner looked through all that wait, since it
-- cannot know how many have just become so; what a lost worker left behind could then take longer than a claim may.)
create or replace function webhook_lanes(endpoints uuid[], accounts uuid[]) returns void language plpgsql security definer set search_path = public, pg_temp as $$
begin
    with heads as materialized (
        select h.endpoint_id, h.account_id, min(h.position) as position from webhook_retry h
         where h.endpoint_id = any (endpoints) and h.account_id = any (accounts) and h.lane and h.state = 'waiting' and h.next_at > now()
         group by h.endpoint_id, h.account_id
    )
    update webhook_retry r set state = 'parked', next_at = null
      from heads h
     where r.endpoint_id = h.endpoint_id and r.account_id = h.account_id and r.lane and r.state = 'waiting' and r.position > h.position;
    with heads as materialized (
        select h.endpoint_id, h.account_id, min(h.position) as position from webhook_retry h
         where h.endpoint_id = any (endpoints) and h.account_id = any (accounts) and h.lane and h.state = 'waiting' and h.next_at > now()
         group by h.endpoint_id, h.account_id
    ), free as materialized (
        select r.delivery_id from webhook_retry r left join heads h on h.endpoint_id = r.endpoint_id and h.account_id = r.account_id
         where r.endpoint_id = any (endpoints) and r.account_id = any (accounts) and r.lane and r.state = 'parked'
           and (h.position is null or h.position >= r.position)
    )
    update webhook_retry r set state = 'waiting', next_at = now() from free f where r.delivery_id = f.delivery_id;
end $$;
