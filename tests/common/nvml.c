/* A driver's library with two GPUs, as far as the agent asks it. With LOST the second does not answer. */
#include <string.h>

#ifndef LOST
#define LOST 0
#endif

#define GPU_IS_LOST 15

struct memory_v2 {
    unsigned int version;
    unsigned long long total, reserved, free, used;
};

static char uuids[2][64] = {"GPU-00000000-0000-0000-0000-000000000000", "GPU-11111111-1111-1111-1111-111111111111"};

int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }

int nvmlSystemGetDriverVersion(char *version, unsigned int length) {
    strncpy(version, "550.54.14", length);
    return 0;
}

int nvmlDeviceGetCount_v2(unsigned int *count) {
    *count = 2;
    return 0;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **device) {
    if (LOST && index == 1) return GPU_IS_LOST;
    *device = uuids[index];
    return 0;
}

int nvmlDeviceGetUUID(void *device, char *uuid, unsigned int length) {
    strncpy(uuid, device, length);
    return 0;
}

int nvmlDeviceGetName(void *device, char *name, unsigned int length) {
    (void)device;
    strncpy(name, "Played GPU", length);
    return 0;
}

int nvmlDeviceGetMemoryInfo_v2(void *device, struct memory_v2 *memory) {
    (void)device;
    memory->total = 16384ULL << 20;
    return 0;
}
