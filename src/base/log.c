/* log.c -- one event a line on stderr: `done id=7 prompt_tok=1843 ttft_ms=48.1`. */
#include "base/base.h"

enum log_level log_level = LOG_WARN;

void log_line(enum log_level l, const char *fmt, ...)
{
    if (l > log_level) return;
    char line[2048];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof line - 1, fmt, ap);
    va_end(ap);
    size_t len = n < 0 ? 0 : MIN((size_t)n, sizeof line - 2);
    line[len++] = '\n';
    fwrite(line, 1, len, stderr);                                     /* one write: lines of threads do not mix */
}
