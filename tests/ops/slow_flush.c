/* Stands in front of Postgres' flushes of its log: each takes CXR_FLUSH_MS longer, as on a disk that does. */
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
