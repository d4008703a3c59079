/* Makes the anchors of the audit: signs how far its hash chains have grown, and writes that to
 * the log too, which a manipulated database cannot change. */
#include "worker_state.h"

#include "app/audit.h"
#include "core/log.h"
#include "core/metrics.h"

#include <stdio.h>

#define ANCHOR_MS 5000
#define CHAINS "5000" /* of one anchor: it shares its thread with the lease */

#define ANCHOR_SQL                                                                                 \
    "select body, more, body::jsonb ->> 'anchor_no' from audit_anchor_next($1::int, " CHAINS ")"
enum { ANCHOR_BODY, ANCHOR_MORE, ANCHOR_NO };

static void tell(struct str body, const struct audit_signature *signature) {
    LOG(LOG_INFO, "audit_anchor", LOG_T("body", body), LOG_S("key_id", signature->key_id),
        LOG_S("signature", signature->signature));
}

bool loop_anchors(struct worker *worker, bool *ret_more, struct err *err) {
    struct tx *tx CLEANUP(tx_end) = NULL;
    struct audit_signature signature;
    char every[12];

    *ret_more = false;
    snprintf(every, sizeof(every), "%d", worker->options.config->audit_anchor_ms);
    if (!(tx = tx_begin(worker->options.store, TX_WRITE, &worker_context, deadline_in_ms(ANCHOR_MS),
                        err)))
        return false;
    size_t slot = tx_query(tx, ANCHOR_SQL, (struct str[]){str_of(every)}, 1);
    if (!tx_flush(tx, err))
        return false;
    struct str body = tx_value(tx, slot, 0, ANCHOR_BODY);
    *ret_more = tx_bool(tx, slot, 0, ANCHOR_MORE);
    if (body.ptr == NULL)
        return tx_commit(tx, err); /* how far it has looked */
    if (!audit_sign(worker->options.keyring, body, &signature))
        return err_memory(err);
    const struct str params[] = {body, str_of(signature.key_id), str_of(signature.public_key),
                                 str_of(signature.sealed), str_of(signature.signature)};
    tx_query(tx,
             "select audit_anchor_write($1, $2, decode($3, 'hex'), decode($4, 'hex'), decode($5, "
             "'hex'))",
             params, 5);
    if (!tx_commit(tx, err))
        return false;
    metrics_set(METRIC_AUDIT_ANCHOR, 0, (double)tx_int(tx, slot, 0, ANCHOR_NO));
    tell(body, &signature);
    return true;
}
