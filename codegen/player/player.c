/* The player: walks a tape of kernel launches with a pool of threads. It knows nothing of models.
 *
 * The calling thread opens one launch after the other and works in each; workers join the launch
 * that is open. A launch takes all its work, unit by unit, from its ticket, so it is done when the
 * caller finds the ticket used up and nobody is inside. A worker that the system does not run just
 * then is not waited for: it finds no work left when it comes. A worker with nothing to do spins for
 * a while, for launches follow each other within microseconds, and then sleeps. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tapeout_abi.h"

enum { DIMS = 4, COEFFICIENTS = DIMS + 1, MAX_TAPES = 64, SPINS = 10000, TICKET_STRIDE = 8 };

typedef struct {
    tapeout_kernel kernel;
    tapeout_launch launch; /* views into the tape's arrays */
} call_t;

typedef struct {
    int num_launches;
    call_t *calls;
    void **buffers;
    int num_scalars;
    int64_t *coefficients; /* [num_scalars][COEFFICIENTS]: constant, T, S, R, P */
    int64_t *scalars;
    int64_t *tickets; /* one a launch, each on its own cache line */
} tape_t;

typedef struct {
    void *library;
    int num_workers;
    int num_started;
    pthread_t *threads;
    tape_t tapes[MAX_TAPES];
    int num_tapes;
    atomic_int leaving;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    _Alignas(64) atomic_uint turn;              /* grows when there is something new to do */
    _Alignas(64) _Atomic(const call_t *) open;  /* the launch to work in, or NULL */
    _Alignas(64) atomic_int inside;             /* workers that may be in a kernel */
    _Alignas(64) atomic_int sleepers;
} player_t;

