/* A V4L2 camera without a kernel module: preloaded, it answers for the device at $V4L2_SIM_PATH.
 *
 * It implements the protocol of linux/videodev2.h that OpenCV and v4l2-ctl use: enumeration, try
 * and set of formats (to the nearest that there is, as drivers do), mapped buffers, and extended
 * controls whose integers are clamped, whose menus refuse, and whose manual values are closed while
 * an automatic mode has them, as in uvcvideo.
 *
 * $V4L2_SIM_FORMATS: which formats it has, in order, "YUYV,MJPG" for example.
 * $V4L2_SIM_LEAST_WIDTH: it has no narrower pictures.
 * $V4L2_SIM_JPEGS: a folder with WIDTHxHEIGHT.jpg for MJPG.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MOST_BYTES (1920 * 1080 * 4)
#define BUFFERS 8
#define LENGTH(list) (sizeof(list) / sizeof((list)[0]))

struct mode { const char *format; int width, height, fps; };
static const struct mode MODES[] = {
    {"YUYV", 640, 480, 30}, {"YUYV", 1280, 720, 10},
    {"MJPG", 640, 480, 30}, {"MJPG", 1280, 720, 60}, {"MJPG", 1280, 720, 30}, {"MJPG", 1920, 1080, 30},
    {"GREY", 640, 480, 30}, {"Y16 ", 640, 480, 30}, {"BA81", 640, 480, 30},
};
static struct control {
    __u32 id, type; const char *name; int minimum, maximum, initial, value; const char *menu[4];
} controls[] = {
    {V4L2_CID_BRIGHTNESS, V4L2_CTRL_TYPE_INTEGER, "Brightness", 0, 255, 128, 128, {0}},
    {V4L2_CID_AUTO_WHITE_BALANCE, V4L2_CTRL_TYPE_BOOLEAN, "White Balance, Automatic", 0, 1, 1, 1, {0}},
    {V4L2_CID_GAIN, V4L2_CTRL_TYPE_INTEGER, "Gain", 0, 100, 16, 16, {0}},
    {V4L2_CID_POWER_LINE_FREQUENCY, V4L2_CTRL_TYPE_MENU, "Power Line Frequency", 0, 2, 1, 1,
     {"Disabled", "50 Hz", "60 Hz"}},
    {V4L2_CID_EXPOSURE_AUTO, V4L2_CTRL_TYPE_MENU, "Auto Exposure", 0, 3, 3, 3,
     {0, "Manual Mode", 0, "Aperture Priority Mode"}},
    {V4L2_CID_EXPOSURE_ABSOLUTE, V4L2_CTRL_TYPE_INTEGER, "Exposure Time, Absolute", 3, 2047, 250, 250, {0}},
};
static struct mode now;
static int descriptors[16], memory = -1, queue[BUFFERS], queued, sequence;

static int is_ours(int fd) {
    for (unsigned i = 0; i < LENGTH(descriptors); i++)
        if (fd > 0 && descriptors[i] == fd) return 1;
    return 0;
}

static int has(const struct mode *mode) {
    const char *given = getenv("V4L2_SIM_FORMATS"), *least = getenv("V4L2_SIM_LEAST_WIDTH");
    if (least && mode->width < atoi(least)) return 0;
    return !given || strstr(given, strcmp(mode->format, "Y16 ") ? mode->format : "Y16") != NULL;
}

static const char *nth_format(unsigned index) {
    const char *last = "";
    for (unsigned i = 0; i < LENGTH(MODES); i++) {
        if (!strcmp(MODES[i].format, last) || !has(&MODES[i])) continue;
        last = MODES[i].format;
        if (!index--) return last;
    }
    return NULL;
}

static __u32 code(const char *f) { return v4l2_fourcc(f[0], f[1], f[2], f[3]); }

static int bytes_of(const struct mode *mode) {
    int deep = !strcmp(mode->format, "GREY") || !strcmp(mode->format, "BA81") ? 1 : 2;
    return mode->width * mode->height * deep;
}

static int refuse(int error) { errno = error; return -1; }

static int opened(const char *path) {
    const char *ours = getenv("V4L2_SIM_PATH");
    if (!ours || strcmp(path, ours)) return -2;
    if (memory < 0) {
        memory = memfd_create("v4l2-sim", 0);
        if (ftruncate(memory, (long)BUFFERS * MOST_BYTES)) return -1;
        for (unsigned i = LENGTH(MODES); i-- > 0;)
            if (has(&MODES[i])) now = MODES[i];
    }
    char again[64];
    snprintf(again, sizeof again, "/proc/self/fd/%d", memory);
    int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
    int fd = real(again, O_RDWR | O_CLOEXEC);
    for (unsigned i = 0; i < LENGTH(descriptors); i++)
        if (!descriptors[i]) { descriptors[i] = fd; break; }
    return fd;
}

#define OPENS(name)                                                             \
    int name(const char *path, int flags, ...) {                                \
        va_list rest; va_start(rest, flags); int mode = va_arg(rest, int); va_end(rest); \
        int fd = opened(path);                                                  \
        if (fd != -2) return fd;                                                \
        int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, #name);          \
        return real(path, flags, mode);                                         \
    }
OPENS(open)
OPENS(open64)

int close(int fd) {
    for (unsigned i = 0; i < LENGTH(descriptors); i++)
        if (fd > 0 && descriptors[i] == fd) descriptors[i] = 0;
    int (*real)(int) = dlsym(RTLD_NEXT, "close");
    return real(fd);
}

static void put_format(struct v4l2_format *format) {
    struct v4l2_pix_format *pix = &format->fmt.pix;
    pix->width = now.width; pix->height = now.height; pix->pixelformat = code(now.format);
    pix->field = V4L2_FIELD_NONE; pix->sizeimage = bytes_of(&now);
    pix->bytesperline = strcmp(now.format, "MJPG") ? bytes_of(&now) / now.height : 0;
}

/* The nearest mode: the format if there is one, then the size that differs least. */
static struct mode nearest(const struct v4l2_pix_format *pix) {
    struct mode best = now; long least = -1;
    for (unsigned i = 0; i < LENGTH(MODES); i++) {
        if (!has(&MODES[i])) continue;
        long off = labs((long)MODES[i].width - pix->width) + labs((long)MODES[i].height - pix->height);
        if (code(MODES[i].format) != pix->pixelformat) off += 1000000;
        if (least < 0 || off < least) { least = off; best = MODES[i]; }
    }
    return best;
}

