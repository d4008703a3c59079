-- review_finish() does what review_conclude() did, and is told more of the review that ends.
-- min-binary: 55

drop function if exists review_conclude(uuid, uuid, text); -- a new database never had it
