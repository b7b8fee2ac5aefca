// Sets the wall clock of one process off by CLOCK_OFF_SECONDS, when it is loaded before libc.
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
  int result = syscall(SYS_clock_gettime, clock, now);
  const char *off = getenv("CLOCK_OFF_SECONDS");
  if (result == 0 && clock == CLOCK_REALTIME && off != NULL)
    now->tv_sec += atol(off);
  return result;
}
