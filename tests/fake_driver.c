/* A driver whose device is the host: kernels are functions of a library, run block by block.
 *
 * Streams do nothing until somebody waits, as late as they may: pinned memory that is used again too
 * early, and what is not waited for, then show. Of each two streams the second runs as late, or at
 * once with FAKE_CUDA_AHEAD=early: then it shows what it writes over too early.
 * What is asked for in FAKE_CUDA_FAIL=<call>[:<n>][=<status>] fails (the n-th time, from 1), with its
 * usual error or that of a number, or takes as many seconds as a negative one has. With
 * FAKE_CUDA_LOST=1 all that follows fails like it, until the context is given back and takes along
 * what is in it. A fork has no device.
 * FAKE_CUDA_BYTES and FAKE_CUDA_OTHERS_BYTES are the device's memory and what others have of it;
 * CUDA_VISIBLE_DEVICES shows the one device there is, or none. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_PARAMETERS = 24, MAX_NODES = 4096 };
enum { INVALID = 1, OUT_OF_MEMORY = 2, NOT_INITIALIZED = 3, NO_DEVICE = 100, ILLEGAL = 700 };
typedef uint64_t word;
typedef struct { void *library; } module_t;
typedef struct { void *code; int arity; unsigned *block; } function_t;
typedef struct { function_t *function; unsigned blocks[3]; word words[MAX_PARAMETERS]; } node_t;
typedef struct { int num_nodes; node_t nodes[MAX_NODES]; } graph_t;
typedef void (*code_t)(word, ...);

int fake_num_live; /* allocations, events, modules, streams, graphs and contexts not given back */
int fake_num_launches, fake_num_early, fake_num_graph_launches, fake_num_copies_in;
static graph_t *recording;
static int num_blocks; /* that have run: each takes a millisecond */

static void run(const node_t *node) {
    const word *w = node->words;
    code_t code = (code_t)node->function->code;
    unsigned *at = node->function->block;
    num_blocks += node->blocks[0] * node->blocks[1] * node->blocks[2];
    if (!code) return;
    for (at[2] = 0; at[2] < node->blocks[2]; at[2]++)
        for (at[1] = 0; at[1] < node->blocks[1]; at[1]++)
            for (at[0] = 0; at[0] < node->blocks[0]; at[0]++)
                code(w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[8], w[9], w[10], w[11],
                     w[12], w[13], w[14], w[15], w[16], w[17], w[18], w[19], w[20], w[21], w[22],
                     w[23]);
}
/* ---- streams ---- */

enum kind { ZERO, COPY, LAUNCH, GRAPH, RECORD, WAIT };
typedef struct op op_t;
typedef struct { op_t *first, *last; int is_ahead; } stream_t;
typedef struct { int num_recorded, num_reached, reached_ms; stream_t *stream; } event_t;
struct op {
    enum kind kind;
    void *to, *kept;
    const void *from;
    size_t bytes;
    node_t node;
    const graph_t *graph;
    event_t *event;
    int turn; /* of the event's records */
    op_t *next;
};
enum { MAX_PINNED = 256 };
typedef struct { char *start; size_t bytes; } range_t;
static range_t pinned[MAX_PINNED];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
#define LOCKED(...) pthread_mutex_lock(&mutex); __VA_ARGS__; pthread_mutex_unlock(&mutex)

static int is_pinned(const void *p) {
    const char *at = p;
    for (int i = 0; i < MAX_PINNED; i++)
        if (pinned[i].start && at >= pinned[i].start && at < pinned[i].start + pinned[i].bytes)
            return 1;
    return 0;
}
static void forget(op_t *op) { free(op->kept), free(op); }
static void run_first(stream_t *stream);
static void reach(event_t *event, int turn) {
    while (event->num_reached < turn) run_first(event->stream);
}
static void run_first(stream_t *stream) {
    op_t *op = stream->first;
    if (op->kind == WAIT) reach(op->event, op->turn);
    if (op->kind == ZERO) memset(op->to, 0, op->bytes);
    if (op->kind == COPY) memcpy(op->to, op->from, op->bytes);
    if (op->kind == LAUNCH) run(&op->node);
    for (int i = 0; op->kind == GRAPH && i < op->graph->num_nodes; i++) run(&op->graph->nodes[i]);
    if (op->kind == RECORD) op->event->num_reached = op->turn, op->event->reached_ms = num_blocks;
    stream->first = op->next;
    forget(op);
}
/* Nothing but launches may be queued while a stream records. */
static int push(stream_t *stream, op_t op) {
    if (recording) return free(op.kept), INVALID;
    op_t *made = memcpy(malloc(sizeof op), &op, sizeof op);
    const char *ahead = getenv("FAKE_CUDA_AHEAD");
    LOCKED(stream->first ? (stream->last->next = made) : (stream->first = made);
           stream->last = made;
           while (stream->is_ahead && ahead && *ahead == 'e' && stream->first) run_first(stream));
    return 0;
}

