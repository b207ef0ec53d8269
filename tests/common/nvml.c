/* A driver's library with two GPUs, as far as the agent asks it. With LOST the second does not answer; with FALLEN it is lost
 * once it was found; with UNCORRECTED it has so many such ECC errors; with XID it has that error, after one of an application. */
#include <string.h>
#include <unistd.h>

#ifndef LOST
#define LOST 0
#endif

#ifndef FALLEN
#define FALLEN 0
#endif

#ifndef UNCORRECTED
#define UNCORRECTED 0
#endif

#ifndef XID
#define XID 0
#endif

#define NOT_SUPPORTED 3
#define TIMEOUT 10
#define GPU_IS_LOST 15
#define XID_EVENT 8

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

int nvmlDeviceGetHandleByUUID(const char *uuid, void **device) {
    int index = strcmp(uuid, uuids[0]) != 0;
    return nvmlDeviceGetHandleByIndex_v2(index, device);
}

int nvmlDeviceGetTotalEccErrors(void *device, int type, int counter, unsigned long long *count) {
    (void)type, (void)counter;
    if (device != uuids[1] || !UNCORRECTED) return NOT_SUPPORTED;
    *count = UNCORRECTED;
    return 0;
}

int nvmlDeviceGetTemperature(void *device, int sensor, unsigned int *celsius) {
    (void)sensor;
    if (FALLEN && device == uuids[1]) return GPU_IS_LOST;
    *celsius = 40;
    return 0;
}

struct event {
    void *device;
    unsigned long long type, data;
    unsigned int gpu_instance, compute_instance;
};

static int events_told;

int nvmlEventSetCreate(void **set) {
    *set = &events_told;
    return 0;
}

int nvmlEventSetFree(void *set) { return (void)set, 0; }

int nvmlDeviceRegisterEvents(void *device, unsigned long long types, void *set) {
    return (void)device, (void)types, (void)set, 0;
}

int nvmlEventSetWait_v2(void *set, struct event *event, unsigned int milliseconds) {
    static const unsigned long long codes[2] = {43, XID};
    (void)set;
    if (!XID || events_told == 2) {
        usleep(milliseconds * 1000);
        return TIMEOUT;
    }
    event->device = uuids[1];
    event->type = XID_EVENT;
    event->data = codes[events_told++];
    return 0;
}
