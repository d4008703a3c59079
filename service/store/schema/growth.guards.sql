-- Who sees needs, solutions and investments, and what follows a change of one.

call rls_by_area('need', 'account_id', 'interactions');
call log_changes('need', 'need', 'account_id', 'events');
call track_external_ids('need', 'need', 'account_id');
create or replace trigger need_step before insert or update on need for each row execute function need_step();

call rls_by_area('solution', 'account_id', 'interactions');
call log_changes('solution', 'solution', 'account_id', 'events');
call track_external_ids('solution', 'solution', 'account_id');
call enforce_references('solution', 'need_ids', 'need');
call enforce_references('solution', 'agreed_with', 'contact');
create or replace trigger need_ids_lower before insert or update on solution for each row
    when (new.need_ids <> '{}') execute function need_ids_lower();

call rls_by_area('investment', 'account_id', 'economics');
call log_changes('investment', 'investment', 'account_id', 'events');
call track_external_ids('investment', 'investment', 'account_id');