TAPEOUT_EXPORT int tapeout_cpu_level(void) {
    __builtin_cpu_init();
    if (!(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
          __builtin_cpu_supports("bmi2")))
        return 0;
    if (!(__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
          __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
          __builtin_cpu_supports("avx512vl")))
        return 1;
    if (!(__builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni"))) return 2;
    return 3;
}

/* ---- the workers ---- */

static unsigned sleep_past(player_t *player, unsigned seen) {
    pthread_mutex_lock(&player->mutex);
    atomic_fetch_add(&player->sleepers, 1);
    while (atomic_load(&player->turn) == seen) pthread_cond_wait(&player->wake, &player->mutex);
    atomic_fetch_sub(&player->sleepers, 1);
    pthread_mutex_unlock(&player->mutex);
    return atomic_load(&player->turn);
}

static unsigned next_turn(player_t *player, unsigned seen) {
    for (int spin = 0; spin < SPINS; spin++) {
        unsigned turn = atomic_load_explicit(&player->turn, memory_order_relaxed);
        if (turn != seen) return turn;
        __builtin_ia32_pause();
    }
    return sleep_past(player, seen);
}

static void *worker_main(void *argument) {
    player_t *player = argument;
    for (unsigned turn = 0;;) {
        turn = next_turn(player, turn);
        if (atomic_load(&player->leaving)) return NULL;
        /* First inside, then the look at what is open: whoever closes a launch and then finds
         * nobody inside knows that nobody will enter it any more. */
        atomic_fetch_add(&player->inside, 1);
        const call_t *call = atomic_load(&player->open);
        if (call) call->kernel(&call->launch, player->num_workers);
        atomic_fetch_sub(&player->inside, 1);
    }
}

static void announce(player_t *player) {
    atomic_fetch_add(&player->turn, 1);
    if (atomic_load(&player->sleepers) == 0) return;
    pthread_mutex_lock(&player->mutex);
    pthread_cond_broadcast(&player->wake);
    pthread_mutex_unlock(&player->mutex);
}

/* Waits for workers that have taken a unit; their core may be needed by them, so give it up. */
static void wait_until_empty(player_t *player) {
    for (int spin = 0; atomic_load(&player->inside); spin++) {
        if (spin < SPINS)
            __builtin_ia32_pause();
        else
            sched_yield();
    }
}

static void run_call(player_t *player, const call_t *call) {
    if (player->num_workers > 1) {
        atomic_store(&player->open, call);
        announce(player);
    }
    call->kernel(&call->launch, player->num_workers);
    atomic_store(&player->open, NULL);
    wait_until_empty(player);
}

static int start_workers(player_t *player) {
    for (int i = 1; i < player->num_workers; i++) {
        if (pthread_create(&player->threads[i], NULL, worker_main, player)) return -1;
        player->num_started = i;
    }
    return 0;
}

/* ---- opening and closing ---- */

static void free_tape(tape_t *tape) {
    free(tape->calls);
    free(tape->buffers);
    free(tape->coefficients);
    free(tape->scalars);
    free(tape->tickets);
}

TAPEOUT_EXPORT void tapeout_player_close(void *handle) {
    player_t *player = handle;
    atomic_store(&player->leaving, 1);
    announce(player);
    for (int i = 1; i <= player->num_started; i++) pthread_join(player->threads[i], NULL);
    for (int i = 0; i < player->num_tapes; i++) free_tape(&player->tapes[i]);
    if (player->library) dlclose(player->library);
    pthread_cond_destroy(&player->wake);
    pthread_mutex_destroy(&player->mutex);
    free(player->threads);
    free(player);
}

static void *fail(player_t *player, char *error, int error_bytes, const char *reason) {
    snprintf(error, (size_t)error_bytes, "%s", reason ? reason : "unknown error");
    tapeout_player_close(player);
    return NULL;
}

/* Loads a library of kernels and starts num_threads - 1 workers; NULL and a message on failure. */
TAPEOUT_EXPORT void *tapeout_player_open(const char *kernels_so, int num_threads, char *error,
                                         int error_bytes) {
    player_t *player = aligned_alloc(64, (sizeof *player + 63) / 64 * 64);
    if (!player) return NULL;
    memset(player, 0, sizeof *player);
    pthread_mutex_init(&player->mutex, NULL);
    pthread_cond_init(&player->wake, NULL);
    player->num_workers = num_threads < 1 ? 1 : num_threads;
    player->threads = calloc((size_t)player->num_workers, sizeof *player->threads);
    if (!player->threads) return fail(player, error, error_bytes, "out of memory");
    player->library = dlopen(kernels_so, RTLD_NOW | RTLD_LOCAL);
    if (!player->library) return fail(player, error, error_bytes, dlerror());
    if (start_workers(player)) return fail(player, error, error_bytes, "cannot start a thread");
    return player;
}

/* ---- tapes ---- */

static void *copy(const void *source, size_t bytes) {
    void *target = malloc(bytes ? bytes : 1);
    if (target && bytes) memcpy(target, source, bytes);
    return target;
}

static int allocate(tape_t *tape, int num_launches, void *const *buffers, int num_buffers,
                    const int64_t *coefficients, int num_scalars) {
    size_t launches = (size_t)num_launches + 1, scalars = (size_t)num_scalars;
    tape->num_launches = num_launches;
    tape->num_scalars = num_scalars;
    tape->calls = calloc(launches, sizeof *tape->calls);
    tape->tickets = aligned_alloc(64, launches * TICKET_STRIDE * sizeof(int64_t));
    tape->buffers = copy(buffers, (size_t)num_buffers * sizeof *buffers);
    tape->coefficients = copy(coefficients, scalars * COEFFICIENTS * sizeof(int64_t));
    tape->scalars = calloc(scalars + 1, sizeof(int64_t));
    return tape->calls && tape->tickets && tape->buffers &&
           tape->coefficients && tape->scalars;
}

static int add_failed(tape_t *tape, char *error, int error_bytes, const char *what,
                      const char *name) {
    snprintf(error, (size_t)error_bytes, "%s%s", what, name);
    free_tape(tape);
    memset(tape, 0, sizeof *tape);
    return -1;
}

/* Adds a tape and gives its number; -1 and a message when a kernel is not in the library.
 * All arrays are copied; the buffers themselves must outlive the player. */
TAPEOUT_EXPORT int tapeout_tape_add(void *handle, int num_launches,
                                    const char *const *kernel_names, const int32_t *buffer_begin,
                                    void *const *buffers, const int32_t *scalar_begin,
                                    const int64_t *scalar_coefficients, char *error,
                                    int error_bytes) {
    player_t *player = handle;
    if (player->num_tapes == MAX_TAPES) {
        snprintf(error, (size_t)error_bytes, "more than %d tapes", MAX_TAPES);
        return -1;
    }
    tape_t *tape = &player->tapes[player->num_tapes];
    if (!allocate(tape, num_launches, buffers, buffer_begin[num_launches], scalar_coefficients,
                  scalar_begin[num_launches]))
        return add_failed(tape, error, error_bytes, "out of memory", "");
    for (int i = 0; i < num_launches; i++) {
        void *kernel = dlsym(player->library, kernel_names[i]);
        if (!kernel)
            return add_failed(tape, error, error_bytes, "no such kernel: ", kernel_names[i]);
        memcpy(&tape->calls[i].kernel, &kernel, sizeof kernel);
        tape->calls[i].launch =
            (tapeout_launch){tape->buffers + buffer_begin[i], tape->scalars + scalar_begin[i],
                             tape->tickets + (size_t)i * TICKET_STRIDE};
    }
    return player->num_tapes++;
}

static void evaluate(tape_t *tape, const int64_t dims[DIMS]) {
    for (int i = 0; i < tape->num_scalars; i++) {
        const int64_t *coefficients = tape->coefficients + (size_t)i * COEFFICIENTS;
        int64_t value = coefficients[0];
        for (int d = 0; d < DIMS; d++) value += coefficients[d + 1] * dims[d];
        tape->scalars[i] = value;
    }
    memset(tape->tickets, 0, (size_t)tape->num_launches * TICKET_STRIDE * sizeof(int64_t));
}

/* Runs launches `begin` to `end` of a tape for dims T, S, R, P; returns when they are done. */
TAPEOUT_EXPORT int tapeout_tape_run_part(void *handle, int tape, const int64_t dims[DIMS],
                                         int begin, int end) {
    player_t *player = handle;
    if (tape < 0 || tape >= player->num_tapes) return -1;
    tape_t *job = &player->tapes[tape];
    evaluate(job, dims); /* nothing is open: nobody looks at tickets or scalars */
    for (int i = begin; i < end && i < job->num_launches; i++) run_call(player, &job->calls[i]);
    return 0;
}

TAPEOUT_EXPORT int tapeout_tape_run(void *handle, int tape, const int64_t dims[DIMS]) {
    player_t *player = handle;
    if (tape < 0 || tape >= player->num_tapes) return -1;
    return tapeout_tape_run_part(handle, tape, dims, 0, player->tapes[tape].num_launches);
}
