/* The player for one NVIDIA GPU: launches tapes of kernels on a stream, or captures them in graphs.
 *
 * It speaks to the driver alone, found at run time; the few prototypes it needs stand below, so it
 * is built without CUDA. Work goes to one stream, in the order it is given; only copies that are to
 * run ahead of it go to a second. Every function that can fail gives 0, or -1 and leaves its reason
 * to `tapeout_cuda_error` of the same thread. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

enum { DIMS = 4, COEFFICIENTS = DIMS + 1, GRID_TERM = COEFFICIENTS + 2, AXES = 3, WARP = 32 };
enum { MAX_KERNELS = 1024, MAX_TAPES = 2048, MAX_GRAPHS = 2048, STATIC_SHARED_BYTES = 48 << 10 };
enum { NON_BLOCKING_STREAM = 1, CAPTURE_THREAD_LOCAL = 1, EVENT_WITHOUT_TIME = 2 };
enum { MAX_DYNAMIC_SHARED_BYTES = 8, PREFER_SHARED = 1, PORTABLE_AND_MAPPED = 3 };
enum { PROGRAMMATIC_SERIALIZATION = 6 };
enum { NOT_INTERLEAVED = 0, PROMOTE_TO_128_BYTES = 2, ZEROS_OUTSIDE = 0 };
enum { BUFFER, ELEMENT, ELEMENT_BYTES, ROWS, WIDTH, BOX_ROWS, BOX_COLUMNS, SWIZZLE, MAP_FACTS };
enum { MULTIPROCESSOR_COUNT = 16, CAPABILITY_MAJOR = 75, CAPABILITY_MINOR = 76, SHARED_BYTES = 97 };

typedef uint64_t address_t;
typedef void *handle_t; /* of the driver: a context, stream, event, module, function or graph */

#define DRIVER(F)                                                                               \
    F(cuInit, (unsigned))                                                                       \
    F(cuDriverGetVersion, (int *))                                                              \
    F(cuDeviceGetCount, (int *))                                                                \
    F(cuDeviceGet, (int *, int))                                                                \
    F(cuDeviceGetName, (char *, int, int))                                                      \
    F(cuDeviceGetAttribute, (int *, int, int))                                                  \
    F(cuDeviceTotalMem_v2, (size_t *, int))                                                     \
    F(cuDevicePrimaryCtxRetain, (handle_t *, int))                                              \
    F(cuDevicePrimaryCtxRelease_v2, (int))                                                      \
    F(cuCtxSetCurrent, (handle_t))                                                              \
    F(cuGetErrorName, (int, const char **))                                                     \
    F(cuGetErrorString, (int, const char **))                                                   \
    F(cuMemGetInfo_v2, (size_t *, size_t *))                                                    \
    F(cuMemAlloc_v2, (address_t *, size_t))                                                     \
    F(cuMemFree_v2, (address_t))                                                                \
    F(cuMemHostAlloc, (void **, size_t, unsigned))                                              \
    F(cuMemFreeHost, (void *))                                                                  \
    F(cuMemsetD8Async, (address_t, unsigned char, size_t, handle_t))                            \
    F(cuMemcpyHtoDAsync_v2, (address_t, const void *, size_t, handle_t))                        \
    F(cuMemcpyDtoHAsync_v2, (void *, address_t, size_t, handle_t))                              \
    F(cuStreamCreate, (handle_t *, unsigned))                                                   \
    F(cuStreamDestroy_v2, (handle_t))                                                           \
    F(cuStreamSynchronize, (handle_t))                                                          \
    F(cuStreamWaitEvent, (handle_t, handle_t, unsigned))                                        \
    F(cuStreamBeginCapture_v2, (handle_t, int))                                                 \
    F(cuStreamEndCapture, (handle_t, handle_t *))                                               \
    F(cuEventCreate, (handle_t *, unsigned))                                                    \
    F(cuEventDestroy_v2, (handle_t))                                                            \
    F(cuEventRecord, (handle_t, handle_t))                                                      \
    F(cuEventSynchronize, (handle_t))                                                           \
    F(cuEventElapsedTime, (float *, handle_t, handle_t))                                        \
    F(cuModuleLoadData, (handle_t *, const void *))                                             \
    F(cuModuleUnload, (handle_t))                                                               \
    F(cuModuleGetFunction, (handle_t *, handle_t, const char *))                                \
    F(cuFuncSetAttribute, (handle_t, int, int))                                                 \
    F(cuFuncSetCacheConfig, (handle_t, int))                                                    \
    F(cuGraphInstantiateWithFlags, (handle_t *, handle_t, unsigned long long))                  \
    F(cuGraphUpload, (handle_t, handle_t))                                                      \
    F(cuGraphLaunch, (handle_t, handle_t))                                                      \
    F(cuGraphDestroy, (handle_t))                                                               \
    F(cuGraphExecDestroy, (handle_t))                                                           \
    F(cuTensorMapEncodeTiled, (void *, int, unsigned, address_t, const uint64_t *,              \
                               const uint64_t *, const unsigned *, const unsigned *, int, int,  \
                               int, int))                                                       \
    F(cuLaunchKernelEx, (const launch_t *, handle_t, void **, void **))

