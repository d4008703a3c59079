-- Who sees which promises were broken and which gaps of attention opened.

call rls_by_area('cadence_missed', 'account_id', 'interactions');

call rls_by_area('attention_gap', 'account_id', 'sales');