static int fill(char *at) {
    int size = bytes_of(&now);
    if (!strcmp(now.format, "MJPG")) {
        char path[512];
        snprintf(path, sizeof path, "%s/%dx%d.jpg", getenv("V4L2_SIM_JPEGS"), now.width, now.height);
        int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
        int (*shut)(int) = dlsym(RTLD_NEXT, "close");
        int fd = real(path, O_RDONLY);
        size = fd < 0 ? 0 : (int)read(fd, at, MOST_BYTES);
        if (fd >= 0) shut(fd);
        return size;
    }
    int deep = size / (now.width * now.height);
    for (int y = 0; y < now.height; y++) /* dark on the left, bright on the right */
        for (int x = 0; x < now.width; x++) {
            unsigned char grey = 255 * x / now.width, *to = (unsigned char *)at + (y * now.width + x) * deep;
            if (deep == 1) to[0] = grey;
            else if (!strcmp(now.format, "YUYV")) { to[0] = grey; to[1] = 128; }
            else { to[0] = 0; to[1] = grey; }
        }
    at[0] = (char)sequence;
    return size;
}

static int dequeue(struct v4l2_buffer *buffer) {
    if (!queued) return refuse(EAGAIN);
    struct timespec pace = {0, 5000000};
    nanosleep(&pace, NULL);
    int index = queue[0];
    memmove(queue, queue + 1, sizeof queue - sizeof queue[0]);
    queued--;
    char *at = mmap(NULL, MOST_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, memory, (long)index * MOST_BYTES);
    buffer->index = index; buffer->bytesused = fill(at); buffer->sequence = sequence++;
    buffer->flags = V4L2_BUF_FLAG_DONE; buffer->length = MOST_BYTES; buffer->field = V4L2_FIELD_NONE;
    munmap(at, MOST_BYTES);
    return 0;
}

static struct control *control_of(__u32 id) {
    for (unsigned i = 0; i < LENGTH(controls); i++)
        if (controls[i].id == id) return &controls[i];
    return NULL;
}

static int is_inactive(const struct control *c) {
    return c->id == V4L2_CID_EXPOSURE_ABSOLUTE && control_of(V4L2_CID_EXPOSURE_AUTO)->value != 1;
}

static int set(struct control *c, int value) {
    if (is_inactive(c)) return refuse(EACCES);
    if (c->type == V4L2_CTRL_TYPE_MENU && (value < c->minimum || value > c->maximum || !c->menu[value]))
        return refuse(ERANGE);
    c->value = value < c->minimum ? c->minimum : value > c->maximum ? c->maximum : value;
    return 0;
}

static int query(struct v4l2_query_ext_ctrl *asked) {
    __u32 from = asked->id & V4L2_CTRL_ID_MASK;
    struct control *found = NULL;
    for (unsigned i = 0; i < LENGTH(controls); i++) {
        struct control *c = &controls[i];
        int fits = asked->id & V4L2_CTRL_FLAG_NEXT_CTRL ? c->id > from : c->id == from;
        if (fits && (!found || c->id < found->id)) found = c;
    }
    if (!found) return refuse(EINVAL);
    memset(asked, 0, sizeof *asked);
    asked->id = found->id; asked->type = found->type; asked->step = 1;
    strcpy(asked->name, found->name);
    asked->minimum = found->minimum; asked->maximum = found->maximum;
    asked->default_value = found->initial; asked->elem_size = 4; asked->elems = 1;
    asked->flags = is_inactive(found) ? V4L2_CTRL_FLAG_INACTIVE : 0;
    return 0;
}