typedef struct { /* CUlaunchAttribute */
    unsigned id;
    char padding[4];
    union {
        int allowed;
        char bytes[64];
    } value;
} attribute_t;

typedef struct { /* CUlaunchConfig */
    unsigned blocks[AXES], threads[3], shared_bytes;
    handle_t stream;
    const attribute_t *attributes;
    unsigned num_attributes;
} launch_t;

typedef struct {
#define FIELD(name, parameters) int(*name) parameters;
    DRIVER(FIELD)
#undef FIELD
} driver_t;

typedef struct {
    handle_t module, function;
    unsigned num_threads, shared_bytes, begins_early;
} kernel_t;

typedef struct {
    const kernel_t *kernel;
    void **parameters;    /* views into the tape's arrays, then two null pointers */
    const int64_t *grid;  /* [AXES][GRID_TERM]: coefficients, divisor, factor */
} call_t;

typedef struct { /* a matrix as a kernel takes it, each field a parameter by value */
    _Alignas(64) char map[128];
    int32_t rows, columns;
    int64_t row_stride, column_stride; /* in elements */
} matrix_t;

typedef struct {
    int num_launches, num_scalars;
    call_t *calls;
    address_t *buffers;
    int64_t *coefficients; /* [num_scalars][COEFFICIENTS]: constant, T, S, R, P */
    int32_t *scalars;
    int64_t *grids;
    matrix_t *matrices;
    void **parameters;
} tape_t;

typedef struct {
    driver_t driver;
    void *library;
    int device;
    handle_t context, stream, ahead;
    kernel_t kernels[MAX_KERNELS];
    tape_t tapes[MAX_TAPES];
    handle_t graphs[MAX_GRAPHS];
    int num_kernels, num_tapes, num_graphs;
} player_t;

/* ---- errors ---- */

static _Thread_local char error_text[512];

/* What the last call that failed on this thread said; valid until the next that fails. */
EXPORT const char *tapeout_cuda_error(void) { return error_text; }

static int fail(const char *what, const char *why) {
    snprintf(error_text, sizeof error_text, "%s: %s", what, why ? why : "unknown error");
    return -1;
}

static int driver_failed(const player_t *player, const char *call, int status) {
    const char *name = NULL, *text = NULL;
    char why[256];
    player->driver.cuGetErrorName(status, &name);
    player->driver.cuGetErrorString(status, &text);
    snprintf(why, sizeof why, "%s (%s)", name ? name : "unknown error", text ? text : "");
    return fail(call, why);
}

