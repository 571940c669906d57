/* The call of one kernel, shared by the emitted kernels and the player. */
#ifndef TAPEOUT_ABI_H
#define TAPEOUT_ABI_H

#include <stdint.h>

typedef struct {
    void *const *buffers;   /* 64-byte aligned, in the order of the tape's launch */
    const int64_t *scalars; /* the launch's expressions, evaluated for this step */
    int64_t *ticket;        /* zero at the start of each launch; shared by the workers */
} tapeout_launch;

/* Any number of workers call the kernel at once. It takes all its work from the ticket and returns
 * when that is used up; a call that comes too late writes nothing. */
typedef void (*tapeout_kernel)(const tapeout_launch *launch, int num_workers);

/* Libraries are built with hidden symbols; what is called from outside says so. */
#define TAPEOUT_EXPORT __attribute__((visibility("default")))

#endif
