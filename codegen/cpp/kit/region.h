// All that an emitted region may use.
#pragma once
#include "attention.h"
#include "experts.h"
#include "linear.h"
#include "rows.h"
#include "sample.h"
#include "tapeout_abi.h"

// The head of a kernel: the only kind of name a library of kernels exports.
#define TAPEOUT_KERNEL(name)                                           \
    extern "C" TAPEOUT_EXPORT void name(                               \
        [[maybe_unused]] const tapeout_launch *launch,                 \
        [[maybe_unused]] int num_workers)
