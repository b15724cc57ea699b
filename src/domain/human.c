#include "domain/human.h"

#include <stdio.h>

bool human_count(int64_t value, struct buf *out)
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%lld", (long long)value);
    bool ok = true;
    for (int i = 0; ok && i < len; i++) {
        bool separator = i > 0 && (len - i) % 3 == 0 && digits[i - 1] != '-';
        ok = (!separator || buf_append_char(out, ',')) && buf_append_char(out, digits[i]);
    }
    return ok;
}

bool human_age(double seconds, struct buf *out)
{
    if (seconds < 9.95) {
        return buf_printf(out, "%.1f s", seconds < 0 ? 0 : seconds);
    }
    int64_t whole = (int64_t)(seconds + 0.5);
    if (whole < 120) {
        return buf_printf(out, "%lld s", (long long)whole);
    }
    int64_t minutes = whole / 60;
    if (minutes < 120) {
        return buf_printf(out, "%lld min", (long long)minutes);
    }
    int64_t hours = minutes / 60;
    return hours < 48
               ? buf_printf(out, "%lld h %lld min", (long long)hours, (long long)minutes % 60)
               : buf_printf(out, "%lld d %lld h", (long long)hours / 24, (long long)hours % 24);
}

bool human_ms(double ms, struct buf *out)
{
    return ms < 10     ? buf_printf(out, "%.1f ms", ms)
           : ms < 1000 ? buf_printf(out, "%.0f ms", ms)
                       : human_age(ms / 1000, out);
}

bool human_bytes(int64_t bytes, struct buf *out)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    if (bytes < 1024) {
        return buf_printf(out, "%lld B", (long long)bytes);
    }
    double value = (double)bytes / 1024;
    size_t unit = 0;
    while (value >= 1024 && unit + 1 < sizeof units / sizeof units[0]) {
        value /= 1024;
        unit++;
    }
    return buf_printf(out, value < 10 ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

bool human_safe(struct str text, struct buf *out)
{
    bool ok = true;
    for (size_t i = 0; ok && i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        // C2 80 to C2 9F are the controls of the upper half.
        bool upper = c == 0xC2 && i + 1 < text.len && (unsigned char)text.ptr[i + 1] < 0xA0;
        bool control = c < 0x20 || c == 0x7F || upper;
        ok = buf_append_char(out, control ? '?' : text.ptr[i]);
        i += upper;
    }
    return ok;
}

bool human_sparkline(const double *values, size_t count, bool utf8, struct buf *out)
{
    static const char *const blocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    static const char *const ascii[] = {"_", ".", ":", "-", "=", "+", "*", "#"};
    double top = 0;
    for (size_t i = 0; i < count; i++) {
        top = values[i] > top ? values[i] : top;
    }
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++) {
        // Anything above zero is seen.
        size_t level = values[i] <= 0 ? 0 : 1 + (size_t)(values[i] / top * 6 + 0.5);
        ok = buf_append_str(out, str_of(utf8 ? blocks[level] : ascii[level]));
    }
    return ok;
}
