/* An answer of many pages: each is read when the one before it has been sent, by the thread that
 * sends it, as a request for a list would be. Private to the server. */
#ifndef API_DOWNLOAD_H
#define API_DOWNLOAD_H

#include "conn.h"

/* Makes `to` the export's answer; takes the export over in any case. */
void download_answer(struct conn *conn, struct export *export, bool head_only,
                     struct _u_response *to);

#endif
