#include "cli/bulk_cost.h"

double
bulk_cost_usd(struct slice raw)
{
    double usd;
    if (raw.len >= 2 && raw.data[0] == '"' && raw.data[raw.len - 1] == '"')
        raw = slice_make(raw.data + 1, raw.len - 2);
    return text_parse_double(raw, &usd) == 0 && usd >= 0 ? usd : -1;
}