#define TRY(player, call, ...)                                        \
    do {                                                              \
        int status_ = (player)->driver.call(__VA_ARGS__);             \
        if (status_) return driver_failed((player), #call, status_);  \
    } while (0)

/* Any thread may call: the context is made its own first. */
#define ENTER(player) TRY(player, cuCtxSetCurrent, (player)->context)

/* ---- opening and closing ---- */

static int find_driver(player_t *player, const char *libcuda) {
    player->library = dlopen(libcuda, RTLD_NOW | RTLD_LOCAL);
    if (!player->library) return fail("driver", dlerror());
#define FIND(name, parameters)                                         \
    *(void **)&player->driver.name = dlsym(player->library, #name);    \
    if (!player->driver.name) return fail(libcuda, "has no " #name ": update the GPU's driver");
    DRIVER(FIND)
#undef FIND
    return 0;
}

static int open_device(player_t *player, int device) {
    int count = 0;
    TRY(player, cuInit, 0);
    TRY(player, cuDeviceGetCount, &count);
    if (device >= count) return fail("driver", "it shows no GPU of that number");
    TRY(player, cuDeviceGet, &player->device, device);
    return 0;
}

static void free_tape(tape_t *tape) {
    free(tape->calls);
    free(tape->buffers);
    free(tape->coefficients);
    free(tape->scalars);
    free(tape->grids);
    free(tape->matrices);
    free(tape->parameters);
}

/* Ends everything but memory and events, which are their owner's. The device is idle, or lost. */
EXPORT void tapeout_cuda_close(void *handle) {
    player_t *player = handle;
    const driver_t *driver = &player->driver;
    if (player->context) {
        driver->cuCtxSetCurrent(player->context);
        for (int i = 0; i < player->num_graphs; i++) driver->cuGraphExecDestroy(player->graphs[i]);
        for (int i = 0; i < player->num_kernels; i++)
            driver->cuModuleUnload(player->kernels[i].module);
        if (player->stream) driver->cuStreamDestroy_v2(player->stream);
        if (player->ahead) driver->cuStreamDestroy_v2(player->ahead);
        driver->cuDevicePrimaryCtxRelease_v2(player->device);
    }
    for (int i = 0; i < player->num_tapes; i++) free_tape(&player->tapes[i]);
    if (player->library) dlclose(player->library);
    free(player);
}

/* Finds the driver and a device, but takes nothing on it yet; NULL on failure. */
EXPORT void *tapeout_cuda_open(const char *libcuda, int device) {
    player_t *player = calloc(1, sizeof *player);
    if (!player) {
        fail("player", "out of memory");
    } else if (find_driver(player, libcuda) || open_device(player, device)) {
        tapeout_cuda_close(player);
        player = NULL;
    }
    return player;
}

/* Of the device: capability (10 * major + minor), multiprocessors, bytes of memory, bytes of shared
   memory that a block can have, driver. */
EXPORT int tapeout_cuda_describe(void *handle, int64_t facts[5], char *name, int name_bytes) {
    player_t *player = handle;
    int major, minor, count, shared, version;
    size_t bytes;
    TRY(player, cuDeviceGetName, name, name_bytes, player->device);
    TRY(player, cuDeviceGetAttribute, &major, CAPABILITY_MAJOR, player->device);
    TRY(player, cuDeviceGetAttribute, &minor, CAPABILITY_MINOR, player->device);
    TRY(player, cuDeviceGetAttribute, &count, MULTIPROCESSOR_COUNT, player->device);
    TRY(player, cuDeviceGetAttribute, &shared, SHARED_BYTES, player->device);
    TRY(player, cuDeviceTotalMem_v2, &bytes, player->device);
    TRY(player, cuDriverGetVersion, &version);
    facts[0] = 10 * major + minor, facts[1] = count, facts[2] = (int64_t)bytes;
    facts[3] = shared, facts[4] = version;
    return 0;
}

/* Makes the device's context and the streams; nothing below may be called before. */
EXPORT int tapeout_cuda_start(void *handle) {
    player_t *player = handle;
    TRY(player, cuDevicePrimaryCtxRetain, &player->context, player->device);
    ENTER(player);
    TRY(player, cuStreamCreate, &player->stream, NON_BLOCKING_STREAM);
    TRY(player, cuStreamCreate, &player->ahead, NON_BLOCKING_STREAM);
    return 0;
}

/* ---- memory and events ---- */

EXPORT int tapeout_cuda_num_free_bytes(void *handle, int64_t *bytes) {
    player_t *player = handle;
    size_t num_free, total;
    ENTER(player);
    TRY(player, cuMemGetInfo_v2, &num_free, &total);
    *bytes = (int64_t)num_free;
    return 0;
}

/* A function that is one call of the driver. */
#define EXPORT_CALL(name, parameters, call, ...)        \
    EXPORT int tapeout_cuda_##name parameters {         \
        player_t *player = handle;                      \
        ENTER(player);                                  \
        TRY(player, call, __VA_ARGS__);                 \
        return 0;                                       \
    }

EXPORT_CALL(allocate, (void *handle, int64_t bytes, address_t *address), cuMemAlloc_v2, address,
            (size_t)bytes)
EXPORT_CALL(free, (void *handle, address_t address), cuMemFree_v2, address)

/* Memory of the host that the device copies from and to by itself, and kernels may write. */
EXPORT_CALL(allocate_pinned, (void *handle, int64_t bytes, void **address), cuMemHostAlloc, address,
            (size_t)bytes, PORTABLE_AND_MAPPED)
EXPORT_CALL(free_pinned, (void *handle, void *address), cuMemFreeHost, address)

EXPORT_CALL(zero, (void *handle, address_t to, int64_t bytes), cuMemsetD8Async, to, 0,
            (size_t)bytes, player->stream)
EXPORT_CALL(copy_in, (void *handle, address_t to, const void *from, int64_t bytes),
            cuMemcpyHtoDAsync_v2, to, from, (size_t)bytes, player->stream)
EXPORT_CALL(copy_ahead, (void *handle, address_t to, const void *from, int64_t bytes),
            cuMemcpyHtoDAsync_v2, to, from, (size_t)bytes, player->ahead)
EXPORT_CALL(copy_out, (void *handle, void *to, address_t from, int64_t bytes),
            cuMemcpyDtoHAsync_v2, to, from, (size_t)bytes, player->stream)
EXPORT_CALL(synchronize, (void *handle), cuStreamSynchronize, player->stream)

EXPORT_CALL(event_create, (void *handle, int with_time, handle_t *event), cuEventCreate, event,
            with_time ? 0 : EVENT_WITHOUT_TIME)
EXPORT_CALL(event_destroy, (void *handle, handle_t event), cuEventDestroy_v2, event)
EXPORT_CALL(event_record, (void *handle, handle_t event), cuEventRecord, event, player->stream)
EXPORT_CALL(event_record_ahead, (void *handle, handle_t event), cuEventRecord, event,
            player->ahead)
EXPORT_CALL(event_wait, (void *handle, handle_t event), cuEventSynchronize, event)
EXPORT_CALL(event_elapsed, (void *handle, handle_t from, handle_t to, float *ms),
            cuEventElapsedTime, ms, from, to)

/* What is queued from now on waits until the event, as recorded last, is reached. */
EXPORT_CALL(stream_wait, (void *handle, handle_t event), cuStreamWaitEvent, player->stream, event,
            0)

/* ---- kernels and tapes ---- */

/* Loads one kernel; `kernel` gets its number. One that `begins_early` is started while the launch
 * before it runs, and waits for its end by itself. */
EXPORT int tapeout_cuda_kernel_add(void *handle, const void *cubin, const char *entry,
                                   int num_warps, int shared_bytes, int begins_early,
                                   int *kernel) {
    player_t *player = handle;
    if (player->num_kernels == MAX_KERNELS) return fail(entry, "too many kernels");
    kernel_t *made = &player->kernels[player->num_kernels];
    *made = (kernel_t){.num_threads = (unsigned)num_warps * WARP,
                       .shared_bytes = (unsigned)shared_bytes,
                       .begins_early = begins_early != 0};
    ENTER(player);
    TRY(player, cuModuleLoadData, &made->module, cubin);
    *kernel = player->num_kernels++; /* from here on closing unloads the module */
    TRY(player, cuModuleGetFunction, &made->function, made->module, entry);
    if (shared_bytes <= STATIC_SHARED_BYTES) return 0;
    TRY(player, cuFuncSetCacheConfig, made->function, PREFER_SHARED);
    TRY(player, cuFuncSetAttribute, made->function, MAX_DYNAMIC_SHARED_BYTES, shared_bytes);
    return 0;
}

static void *copy(const void *source, size_t count, size_t item_bytes) {
    void *target = calloc(count + 1, item_bytes);
    if (target && count) memcpy(target, source, count * item_bytes);
    return target;
}

/* Describes a row-major matrix at an address to the tensor unit. */
static int encode(player_t *player, matrix_t *made, address_t at, const int64_t *facts) {
    static const unsigned every_element[2] = {1, 1};
    uint64_t sizes[2] = {(uint64_t)facts[WIDTH], (uint64_t)facts[ROWS]};
    uint64_t row_bytes = (uint64_t)(facts[WIDTH] * facts[ELEMENT_BYTES]);
    unsigned box[2] = {(unsigned)facts[BOX_COLUMNS], (unsigned)facts[BOX_ROWS]};
    made->rows = (int32_t)facts[ROWS], made->columns = (int32_t)facts[WIDTH];
    made->row_stride = facts[WIDTH], made->column_stride = 1;
    TRY(player, cuTensorMapEncodeTiled, made->map, (int)facts[ELEMENT], 2, at, sizes, &row_bytes,
        box, every_element, NOT_INTERLEAVED, (int)facts[SWIZZLE], PROMOTE_TO_128_BYTES,
        ZEROS_OUTSIDE);
    return 0;
}

static void **bind_matrix(matrix_t *matrix, void **parameter) {
    *parameter++ = matrix->map;
    *parameter++ = &matrix->rows;
    *parameter++ = &matrix->columns;
    *parameter++ = &matrix->row_stride;
    *parameter++ = &matrix->column_stride;
    return parameter;
}

/* `maps` are in the order of their buffers. */
static void bind(tape_t *tape, const kernel_t *kernels, const int32_t *kernel_ids,
                 const int32_t *buffer_begin, const int32_t *scalar_begin, int num_maps,
                 const int64_t *maps) {
    static address_t null_pointer = 0;
    void **parameter = tape->parameters;
    int map = 0;
    for (int i = 0; i < tape->num_launches; i++) {
        tape->calls[i] = (call_t){kernels + kernel_ids[i], parameter,
                                  tape->grids + (size_t)i * AXES * GRID_TERM};
        for (int b = buffer_begin[i]; b < buffer_begin[i + 1]; b++)
            if (map < num_maps && maps[map * MAP_FACTS + BUFFER] == b)
                parameter = bind_matrix(&tape->matrices[map++], parameter);
            else
                *parameter++ = tape->buffers + b;
        for (int s = scalar_begin[i]; s < scalar_begin[i + 1]; s++)
            *parameter++ = tape->scalars + s;
        *parameter++ = &null_pointer; /* scratch memory, which our kernels do not need */
        *parameter++ = &null_pointer;
    }
}

/* Adds a tape and gives its number, or -1. All arrays are copied. `maps` are the facts of buffers
 * that are taken as tensor maps, in order. */
EXPORT int tapeout_cuda_tape_add(void *handle, int num_launches, const int32_t *kernel_ids,
                                 const int32_t *buffer_begin, const address_t *buffers,
                                 const int32_t *scalar_begin, const int64_t *coefficients,
                                 const int64_t *grids, int num_maps, const int64_t *maps) {
    player_t *player = handle;
    if (player->num_tapes == MAX_TAPES) return fail("tape", "too many tapes");
    size_t launches = (size_t)num_launches;
    size_t num_buffers = (size_t)buffer_begin[num_launches];
    size_t num_scalars = (size_t)scalar_begin[num_launches];
    tape_t *tape = &player->tapes[player->num_tapes++];
    *tape = (tape_t){
        .num_launches = num_launches,
        .num_scalars = (int)num_scalars,
        .calls = calloc(launches + 1, sizeof *tape->calls),
        .buffers = copy(buffers, num_buffers, sizeof *buffers),
        .coefficients = copy(coefficients, num_scalars * COEFFICIENTS, sizeof *coefficients),
        .scalars = calloc(num_scalars + 1, sizeof *tape->scalars),
        .grids = copy(grids, launches * AXES * GRID_TERM, sizeof *grids),
        .matrices = aligned_alloc(64, ((size_t)num_maps + 1) * sizeof *tape->matrices),
        .parameters = calloc(num_buffers + 4 * (size_t)num_maps + num_scalars + 2 * launches + 1,
                             sizeof(void *))};
    if (!(tape->calls && tape->buffers && tape->coefficients && tape->scalars && tape->grids &&
          tape->matrices && tape->parameters))
        return fail("tape", "out of memory");
    ENTER(player);
    for (int i = 0; i < num_maps; i++) {
        const int64_t *facts = maps + i * MAP_FACTS;
        if (encode(player, &tape->matrices[i], tape->buffers[facts[BUFFER]], facts)) return -1;
    }
    bind(tape, player->kernels, kernel_ids, buffer_begin, scalar_begin, num_maps, maps);
    return player->num_tapes - 1;
}

static int64_t evaluate(const int64_t coefficients[COEFFICIENTS], const int64_t dims[DIMS]) {
    int64_t value = coefficients[0];
    for (int d = 0; d < DIMS; d++) value += coefficients[d + 1] * dims[d];
    return value;
}

/* max(1, ceil(size / divisor)) * factor */
static unsigned num_blocks(const int64_t term[GRID_TERM], const int64_t dims[DIMS]) {
    int64_t divisor = term[COEFFICIENTS], factor = term[COEFFICIENTS + 1];
    int64_t count = (evaluate(term, dims) + divisor - 1) / divisor;
    return (unsigned)((count < 1 ? 1 : count) * factor);
}

static int launch(player_t *player, const call_t *call, const int64_t dims[DIMS]) {
    static const attribute_t early = {.id = PROGRAMMATIC_SERIALIZATION, .value.allowed = 1};
    const kernel_t *kernel = call->kernel;
    launch_t launch = {.threads = {kernel->num_threads, 1, 1},
                       .shared_bytes = kernel->shared_bytes,
                       .stream = player->stream,
                       .attributes = &early,
                       .num_attributes = kernel->begins_early};
    for (int axis = 0; axis < AXES; axis++)
        launch.blocks[axis] = num_blocks(call->grid + axis * GRID_TERM, dims);
    TRY(player, cuLaunchKernelEx, &launch, kernel->function, call->parameters, NULL);
    return 0;
}

/* Launches `begin` to `end` of a tape for dims T, S, R, P; does not wait for them. */
EXPORT int tapeout_cuda_tape_run_part(void *handle, int tape, const int64_t dims[DIMS], int begin,
                                      int end) {
    player_t *player = handle;
    tape_t *job = &player->tapes[tape];
    ENTER(player);
    for (int i = 0; i < job->num_scalars; i++)
        job->scalars[i] = (int32_t)evaluate(job->coefficients + i * COEFFICIENTS, dims);
    for (int i = begin; i < job->num_launches && i < end; i++)
        if (launch(player, &job->calls[i], dims)) return -1;
    return 0;
}

EXPORT int tapeout_cuda_tape_run(void *handle, int tape, const int64_t dims[DIMS]) {
    player_t *player = handle;
    return tapeout_cuda_tape_run_part(handle, tape, dims, 0, player->tapes[tape].num_launches);
}

/* ---- graphs ---- */

static int capture(player_t *player, const int *tapes, int num_tapes, const int64_t dims[DIMS],
                   handle_t *graph) {
    int failed = 0;
    TRY(player, cuStreamBeginCapture_v2, player->stream, CAPTURE_THREAD_LOCAL);
    for (int i = 0; i < num_tapes && !failed; i++)
        failed = tapeout_cuda_tape_run(player, tapes[i], dims);
    int status = player->driver.cuStreamEndCapture(player->stream, graph);
    if (failed) return -1;
    return status ? driver_failed(player, "cuStreamEndCapture", status) : 0;
}

/* Captures tapes, one after another, for dims as one graph; gives its number, or -1. */
EXPORT int tapeout_cuda_graph_add(void *handle, const int *tapes, int num_tapes,
                                  const int64_t dims[DIMS]) {
    player_t *player = handle;
    handle_t graph = NULL;
    if (player->num_graphs == MAX_GRAPHS) return fail("graph", "too many graphs");
    handle_t *made = &player->graphs[player->num_graphs];
    ENTER(player);
    int failed = capture(player, tapes, num_tapes, dims, &graph);
    int status = failed ? 0 : player->driver.cuGraphInstantiateWithFlags(made, graph, 0);
    if (graph) player->driver.cuGraphDestroy(graph);
    if (failed) return -1;
    if (status) return driver_failed(player, "cuGraphInstantiateWithFlags", status);
    player->num_graphs++;
    TRY(player, cuGraphUpload, *made, player->stream);
    return player->num_graphs - 1;
}

/* Does not wait for it. */
EXPORT int tapeout_cuda_graph_run(void *handle, int graph) {
    player_t *player = handle;
    ENTER(player);
    TRY(player, cuGraphLaunch, player->graphs[graph], player->stream);
    return 0;
}
