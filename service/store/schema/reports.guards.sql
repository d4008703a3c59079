-- Who sees which promises were broken and which gaps of attention opened.

call protect_area('cadence_missed', 'account_id', 'interactions');

call protect_area('attention_gap', 'account_id', 'sales');
