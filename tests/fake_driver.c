/* A driver whose device is the host: kernels are functions of a library, run block by block as they
 * are launched. What is asked for in FAKE_CUDA_FAIL=<call>[:<n>] fails (the n-th time, from 1). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PARAMETERS = 24, MAX_NODES = 4096, OUT_OF_MEMORY = 2, INVALID = 1, ILLEGAL = 700 };
typedef uint64_t word;
typedef struct { void *library; } module_t;
typedef struct { void *code; int arity; unsigned *block; } function_t;
typedef struct { function_t *function; unsigned blocks[3]; word words[MAX_PARAMETERS]; } node_t;
typedef struct { int num_nodes; node_t nodes[MAX_NODES]; } graph_t;
typedef void (*code_t)(word, ...);

int fake_num_live; /* allocations, events, modules, streams, graphs and contexts not given back */
int fake_num_launches, fake_num_early, fake_num_graph_launches, fake_num_copies_in;
static graph_t *recording;

static int fails(const char *call) {
    static int count;
    const char *wanted = getenv("FAKE_CUDA_FAIL");
    size_t length = strlen(call);
    if (!wanted || strncmp(wanted, call, length)) return 0;
    if (wanted[length] != ':') return wanted[length] == 0;
    return ++count == atoi(wanted + length + 1) ? (count = 0, 1) : 0;
}
#define CALL(name, status) if (fails(#name)) return status
#define COUNT(number, change) __atomic_add_fetch(&number, change, __ATOMIC_SEQ_CST)
#define OPEN(name, status) CALL(name, status); COUNT(fake_num_live, 1)
#define SHUT() COUNT(fake_num_live, -1)

