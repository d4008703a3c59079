/* Rate limits on the way of a request. Who shows a key is counted under it; what anybody may read
 * is counted for the network address. A wrong key is counted for the address, too, but only after
 * it was found wrong: so wrong keys keep no good one out. */
#ifndef API_LIMIT_H
#define API_LIMIT_H

#include "call.h"

bool limit_metrics(void);
/* After authentication. False: TOO_MANY_REQUESTS. */
bool limit_admit(struct call *call);
/* The caller could not show who they are: the problem is TOO_MANY_REQUESTS if that happens too
 * often from there. */
void limit_stranger(struct call *call);
/* The answer was 304: it is free. */
void limit_return(struct call *call);

#endif
