-- Accounts by -score come in the order of this index, also those of one score, and those that have none. With the ids
-- the other way round, PostgreSQL read all of one score and sorted them for each page. Nobody who writes waits for it.
-- no-transaction
-- min-binary: 29
drop index concurrently if exists standing_order_idx;
create index concurrently standing_order_idx on standing (score desc nulls last, account_id desc);
drop index concurrently if exists standing_score_idx;
