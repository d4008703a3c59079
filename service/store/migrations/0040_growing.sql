-- A plan that 0035 keeps may have been made while its table was empty: it uses the index from the beginning. (What reads a table of one row is none of these: to read
-- one without an index while that is switched off counts as so dear that PostgreSQL compiles it.)
-- min-binary: 29
alter function account_tree() set enable_seqscan = off;
alter function stay_in_touch_mark(uuid[]) set enable_seqscan = off;
alter function order_sums_add(day_sales[]) set enable_seqscan = off;
