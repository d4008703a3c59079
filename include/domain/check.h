/* Checks of single values, for descriptors and parameters. A check answers NULL when the text is
 * fine, else a static, short sentence without subject for people ("must be ..."). None of them
 * allocates or does I/O; any bytes are safe. */
#ifndef KAMD_DOMAIN_CHECK_H
#define KAMD_DOMAIN_CHECK_H

#include "core/clock.h"
#include "core/str.h"

#define PHONE_TEXT 20 /* '+', at most 15 digits, NUL, and some room */

/* RFC 5321 mailbox in practice: dot-atom of at most 64, "@", a host name with a dot; at most 254
 * together, ASCII, no quoted local parts, no address literals. */
const char *check_email(struct str text);
/* E.164 as it is stored: '+' and 8 to 15 digits, the first not 0. */
const char *check_phone(struct str text);
/* Any international spelling ("+49 (0)30 1234-567", "0049.30.1234567", "tel:+49/301234567") as
 * E.164, for recognition. False when it cannot be: without country code nobody can tell which
 * country is meant. */
bool phone_normalise(struct str text, char ret[static PHONE_TEXT]);
/* RFC 1123 host name in lower case with at least one dot; at most 253; the last label is not a
 * number. International names as their A-labels (xn--...). */
const char *check_domain(struct str text);
/* Absolute https or http URL (RFC 3986) of a named host, at most 2,048, without user info. */
const char *check_url_https(struct str text);
/* ISO 4217 alphabetic code of a currency in use: without metals, testing codes and "none". */
const char *check_currency(struct str text);
/* ISO 3166-1 alpha-2, officially assigned. */
const char *check_country(struct str text);
/* IANA time zone by shape only ("UTC" or "Area/Location" of a known area): PostgreSQL, which holds
 * the zones, has the last word. */
const char *check_zone(struct str text);
/* "YYYY-MM-DD", a real day of the years 1900 to 2999. */
const char *check_date(struct str text);
/* A year, half, quarter or month: "2026", "2026-H1", "2026-Q3", "2026-07"; years 1900 to 2999. SQL:
 * period_days(). */
const char *check_period(struct str text);
/* RFC 3339 with an offset and at most six decimals; years 1900 to 2999; no leap seconds. */
const char *check_time(struct str text);
/* The same instant in UTC with microseconds, as time_text() writes it; false when check_time()
 * complains. */
bool time_parse(struct str text, char ret[static TIME_TEXT]);
/* Microseconds since 1970. */
bool time_parse_us(struct str text, int64_t *ret);
/* -?digits[.digits] without superfluous zeros in front and without exponent; at most so many digits
 * before and after the point. */
const char *check_decimal(struct str text, int int_digits, int places);
/* A name for machines: a-z first, then a-z, 0-9, and single '_' or '-' between them; at most 64. */
const char *check_slug(struct str text);
/* Any text with a letter, a digit, or a sign beyond ASCII. */
const char *check_tag(struct str text);
/* BCP 47 by shape: language, optional script, optional region: "de", "pt-BR", "zh-Hant-TW". */
const char *check_language(struct str text);
/* 8-4-4-4-12 hexadecimal digits, of any case and version. */
const char *check_uuid(struct str text);
/* A header that somebody adds to what kamd sends: letters, digits, '-', '_'; none that is hop by
 * hop, or that the message or its signature needs. */
const char *check_header_name(struct str text);
/* Printable ASCII without a space at either end, at most 1,000. */
const char *check_header_value(struct str text);

#endif
