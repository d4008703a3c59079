-- What is called for each delivery that is claimed is one expression, so that the planner puts it in the place of the call.
-- min-binary: 29
create or replace function webhook_delivery_id(at_position bigint, number bigint) returns uuid immutable strict parallel safe language sql as $$
    select (left(lpad(to_hex(at_position), 15, '0'), 12) || '8' || right(lpad(to_hex(at_position), 15, '0'), 3) || '8' || lpad(to_hex(number), 15, '0'))::uuid
$$;
