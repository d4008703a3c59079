/* Errors as clients see them: RFC 9457 problem documents, and the pages that their `type` points
 * to. */
#ifndef API_PROBLEM_H
#define API_PROBLEM_H

#include "http.h"

/* Fills the answer: status, body (type, title, status, detail, instance, code, request_id,
 * errors[], retry_after_seconds, current_etag, and err->extra), Retry-After, ETag for 412. Headers
 * set before stay (WWW-Authenticate, Allow). Media type application/problem+json, or
 * application/json where Accept takes only that. A 5xx shows the problem's own text, never
 * err->detail. PROBLEM_NONE is taken for PROBLEM_INTERNAL. */
void problem_answer(const struct err *err, const struct request *request, struct answer *answer);
/* The same in one line: problem_say(PROBLEM_NOT_FOUND, request, answer, NULL). */
void problem_say(enum problem problem, const struct request *request, struct answer *answer,
                 const char *detail);
/* GET /problems/{code}: JSON, or a small HTML page where Accept prefers text/html. False: no such
 * code, answer untouched. */
bool problem_page(struct str code, const struct request *request, struct answer *answer);

#endif
