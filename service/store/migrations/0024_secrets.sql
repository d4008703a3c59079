-- Sealed values outlive the master key that sealed them: `kamd rotate-secrets` seals them anew.

-- Until now a pair followed from the master key and its number, and would have been another one under another master key.
alter table webhook_key add column sealed bytea;
comment on column webhook_key.sealed is 'The seed of the pair, sealed by the program; null until a worker has started once since this came.';

-- Of values that are sealed only the seal may change, and only by the workers' role.
grant update (sealed) on webhook_secret to kamd_worker;
