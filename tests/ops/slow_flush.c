/* LD_PRELOAD library that makes each flush of Postgres' WAL take CXR_FLUSH_MS longer, like a slow disk. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

int fdatasync(int file) {
    static int (*flush)(int);
    const char *milliseconds = getenv("CXR_FLUSH_MS");
    if (!flush) flush = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    if (milliseconds) {
        struct timespec pause = {0, atol(milliseconds) * 1000000L};
        nanosleep(&pause, 0);
    }
    return flush(file);
}
