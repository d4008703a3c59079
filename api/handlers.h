/* Routes for which a use case alone does not do. Private to the API. */
#ifndef API_HANDLERS_H
#define API_HANDLERS_H

#include "app/reports.h"
#include "call.h"

typedef void handler(struct call *call);

handler agenda_calendar, section_write, report_show, events_stream, changes_show, resource_export;
handler tokens_add;
extern const char *const oauth_errors[]; /* by enum oauth_error; NULL-terminated */
handler livez, readyz, openapi_show, openapi_salesforce_show, docs_show, problem_show;

/* What report_show() shows at this route; NULL: nothing. */
const struct report *route_report(const struct route *route);

#endif
