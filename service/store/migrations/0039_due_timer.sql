-- What due_timer() of 0035 sets for its second step ends with it, not with the transaction: what is set in a function only does so where the function says SET, too.
-- min-binary: 29
alter function due_timer() set enable_hashjoin = on;
alter function due_timer() set enable_mergejoin = on;
alter function due_timer() set enable_seqscan = on;
