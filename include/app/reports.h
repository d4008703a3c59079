/* Reports of the program: each is one SQL function from parameters to a document, shown as JSON, as
 * CSV, or drawn. */
#ifndef KAMD_APP_REPORTS_H
#define KAMD_APP_REPORTS_H

#include "app/query.h"
#include "app/records.h"

struct report;

extern const char *const report_formats[]; /* NULL-terminated */
extern const char
    *const report_formats_drawn[]; /* of a report that can be drawn; NULL-terminated */
/* NULL: there is none. `name` as in its path: "attention-gap". */
const struct report *report_by_name(struct str name);
/* The SQL function: parameters as jsonb, the document as jsonb. */
const char *report_function(const struct report *report);
/* The parameters that it takes beside format, page_size and cursor. */
const struct query_param *report_params(const struct report *report);

/* Answers at once, unless the caller sees more than KAMD_REPORT_ACCOUNTS accounts, or the database
 * cannot do it in time: then 202 with an operation, and the report itself when the same is asked
 * again once that is done. Callers who do not see all accounts always get it at once. */
bool report_get(struct action *action, const struct report *report, struct outcome *outcome,
                struct err *err);

#endif
