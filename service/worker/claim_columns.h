/* What claim_settle.c claims has these columns; full_payload.c reads some of them, too. */
#ifndef KAMD_WORKER_CLAIM_COLUMNS_H
#define KAMD_WORKER_CLAIM_COLUMNS_H

/* Of a delivery (SQL_CLAIM). */
enum claim_column {
    C_DELIVERY,
    C_ENDPOINT,
    C_POSITION,
    C_N,
    C_BASE,
    C_LANE,
    C_ACCOUNT,
    C_EVENT,
    C_TYPE,
    C_AT,
    C_SEQUENCE,
    C_TRACEPARENT,
    C_DATA,
    C_PREVIOUS
};

/* Of an endpoint (SQL_ENDPOINTS). */
enum endpoint_column {
    ENDPOINT_ID,
    ENDPOINT_URL,
    ENDPOINT_ORDERED,
    ENDPOINT_FAILURES,
    ENDPOINT_PAUSES,
    ENDPOINT_NOW_US,
    ENDPOINT_HEADERS,
    ENDPOINT_FULL
};

#endif
