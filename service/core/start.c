#include "core/start.h"

#include "core/crypto.h"
#include "core/json.h"

#include <locale.h>

bool core_start(void) {
    setlocale(LC_NUMERIC, "C");
    json_start();
    return crypto_start();
}
