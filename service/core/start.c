/* Sets up the state that libraries share over the whole process: the decimal point of the C locale,
 * jansson's hash seed, and libsodium. */
#include "core/start.h"

#include "core/crypto.h"
#include "core/json.h"

#include <locale.h>

bool core_start(void) {
    setlocale(LC_NUMERIC, "C");
    json_start();
    return crypto_start();
}
