/* A disk that forgets what was not synced. Preloaded into a process, it keeps what each fsync and fdatasync covers, and nothing else:
 * the content of a file in DISK/file-INODE, the names in a directory in DISK/names-INODE. Nothing reaches a real disk, so it is quick.
 * Content is copied before the call returns, and appears whole: the process may be killed at any moment. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int is_inside(int fd, const char *root) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strncmp(path, root, strlen(root)) == 0;
}

static int copy_file(int fd, int to) {
    char buffer[65536], link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    /* Opened anew: the descriptor may be for writing alone, and its position is its owner's. */
    int from = open(link, O_RDONLY | O_CLOEXEC);
    if (from < 0) return -1;
    ssize_t count;
    while ((count = read(from, buffer, sizeof buffer)) > 0) {
        if (write(to, buffer, count) != count) { close(from); return -1; }
    }
    close(from);
    return count < 0 ? -1 : 0;
}

static int copy_names(int fd, int to) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    DIR *directory = opendir(link);
    if (!directory) return -1;
    struct dirent *entry;
    while ((entry = readdir(directory))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        struct stat about;
        if (fstatat(fd, entry->d_name, &about, AT_SYMLINK_NOFOLLOW) != 0) continue;
        dprintf(to, "%c %llu %s\n", S_ISDIR(about.st_mode) ? 'd' : 'f', (unsigned long long)about.st_ino, entry->d_name);
    }
    closedir(directory);
    return 0;
}

static int keep(int fd) {
    static __thread unsigned number;
    const char *root = getenv("POWER_ROOT"), *disk = getenv("POWER_DISK");
    struct stat about;
    if (!root || !disk || fstat(fd, &about) != 0 || !is_inside(fd, root)) return 0;
    const char *kind = S_ISDIR(about.st_mode) ? "names" : "file";
    char temporary[PATH_MAX], path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s-%llu", disk, kind, (unsigned long long)about.st_ino);
    snprintf(temporary, sizeof temporary, "%s/writing-%d-%u", disk, gettid(), number++);
    int to = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (to < 0) return -1;
    int failed = S_ISDIR(about.st_mode) ? copy_names(fd, to) : copy_file(fd, to);
    close(to);
    if (failed || rename(temporary, path) != 0) { errno = EIO; return -1; }
    return 0;
}

int fsync(int fd) { return keep(fd); }
int fdatasync(int fd) { return keep(fd); }