static int lost; /* the error that everything on the device gives by now */
static int num_contexts, user /* the process whose driver this is */;
/* The error of a call, or 0. */
static int failure(const char *call, int usual) {
    static int count;
    static char before[128];
    const char *wanted = getenv("FAKE_CUDA_FAIL");
    size_t length = strlen(call);
    if (lost && num_contexts) return lost;
    if (!wanted || strncmp(wanted, call, length)) return 0;
    if (strcmp(wanted, before)) count = 0, snprintf(before, sizeof before, "%s", wanted);
    const char *rest = wanted + length, *status = strchr(rest, '=');
    if (*rest && *rest != ':' && *rest != '=') return 0;
    if (*rest == ':' && ++count != atoi(rest + 1)) return 0;
    count = 0;
    usual = status ? atoi(status + 1) : usual;
    if (usual < 0) return sleep((unsigned)-usual), 0;
    if (getenv("FAKE_CUDA_LOST") && num_contexts) lost = usual;
    return usual;
}
#define CALL(name, status)                           \
    do {                                             \
        int failed_ = failure(#name, status);        \
        if (failed_) return failed_;                 \
    } while (0)
#define COUNT(number, change) __atomic_add_fetch(&number, change, __ATOMIC_SEQ_CST)
#define OPEN(name, status) CALL(name, status); COUNT(fake_num_live, 1)
#define SHUT() COUNT(fake_num_live, -1)

int cuInit(unsigned f) {
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    if (!lost) CALL(cuInit, 999);
    if (visible && strcmp(visible, "0") && strncmp(visible, "0,", 2) && strncmp(visible, "GPU-f", 5))
        return NO_DEVICE;
    if (user && user != getpid()) return NOT_INITIALIZED;
    user = getpid();
    return 0;
}
int cuDriverGetVersion(int *v) { *v = 13000; return 0; }
int cuDeviceGetCount(int *n) { *n = 1; return 0; }
int cuDeviceGet(int *d, int i) { *d = i; return 0; }
int cuDeviceGetName(char *s, int n, int d) { snprintf(s, n, "fake device"); return 0; }
int cuDeviceGetAttribute(int *v, int a, int d) {
    if (!lost) CALL(cuDeviceGetAttribute, INVALID);
    const char *shared = getenv("FAKE_CUDA_SHARED_BYTES"), *version = getenv("FAKE_CUDA_CAPABILITY");
    int capability = version ? atoi(version) : 90;
    *v = a == 75   ? capability / 10
         : a == 76 ? capability % 10
         : a == 97 ? (shared ? atoi(shared) : 227 << 10)
                   : 132;
    return 0;
}
static size_t given(const char *name, size_t usual) {
    const char *bytes = getenv(name);
    return bytes ? strtoull(bytes, NULL, 10) : usual;
}
static size_t total_bytes(void) { return given("FAKE_CUDA_BYTES", 1ull << 30); }
static size_t taken_bytes; /* by this process */
static size_t free_bytes(void) {
    size_t taken = taken_bytes + given("FAKE_CUDA_OTHERS_BYTES", 0);
    return taken < total_bytes() ? total_bytes() - taken : 0;
}
int cuDeviceTotalMem_v2(size_t *n, int d) { *n = total_bytes(); return 0; }
int cuDevicePrimaryCtxRetain(void **c, int d) { 
    OPEN(cuDevicePrimaryCtxRetain, INVALID);
    COUNT(num_contexts, 1);
    *c = &recording;
    return 0;
}
int cuDevicePrimaryCtxRelease_v2(int d) {
    SHUT();
    if (COUNT(num_contexts, -1) || !lost) return 0;
    lost = fake_num_live = taken_bytes = 0, memset(pinned, 0, sizeof pinned);
    return 0;
}
int cuCtxSetCurrent(void *c) { return user == getpid() ? lost : NOT_INITIALIZED; }
int cuGetErrorName(int e, const char **s) {
    *s = e == OUT_OF_MEMORY     ? "CUDA_ERROR_OUT_OF_MEMORY"
         : e == NOT_INITIALIZED ? "CUDA_ERROR_NOT_INITIALIZED"
         : e == NO_DEVICE       ? "CUDA_ERROR_NO_DEVICE"
         : e == ILLEGAL         ? "CUDA_ERROR_ILLEGAL_ADDRESS"
                                : "CUDA_ERROR_FAKE";
    return 0;
}
int cuGetErrorString(int e, const char **s) { *s = "as was asked for"; return 0; }
int cuMemGetInfo_v2(size_t *f, size_t *t) {
    CALL(cuMemGetInfo_v2, INVALID);
    *f = free_bytes(), *t = total_bytes();
    return 0;
}
int cuMemAlloc_v2(word *a, size_t n) {
    if (n > free_bytes()) return OUT_OF_MEMORY;
    OPEN(cuMemAlloc_v2, OUT_OF_MEMORY);
    *a = (word)aligned_alloc(256, (n + 255) / 256 * 256);
    memset((void *)*a, 0xA5, n);
    COUNT(taken_bytes, malloc_usable_size((void *)*a));
    return 0;
}
int cuMemFree_v2(word a) {
    CALL(cuMemFree_v2, INVALID);
    COUNT(taken_bytes, -malloc_usable_size((void *)a));
    free((void *)a), SHUT();
    return 0;
}
int cuMemHostAlloc(void **a, size_t n, unsigned f) {
    OPEN(cuMemHostAlloc, OUT_OF_MEMORY);
    *a = aligned_alloc(4096, (n + 4095) / 4096 * 4096);
    for (int i = 0; i < MAX_PINNED; i++)
        if (!pinned[i].start) return pinned[i] = (range_t){*a, n}, 0;
    abort();
}
int cuMemFreeHost(void *a) {
    for (int i = 0; i < MAX_PINNED; i++)
        if (pinned[i].start == a) pinned[i].start = NULL;
    free(a), SHUT();
    return 0;
}
int cuMemsetD8Async(word a, unsigned char v, size_t n, void *s) {
    CALL(cuMemsetD8Async, INVALID);
    return push(s, (op_t){.kind = ZERO, .to = (void *)a, .bytes = n});
}
/* What is not pinned has been read when the call returns. */
int cuMemcpyHtoDAsync_v2(word to, const void *from, size_t n, void *s) {
    CALL(cuMemcpyHtoDAsync_v2, ILLEGAL);
    COUNT(fake_num_copies_in, 1);
    op_t op = {.kind = COPY, .to = (void *)to, .from = from, .bytes = n};
    if (!is_pinned(from)) op.from = op.kept = memcpy(malloc(n + 1), from, n);
    return push(s, op);
}
int cuMemcpyDtoHAsync_v2(void *to, word from, size_t n, void *s) {
    CALL(cuMemcpyDtoHAsync_v2, ILLEGAL);
    return push(s, (op_t){.kind = COPY, .to = to, .from = (void *)from, .bytes = n});
}
int cuStreamCreate(void **s, unsigned f) {
    static int num_created;
    OPEN(cuStreamCreate, INVALID);
    stream_t *made = *s = calloc(1, sizeof *made);
    made->is_ahead = num_created++ % 2;
    return 0;
}
int cuStreamDestroy_v2(void *s) { /* what nobody has waited for is dropped */
    for (op_t *op = ((stream_t *)s)->first, *next; op; op = next) next = op->next, forget(op);
    free(s), SHUT();
    return 0;
}
int cuStreamSynchronize(void *s) {
    CALL(cuStreamSynchronize, ILLEGAL);
    LOCKED(while (s && ((stream_t *)s)->first) run_first(s)); /* NULL: the default stream */
    return 0;
}
int cuStreamWaitEvent(void *s, void *e, unsigned f) {
    CALL(cuStreamWaitEvent, ILLEGAL);
    return push(s, (op_t){.kind = WAIT, .event = e, .turn = ((event_t *)e)->num_recorded});
}
int cuStreamBeginCapture_v2(void *s, int m) {
    CALL(cuStreamBeginCapture_v2, INVALID);
    recording = calloc(1, sizeof *recording);
    return 0;
}
int cuStreamEndCapture(void *s, void **g) {
    if (!recording) return INVALID;
    int failed = failure("cuStreamEndCapture", 901);
    if (failed) return free(recording), recording = NULL, *g = NULL, failed;
    COUNT(fake_num_live, 1);
    *g = recording, recording = NULL;
    return 0;
}
int cuEventCreate(void **e, unsigned f) {
    OPEN(cuEventCreate, INVALID);
    *e = calloc(1, sizeof(event_t));
    return 0;
}
int cuEventDestroy_v2(void *e) { free(e); SHUT(); return 0; }
int cuEventRecord(void *e, void *s) {
    CALL(cuEventRecord, ILLEGAL);
    event_t *event = e;
    event->stream = s;
    return push(s, (op_t){.kind = RECORD, .event = e, .turn = ++event->num_recorded});
}
int cuEventSynchronize(void *e) {
    CALL(cuEventSynchronize, ILLEGAL);
    LOCKED(reach(e, ((event_t *)e)->num_recorded));
    return 0;
}
int cuEventElapsedTime(float *ms, void *a, void *b) {
    CALL(cuEventElapsedTime, ILLEGAL);
    *ms = (float)(((event_t *)b)->reached_ms - ((event_t *)a)->reached_ms);
    return 0;
}
/* The machine code is the path of a library; kernels of real machine code do nothing. */
int cuModuleLoadData(void **m, const void *image) {
    OPEN(cuModuleLoadData, 200);
    module_t *module = calloc(1, sizeof *module);
    if (!memcmp(image, "\x7f" "ELF", 4)) return *m = module, 0;
    *m = module;
    module->library = dlopen(image, RTLD_NOW | RTLD_LOCAL);
    return module->library ? 0 : (free(module), SHUT(), 200);
}
int cuModuleUnload(void *m) { SHUT(); return 0; }
int cuModuleGetFunction(void **f, void *m, const char *name) {
    CALL(cuModuleGetFunction, 500);
    char arity[128];
    snprintf(arity, sizeof arity, "%s_arity", name);
    function_t *made = *f = calloc(1, sizeof *made);
    if (!((module_t *)m)->library) return 0;
    made->code = dlsym(((module_t *)m)->library, name);
    int *count = dlsym(((module_t *)m)->library, arity);
    if (!made->code || !count) return free(made), 500;
    made->arity = *count;
    made->block = dlsym(((module_t *)m)->library, "block_index");
    return 0;
}
/* A map is remembered, and known to a launch by the address of its matrix. */
typedef struct {
    word address;
    int element;
    word sizes[2], row_bytes;
    unsigned box[2];
    int swizzle;
} map_t;
map_t fake_last_map;
int cuTensorMapEncodeTiled(void *map, int element, unsigned rank, word address, const word *sizes,
                           const word *strides, const unsigned *box, const unsigned *steps,
                           int interleave, int swizzle, int promotion, int fill) {
    CALL(cuTensorMapEncodeTiled, INVALID);
    if ((word)map % 64 || address % 16 || strides[0] % 16 || !sizes[0] || !sizes[1]) return INVALID;
    if (rank != 2 || box[0] > 256 || box[1] > 256 || steps[0] != 1 || steps[1] != 1) return INVALID;
    fake_last_map = (map_t){address, element, {sizes[0], sizes[1]}, strides[0], {box[0], box[1]}, swizzle};
    memset(map, 0xA5, 128), memcpy(map, &address, sizeof address);
    return 0;
}
int cuFuncSetAttribute(void *f, int a, int v) { CALL(cuFuncSetAttribute, INVALID); return v > 232448 ? INVALID : 0; }
int cuFuncSetCacheConfig(void *f, int c) { return 0; }
typedef struct {
    unsigned blocks[3], threads[3], shared;
    void *stream;
    const unsigned *attributes; /* id, padding, value */
    unsigned num_attributes;
} launch_t;
int cuLaunchKernelEx(const launch_t *l, void *f, void **parameters, void **extra) {
    CALL(cuLaunchKernelEx, ILLEGAL);
    node_t node = {.function = f, .blocks = {l->blocks[0], l->blocks[1], l->blocks[2]}};
    if (!l->blocks[0] || !l->blocks[1] || !l->blocks[2]) return INVALID;
    if (l->blocks[0] >> 31 || l->blocks[1] >> 16 || l->blocks[2] >> 16) return INVALID;
    if (l->threads[0] % 32 || l->threads[0] > 1024 || l->threads[1] * l->threads[2] != 1)
        return INVALID;
    if (l->num_attributes && (l->attributes[0] != 6 || l->attributes[2] != 1)) return INVALID;
    fake_num_early += l->num_attributes;
    for (int i = 0; i < node.function->arity; i++) node.words[i] = *(word *)parameters[i];
    word *null = node.words + node.function->arity - 2;
    if (node.function->code && (null[0] || null[1])) return INVALID;
    if (recording) return recording->nodes[recording->num_nodes++] = node, 0;
    fake_num_launches++;
    return push(l->stream, (op_t){.kind = LAUNCH, .node = node});
}
int cuGraphInstantiateWithFlags(void **e, void *g, unsigned long long f) {
    OPEN(cuGraphInstantiateWithFlags, INVALID);
    graph_t *made = malloc(sizeof *made);
    memcpy(made, g, sizeof *made);
    *e = made;
    return 0;
}
int cuGraphUpload(void *e, void *s) { CALL(cuGraphUpload, OUT_OF_MEMORY); return 0; }
int cuGraphLaunch(void *e, void *s) {
    CALL(cuGraphLaunch, ILLEGAL);
    fake_num_graph_launches++;
    return push(s, (op_t){.kind = GRAPH, .graph = e});
}
int cuGraphDestroy(void *g) { free(g); SHUT(); return 0; }
int cuGraphExecDestroy(void *e) { free(e); SHUT(); return 0; }
