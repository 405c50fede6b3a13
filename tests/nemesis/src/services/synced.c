/* Writes down how much of each file its last fsync or fdatasync covered: the size in bytes, as text, in SYNCED/INODE. Preloaded into a
 * server whose files only grow, it says what a power cut would leave. Nothing reaches a real disk by it, so it is quick. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int covered(int fd) {
    const char *book = getenv("SYNCED");
    struct stat about;
    if (!book || fstat(fd, &about) != 0 || !S_ISREG(about.st_mode)) return 0;
    char path[PATH_MAX], text[32];
    snprintf(path, sizeof path, "%s/%llu", book, (unsigned long long)about.st_ino);
    /* Of one width, so that one write replaces the other whole. */
    int length = snprintf(text, sizeof text, "%020lld", (long long)about.st_size);
    int to = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (to < 0) return -1;
    int bad = pwrite(to, text, length, 0) != length;
    close(to);
    return bad ? -1 : 0;
}

int fsync(int fd) { return covered(fd); }
int fdatasync(int fd) { return covered(fd); }
