/* iCalendar text (RFC 5545): content lines, escaped and folded. */
#ifndef KAMD_DOMAIN_ICALENDAR_H
#define KAMD_DOMAIN_ICALENDAR_H

#include "core/buf.h"

/* "NAME:value" and CRLF. Lines are folded after 75 octets, never inside of a character. */
void ical_line(struct buf *ret, const char *name, struct str value);
/* The same for a value of type TEXT: backslash, semicolon, comma and line ends are escaped, other
 * control characters left out. */
void ical_text(struct buf *ret, const char *name, struct str value);

#endif