int cuInit(unsigned f) { CALL(cuInit, 100); return 0; }
int cuDriverGetVersion(int *v) { *v = 13000; return 0; }
int cuDeviceGetCount(int *n) { *n = 1; return 0; }
int cuDeviceGet(int *d, int i) { *d = i; return 0; }
int cuDeviceGetName(char *s, int n, int d) { snprintf(s, n, "fake device"); return 0; }
int cuDeviceGetAttribute(int *v, int a, int d) { *v = a == 75 ? 9 : a == 76 ? 0 : 132; return 0; }
int cuDeviceTotalMem_v2(size_t *n, int d) {
    const char *bytes = getenv("FAKE_CUDA_BYTES");
    *n = bytes ? strtoull(bytes, NULL, 10) : 1ull << 30;
    return 0;
}
int cuDevicePrimaryCtxRetain(void **c, int d) { OPEN(cuDevicePrimaryCtxRetain, INVALID); *c = &recording; return 0; }
int cuDevicePrimaryCtxRelease_v2(int d) { SHUT(); return 0; }
int cuCtxSetCurrent(void *c) { return 0; }
int cuGetErrorName(int e, const char **s) {
    *s = e == OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : e == ILLEGAL ? "CUDA_ERROR_ILLEGAL_ADDRESS" : "CUDA_ERROR_FAKE";
    return 0;
}
int cuGetErrorString(int e, const char **s) { *s = "as was asked for"; return 0; }
int cuMemGetInfo_v2(size_t *f, size_t *t) { *f = 1 << 29; *t = 1 << 30; return 0; }
int cuMemAlloc_v2(word *a, size_t n) {
    OPEN(cuMemAlloc_v2, OUT_OF_MEMORY);
    *a = (word)aligned_alloc(256, (n + 255) / 256 * 256);
    memset((void *)*a, 0xA5, n);
    return 0;
}
int cuMemFree_v2(word a) { free((void *)a); SHUT(); return 0; }
int cuMemHostAlloc(void **a, size_t n, unsigned f) {
    OPEN(cuMemHostAlloc, OUT_OF_MEMORY);
    *a = aligned_alloc(4096, (n + 4095) / 4096 * 4096);
    return 0;
}
int cuMemFreeHost(void *a) { free(a); SHUT(); return 0; }
int cuMemsetD8Async(word a, unsigned char v, size_t n, void *s) { memset((void *)a, v, n); return 0; }
int cuMemcpyHtoDAsync_v2(word to, const void *from, size_t n, void *s) {
    CALL(cuMemcpyHtoDAsync_v2, ILLEGAL);
    COUNT(fake_num_copies_in, 1);
    memcpy((void *)to, from, n);
    return 0;
}
int cuMemcpyDtoHAsync_v2(void *to, word from, size_t n, void *s) { memcpy(to, (void *)from, n); return 0; }
int cuStreamCreate(void **s, unsigned f) { OPEN(cuStreamCreate, INVALID); *s = &recording; return 0; }
int cuStreamDestroy_v2(void *s) { SHUT(); return 0; }
int cuStreamSynchronize(void *s) { CALL(cuStreamSynchronize, ILLEGAL); return 0; }
int cuStreamWaitEvent(void *s, void *e, unsigned f) { CALL(cuStreamWaitEvent, ILLEGAL); return 0; }
int cuStreamBeginCapture_v2(void *s, int m) {
    CALL(cuStreamBeginCapture_v2, INVALID);
    recording = calloc(1, sizeof *recording);
    return 0;
}
int cuStreamEndCapture(void *s, void **g) {
    if (!recording) return INVALID;
    COUNT(fake_num_live, 1);
    *g = recording, recording = NULL;
    return 0;
}
int cuEventCreate(void **e, unsigned f) { OPEN(cuEventCreate, INVALID); *e = malloc(8); return 0; }
int cuEventDestroy_v2(void *e) { free(e); SHUT(); return 0; }
int cuEventRecord(void *e, void *s) { CALL(cuEventRecord, ILLEGAL); return 0; }
int cuEventSynchronize(void *e) { CALL(cuEventSynchronize, ILLEGAL); return 0; }
int cuEventElapsedTime(float *ms, void *a, void *b) { *ms = 1; return 0; }
/* The machine code is the path of a library; kernels of real machine code do nothing. */
int cuModuleLoadData(void **m, const void *image) {
    module_t *module = calloc(1, sizeof *module);
    COUNT(fake_num_live, 1);
    if (!memcmp(image, "\x7f" "ELF", 4)) return *m = module, 0;
    *m = module;
    module->library = dlopen(image, RTLD_NOW | RTLD_LOCAL);
    return module->library ? 0 : (free(module), SHUT(), 200);
}
int cuModuleUnload(void *m) { SHUT(); return 0; }
int cuModuleGetFunction(void **f, void *m, const char *name) {
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
int cuFuncSetAttribute(void *f, int a, int v) { CALL(cuFuncSetAttribute, INVALID); return v > 232448 ? INVALID : 0; }
int cuFuncSetCacheConfig(void *f, int c) { return 0; }
static void run(const node_t *node) {
    const word *w = node->words;
    code_t code = (code_t)node->function->code;
    unsigned *at = node->function->block;
    if (!code) return;
    for (at[2] = 0; at[2] < node->blocks[2]; at[2]++)
        for (at[1] = 0; at[1] < node->blocks[1]; at[1]++)
            for (at[0] = 0; at[0] < node->blocks[0]; at[0]++)
                code(w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[8], w[9], w[10], w[11],
                     w[12], w[13], w[14], w[15], w[16], w[17], w[18], w[19], w[20], w[21], w[22],
                     w[23]);
}
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
    if (l->threads[0] % 32 || l->threads[0] > 1024 || l->threads[1] * l->threads[2] != 1)
        return INVALID;
    if (l->num_attributes && (l->attributes[0] != 6 || l->attributes[2] != 1)) return INVALID;
    fake_num_early += l->num_attributes;
    for (int i = 0; i < node.function->arity; i++) node.words[i] = *(word *)parameters[i];
    word *null = node.words + node.function->arity - 2;
    if (node.function->code && (null[0] || null[1])) return INVALID;
    if (recording)
        recording->nodes[recording->num_nodes++] = node;
    else
        fake_num_launches++, run(&node);
    return 0;
}
int cuGraphInstantiateWithFlags(void **e, void *g, unsigned long long f) {
    OPEN(cuGraphInstantiateWithFlags, INVALID);
    graph_t *made = malloc(sizeof *made);
    memcpy(made, g, sizeof *made);
    *e = made;
    return 0;
}
int cuGraphUpload(void *e, void *s) { return 0; }
int cuGraphLaunch(void *e, void *s) {
    CALL(cuGraphLaunch, ILLEGAL);
    fake_num_graph_launches++;
    for (int i = 0; i < ((graph_t *)e)->num_nodes; i++) run(&((graph_t *)e)->nodes[i]);
    return 0;
}
int cuGraphDestroy(void *g) { free(g); SHUT(); return 0; }
int cuGraphExecDestroy(void *e) { free(e); SHUT(); return 0; }
