/* A read-only mount of a directory in C, with libfuse's high-level read(): what benchmarks hold cdbfs against.
 *
 *     cc -O2 -o native_fs native_fs.c $(pkg-config --cflags --libs fuse3)
 *     ./native_fs DIRECTORY MOUNT_POINT -f
 */
#define FUSE_USE_VERSION 31
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *root;

static void below(char *whole, const char *path) { snprintf(whole, PATH_MAX, "%s%s", root, path); }

static int look(const char *path, struct stat *found, struct fuse_file_info *info) {
    char whole[PATH_MAX];
    (void)info;
    below(whole, path);
    return lstat(whole, found) ? -errno : 0;
}

static int open_file(const char *path, struct fuse_file_info *info) {
    char whole[PATH_MAX];
    below(whole, path);
    int descriptor = open(whole, O_RDONLY);
    if (descriptor < 0) return -errno;
    info->fh = descriptor;
    info->keep_cache = 1;
    return 0;
}

static int read_file(const char *path, char *buffer, size_t size, off_t offset, struct fuse_file_info *info) {
    (void)path;
    ssize_t got = pread(info->fh, buffer, size, offset);
    return got < 0 ? -errno : (int)got;
}

static int release_file(const char *path, struct fuse_file_info *info) {
    (void)path;
    close(info->fh);
    return 0;
}

static const struct fuse_operations operations = {
    .getattr = look,
    .open = open_file,
    .read = read_file,
    .release = release_file,
};

int main(int count, char **arguments) {
    if (count < 3) return 2;
    root = realpath(arguments[1], NULL);
    arguments[1] = arguments[0];
    return fuse_main(count - 1, arguments + 1, &operations, NULL);
}
