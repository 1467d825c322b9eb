/* LD_PRELOAD library that simulates a full disk: while the file CXR_DISK_FULL exists, files whose path contains CXR_DISK_FULL_FOR
   cannot grow. Allocated bytes can still be overwritten. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static int meant(int file) {
    const char *part = getenv("CXR_DISK_FULL_FOR");
    char link[32], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (!part || n < 0) return 0;
    path[n] = 0;
    return strstr(path, part) != NULL;
}

static int refused(int file, off_t end) {
    const char *full = getenv("CXR_DISK_FULL");
    struct stat is;
    return full && access(full, F_OK) == 0 && fstat(file, &is) == 0 && S_ISREG(is.st_mode) && end > is.st_size && meant(file);
}

ssize_t pwrite(int file, const void *bytes, size_t n, off_t at) {
    static ssize_t (*next)(int, const void *, size_t, off_t);
    if (!next) next = (ssize_t (*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite");
    if (refused(file, at + (off_t)n)) { errno = ENOSPC; return -1; }
    return next(file, bytes, n, at);
}

ssize_t pwrite64(int file, const void *bytes, size_t n, off_t at) { return pwrite(file, bytes, n, at); }

ssize_t pwritev(int file, const struct iovec *pieces, int n, off_t at) {
    static ssize_t (*next)(int, const struct iovec *, int, off_t);
    off_t end = at;
    if (!next) next = (ssize_t (*)(int, const struct iovec *, int, off_t))dlsym(RTLD_NEXT, "pwritev");
    for (int i = 0; i < n; i++) end += pieces[i].iov_len;
    if (refused(file, end)) { errno = ENOSPC; return -1; }
    return next(file, pieces, n, at);
}

ssize_t pwritev64(int file, const struct iovec *pieces, int n, off_t at) { return pwritev(file, pieces, n, at); }

int posix_fallocate(int file, off_t at, off_t n) {
    static int (*next)(int, off_t, off_t);
    if (!next) next = (int (*)(int, off_t, off_t))dlsym(RTLD_NEXT, "posix_fallocate");
    return refused(file, at + n) ? ENOSPC : next(file, at, n);
}

int posix_fallocate64(int file, off_t at, off_t n) { return posix_fallocate(file, at, n); }