static int exchange(struct v4l2_ext_controls *all, int sets) {
    for (__u32 i = 0; i < all->count; i++) {
        struct control *c = control_of(all->controls[i].id);
        if (!c) return refuse(EINVAL);
        if (sets && set(c, all->controls[i].value)) return -1;
        all->controls[i].value = c->value;
    }
    return 0;
}

static int list_size(struct v4l2_frmsizeenum *asked) {
    __u32 left = asked->index; int width = 0;
    for (unsigned i = 0; i < LENGTH(MODES); i++) {
        if (code(MODES[i].format) != asked->pixel_format || MODES[i].width == width) continue;
        if (!has(&MODES[i])) continue;
        width = MODES[i].width;
        if (left--) continue;
        asked->type = V4L2_FRMSIZE_TYPE_DISCRETE;
        asked->discrete.width = MODES[i].width; asked->discrete.height = MODES[i].height;
        return 0;
    }
    return refuse(EINVAL);
}

static int list_rate(struct v4l2_frmivalenum *asked) {
    __u32 left = asked->index;
    for (unsigned i = 0; i < LENGTH(MODES); i++) {
        if (code(MODES[i].format) != asked->pixel_format || MODES[i].width != (int)asked->width) continue;
        if (left--) continue;
        asked->type = V4L2_FRMIVAL_TYPE_DISCRETE;
        asked->discrete.numerator = 1; asked->discrete.denominator = MODES[i].fps;
        return 0;
    }
    return refuse(EINVAL);
}

static int set_rate(struct v4l2_streamparm *asked) {
    struct v4l2_fract *wanted = &asked->parm.capture.timeperframe;
    for (unsigned i = 0; i < LENGTH(MODES); i++)
        if (!strcmp(MODES[i].format, now.format) && MODES[i].width == now.width &&
            wanted->numerator && MODES[i].fps == (int)(wanted->denominator / wanted->numerator))
            now = MODES[i];
    wanted->numerator = 1; wanted->denominator = now.fps;
    return 0;
}

static int answer(unsigned long request, void *given) {
    switch (request) {
    case VIDIOC_QUERYCAP: {
        struct v4l2_capability *c = given;
        memset(c, 0, sizeof *c);
        strcpy((char *)c->driver, "sim"); strcpy((char *)c->card, "Simulated Camera");
        c->device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
        c->capabilities = c->device_caps | V4L2_CAP_DEVICE_CAPS;
        return 0;
    }
    case VIDIOC_ENUM_FMT: {
        struct v4l2_fmtdesc *f = given;
        const char *name = nth_format(f->index);
        if (!name) return refuse(EINVAL);
        f->pixelformat = code(name);
        snprintf((char *)f->description, sizeof f->description, "Pixels as %s", name);
        return 0;
    }
    case VIDIOC_ENUM_FRAMESIZES: return list_size(given);
    case VIDIOC_ENUM_FRAMEINTERVALS: return list_rate(given);
    case VIDIOC_G_FMT: put_format(given); return 0;
    case VIDIOC_S_FMT: now = nearest(&((struct v4l2_format *)given)->fmt.pix); put_format(given); return 0;
    case VIDIOC_S_PARM: return set_rate(given);
    case VIDIOC_G_PARM: {
        struct v4l2_streamparm *p = given;
        p->parm.capture.capability = V4L2_CAP_TIMEPERFRAME;
        p->parm.capture.timeperframe.numerator = 1; p->parm.capture.timeperframe.denominator = now.fps;
        return 0;
    }
    case VIDIOC_REQBUFS: {
        struct v4l2_requestbuffers *r = given;
        if (r->count > BUFFERS) r->count = BUFFERS;
        queued = 0;
        return 0;
    }
    case VIDIOC_QUERYBUF: {
        struct v4l2_buffer *b = given;
        if (b->index >= BUFFERS) return refuse(EINVAL);
        b->length = MOST_BYTES; b->m.offset = b->index * MOST_BYTES;
        return 0;
    }
    case VIDIOC_QBUF: queue[queued++] = ((struct v4l2_buffer *)given)->index; return 0;
    case VIDIOC_DQBUF: return dequeue(given);
    case VIDIOC_STREAMON: case VIDIOC_STREAMOFF: return 0;
    case VIDIOC_QUERY_EXT_CTRL: return query(given);
    case VIDIOC_QUERYMENU: {
        struct v4l2_querymenu *m = given;
        struct control *c = control_of(m->id);
        if (!c || m->index > 3 || !c->menu[m->index]) return refuse(EINVAL);
        strcpy((char *)m->name, c->menu[m->index]);
        return 0;
    }
    case VIDIOC_G_EXT_CTRLS: return exchange(given, 0);
    case VIDIOC_S_EXT_CTRLS: return exchange(given, 1);
    default: return refuse(ENOTTY);
    }
}

int ioctl(int fd, unsigned long request, ...) {
    va_list rest; va_start(rest, request); void *given = va_arg(rest, void *); va_end(rest);
    if (is_ours(fd)) return answer(request & 0xffffffffUL, given);
    int (*real)(int, unsigned long, ...) = dlsym(RTLD_NEXT, "ioctl");
    return real(fd, request, given);
}
