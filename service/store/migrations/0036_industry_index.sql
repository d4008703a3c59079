-- A page of an industry's accounts, by name: without it PostgreSQL read all accounts and sorted what it found. Nobody who writes waits for it.
-- no-transaction
-- min-binary: 29
drop index concurrently if exists account_industry_idx;
create index concurrently account_industry_idx on account (industry, name, id) where deleted_at is null;
