// What a kernel around a matrix product includes.
#pragma once
#include "matmul.h"
#include "rows.h"

namespace tapeout {

// matmul with N outputs: epilogue(row, column, sums, span, lanes) with lanes known when compiled.
template <class X, i64 N, class RowOf, class Epilogue, class... W>
inline void matmul_columns(i64 rows, i64 k, i64 *ticket, int num_workers,
                           const product_choice &choice, RowOf row_of, Epilogue epilogue,
                           const W *...w) {
    constexpr i64 WHOLE = N / LANES;
    constexpr int REST = N % LANES;
    const auto block = [&](i64 row, i64 b, const float *sums, i64 span) {
        if (b < WHOLE) return epilogue(row, b * LANES, sums, span, lanes_t<LANES>());
        if constexpr (REST > 0) epilogue(row, b * LANES, sums, span, lanes_t<REST>());
    };
    matmul<X>(rows, ceil_div(N, LANES), k, ticket, num_workers, choice, row_of, block, w...);
}

}  // namespace tapeout
