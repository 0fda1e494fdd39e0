// The X-ray transform on a device; radon_cuda.py makes the tables and says which kernel reads what.
//
// Where a ray crosses a row decides its weights, and float is too coarse for that (2^-14 of a pixel at 1000).  Beside
// float images coordinates are therefore integers, 2^32 to a pixel or a ray: sums are exact, forward and adjoint see the
// same rays, no double precision is used, and a shift takes the place of ⌊t⌋.  Beside double images they are double.
// Every output is summed by one thread in a fixed order: no atomics, the same bits in every run.
//
// S slices lie side by side, (slices/S, …, S), so that one address and one weight serve all S and a load takes 16 bytes.

template <typename T> struct Coordinate { using type = double; };
template <> struct Coordinate<float> { using type = int64; };
using coordinate = Coordinate<real>::type;

template <int S> struct alignas(S == 4 ? 16 : sizeof(real)) Pack { real v[S]; };

__device__ inline int whole(int64 t) { return (int)(t >> 32); }
__device__ inline int whole(double t) { return (int)floor(t); }

// the bits below the point become those of a number in [1, 2): t − ⌊t⌋ to 2^-23
__device__ inline float part(int64 t) {
    union { unsigned bits; float value; } u;
    u.bits = 0x3f800000u | ((unsigned)t >> 9);
    return u.value - 1.0f;
}
__device__ inline double part(double t) { return t - floor(t); }

__device__ inline float rough(int64 t) { return (float)t * (1.0f / 4294967296.0f); }
__device__ inline double rough(double t) { return t; }

// base + i·step one step after t: integers add exactly; doubles are rounded once, whatever i the thread began with
template <typename T>
__device__ inline T after(T t, T step, T base, int64 i) {
    return sizeof(real) == 4 ? t + step : base + (T)i * step;
}

__device__ inline real positive(real x) { return x > real(0) ? x : real(0); }
__device__ inline int within(real x, int top) { return x > real(0) ? (x < real(top) ? (int)x : top) : 0; }

// ------------------------------------------------------------------------------------------------------------- copies

const int PAD = 8;  // zero columns on either side, read by rays that come in or leave within a batch of rows
const int BELOW = 3;  // zero rows that complete the last batch

// (slices, rows, cols) → (slices/together, rows + BELOW, cols + 2 PAD, together); `turned`: of the transposed image
extern "C" __global__ void frame(const real* __restrict__ x, real* __restrict__ out, int64 slices, int64 rows,
                                 int64 cols, int64 turned, int64 together) {
    const int64 steps = turned ? cols : rows, width = turned ? rows : cols, wide = width + 2 * PAD;
    const int64 c = column(), n = row(), j = c - PAD, first = slice() * together;
    if (first >= slices || n >= steps + BELOW || c >= wide) return;
    const bool inside = n < steps && j >= 0 && j < width;
    for (int64 s = 0; s < together; ++s)
        out[((slice() * (steps + BELOW) + n) * wide + c) * together + s] =
            inside && first + s < slices ? x[((first + s) * rows + (turned ? j : n)) * cols + (turned ? n : j)] : real(0);
}

// (slices, angles, bins) → (slices/together, angles, rays + 2 pad, together): each ray's value times its length
extern "C" __global__ void spread(const real* __restrict__ y, const real* __restrict__ length, real* __restrict__ out,
                                  int64 slices, int64 angles, int64 bins, int64 parts, int64 fan, int64 pad,
                                  int64 together) {
    const int64 count = bins * parts, c = column(), a = row(), k = c - pad, first = slice() * together;
    if (first >= slices || a >= angles || c >= count + 2 * pad) return;
    const bool inside = k >= 0 && k < count;
    const real scale = inside ? length[fan ? a * count + k : a] : real(0);
    for (int64 s = 0; s < together; ++s)
        out[((slice() * angles + a) * (count + 2 * pad) + c) * together + s] =
            inside && first + s < slices ? scale * y[((first + s) * angles + a) * bins + k / parts] : real(0);
}

// ------------------------------------------------------------------------------------------------------------ forward

// The crossings of a ray with rows n, n + 1, …: the pixel to the left in the framed image, and how far beyond it is.
template <typename T> struct Walk {
    double start, slope;
    int64 n, wide;
    __device__ inline Walk(double start, double slope, int64 n, int64 wide)
        : start(start), slope(slope), n(n), wide(wide) {}
    __device__ inline double t() const { return start + (double)n * slope; }
    __device__ inline int64 place() const { return n * wide + PAD + whole(t()); }
    __device__ inline double part() const { return ::part(t()); }
    __device__ inline void next() { ++n; }
};

// the index in memory is the whole part of one sum, n·wide + PAD + t
template <> struct Walk<float> {
    int64 sum, step;
    __device__ inline Walk(int64 start, int64 slope, int64 n, int64 wide)
        : sum(start + ((int64)PAD << 32)), step(slope + (wide << 32)) {
        sum += n * step;
    }
    __device__ inline int place() const { return whole(sum); }
    __device__ inline float part() const { return ::part(sum); }
    __device__ inline void next() { sum += step; }
};

// On row n of x (of the turned image where not by_row) ray k of an angle is at start + k·pitch + n·slope.  Tables have
// an entry for each angle, or for each ray where `fan`.  A thread follows the `parts` rays of one bin; the warps of a
// block take neighbouring angles, which read nearly the same pixels.
template <int S>
__device__ inline void follow(const real* __restrict__ x, const real* __restrict__ turned,
                              const unsigned char* __restrict__ by_row, const coordinate* __restrict__ start,
                              const coordinate* __restrict__ slope, const coordinate* __restrict__ pitch,
                              const real* __restrict__ length, real* __restrict__ out, int64 slices, int rows, int cols,
                              int64 angles, int64 bins, int64 parts, int64 fan) {
    const int BATCH = S == 1 ? 4 : 2;  // rows whose pixels are asked for before the first is needed
    const int64 bin = column(), a = row(), group = slice();
    if (bin >= bins || a >= angles || group * S >= slices) return;
    real sum[S] = {};
    for (int64 k = bin * parts; k < (bin + 1) * parts; ++k) {
        const int64 ray = fan ? a * bins * parts + k : a;
        const bool along = by_row[ray];
        const int steps = along ? rows : cols, width = along ? cols : rows;
        const int64 wide = width + 2 * PAD;
        const coordinate t = fan ? start[ray] : start[a] + k * pitch[a];
        // where −1 < t < width, half a pixel (rough rounds) and one or two rows more
        const real p = (real(-1.5) - rough(t)) / rough(slope[ray]);
        const real q = (real(width) + real(0.5) - rough(t)) / rough(slope[ray]);
        const int first = within((p < q ? p : q) - 1, steps), last = within((p < q ? q : p) + 2, steps);
        const Pack<S>* image = (const Pack<S>*)(along ? x : turned) + group * (steps + BELOW) * wide;
        Walk<real> at(t, slope[ray], first, wide);
        real line[S] = {};
        for (int n = first; n < last; n += BATCH) {
            Pack<S> left[BATCH], right[BATCH];
            real w[BATCH];
            for (int r = 0; r < BATCH; ++r, at.next()) {
                const Pack<S>* pixel = image + at.place();
                left[r] = pixel[0];
                right[r] = pixel[1];
                w[r] = at.part();
            }
            for (int r = 0; r < BATCH; ++r)
                for (int s = 0; s < S; ++s) {
                    line[s] += (1 - w[r]) * left[r].v[s];
                    line[s] += w[r] * right[r].v[s];
                }
        }
        for (int s = 0; s < S; ++s) sum[s] += length[ray] * line[s];
    }
    for (int s = 0; s < S; ++s)
        if (group * S + s < slices) out[((group * S + s) * angles + a) * bins + bin] = sum[s];
}

// ------------------------------------------------------------------------------------------------------------ adjoint

template <int S, int R>
__device__ inline void store(const real (&total)[R][S], real* __restrict__ out, int64 slices, int64 rows, int64 cols) {
    for (int r = 0; r < R; ++r)
        for (int s = 0; s < S; ++s)
            if (slice() * S + s < slices && row() * R + r < rows)
                out[((slice() * S + s) * rows + row() * R + r) * cols + column()] = total[r][s];
}

// Ray k passes a pixel, along its row or column, at the distance |k − κ|·pitch, κ = zero + i·down + j·right the ray
// index on which the pixel's centre falls; its weight is Joseph's (1 − w) or w, that is 1 − distance.  So the rays
// ⌊κ⌋ + 1 − taps … ⌊κ⌋ + taps matter, taps = ⌈1/pitch⌉; κ beyond the detector is moved to where all of them are zeros.
// A thread owns R pixels of a column.
template <int S, int R>
__device__ inline void gather(const real* __restrict__ y, const coordinate* __restrict__ zero,
                              const coordinate* __restrict__ down, const coordinate* __restrict__ right,
                              const real* __restrict__ pitch, real* __restrict__ out, int64 slices, int64 rows,
                              int64 cols, int64 angles, int count, int taps) {
    const int64 j = column(), top = row() * R, stride = count + 4 * taps;
    if (j >= cols || top >= rows || slice() * S >= slices) return;
    const Pack<S>* view = (const Pack<S>*)y + slice() * angles * stride + 2 * taps;
    const int lowest = -taps - 1, highest = count - 1 + taps;
    real total[R][S] = {};
    for (int64 a = 0; a < angles; ++a, view += stride) {
        const coordinate base = zero[a] + j * right[a], step = down[a];
        coordinate kappa = base + top * step;
        const real p = pitch[a];
        const Pack<S>* ray[R];
        real f[R];
        for (int r = 0; r < R; ++r) {
            ray[r] = view + min(max(whole(kappa), lowest), highest);
            f[r] = part(kappa);
            kappa = after(kappa, step, base, top + r + 1);
        }
        const auto pair = [&](int m, real lower) {
            for (int r = 0; r < R; ++r) {
                const Pack<S> left = ray[r][-m], right = ray[r][m + 1];
                for (int s = 0; s < S; ++s) {
                    total[r][s] += positive(lower - p * f[r]) * left.v[s];
                    total[r][s] += positive(lower - p + p * f[r]) * right.v[s];
                }
            }
        };
        pair(0, real(1));
        for (int m = 1; m < taps; ++m) pair(m, 1 - p * real(m));
    }
    store<S, R>(total, out, slices, rows, cols);
}

// A fan: κ = v/w, v and w linear in the pixel (zero, down, right), w its depth seen from the source over the axis' depth.
// The distance of ray k is |k·w − v|·near[k]; k·w − v is a small difference of large numbers and exact beside float:
// modulo 2^64, with 2^48 to a ray.  Rays farther than reach/w pass by.
template <typename T> struct Modular { using type = double; };
template <> struct Modular<float> { using type = unsigned long long; };
using modular = Modular<real>::type;

__device__ inline float rounded(unsigned long long t, int bits) {  // to 2^-bits
    return (float)(int)((int64)t >> (48 - bits)) * (1.0f / (float)(1 << bits));
}
__device__ inline double rounded(double t, int) { return t; }

template <int S, int R>
__device__ inline void gather_fan(const real* __restrict__ y, const coordinate* __restrict__ v,
                                  const coordinate* __restrict__ w, const real* __restrict__ reach,
                                  const real* __restrict__ near, real* __restrict__ out, int64 slices, int64 rows,
                                  int64 cols, int64 angles, int count) {
    const int64 j = column(), top = row() * R;
    if (j >= cols || top >= rows || slice() * S >= slices) return;
    const Pack<S>* view = (const Pack<S>*)y + slice() * angles * count;
    real total[R][S] = {};
    for (int64 a = 0; a < angles; ++a, view += count, near += count) {
        const modular v0 = (modular)v[3 * a] + (modular)j * (modular)v[3 * a + 2], dv = (modular)v[3 * a + 1];
        const modular w0 = (modular)w[3 * a] + (modular)j * (modular)w[3 * a + 2], dw = (modular)w[3 * a + 1];
        modular here = v0 + (modular)top * dv, deep = w0 + (modular)top * dw;
        for (int r = 0; r < R; ++r) {
            const real depth = rounded(deep, 24), inverse = 1 / depth, far = reach[a] * inverse;
            const int k0 = (int)floor(rounded(here, 16) * inverse);
            const real e = rounded((modular)(int64)k0 * deep - here, 26), f = -e * inverse;  // κ = k0 + f
            const int first = max(k0 + (int)ceil(f - far), 0), last = min(k0 + (int)floor(f + far), count - 1);
            for (int k = first; k <= last; ++k) {
                const real weight = positive(1 - fabs(e + real(k - k0) * depth) * near[k]);
                const Pack<S> value = view[k];
                for (int s = 0; s < S; ++s) total[r][s] += weight * value.v[s];
            }
            here = after(here, dv, v0, top + r + 1);
            deep = after(deep, dw, w0, top + r + 1);
        }
    }
    store<S, R>(total, out, slices, rows, cols);
}

// --------------------------------------------------------------------------------- one slice, and four slices together

extern "C" __global__ void project_1(const real* x, const real* turned, const unsigned char* by_row,
                                     const coordinate* start, const coordinate* slope, const coordinate* pitch,
                                     const real* length, real* out, int64 slices, int64 rows, int64 cols,
                                     int64 angles, int64 bins, int64 parts, int64 fan) {
    follow<1>(x, turned, by_row, start, slope, pitch, length, out, slices, (int)rows, (int)cols, angles, bins, parts,
              fan);
}

extern "C" __global__ void project_4(const real* x, const real* turned, const unsigned char* by_row,
                                     const coordinate* start, const coordinate* slope, const coordinate* pitch,
                                     const real* length, real* out, int64 slices, int64 rows, int64 cols,
                                     int64 angles, int64 bins, int64 parts, int64 fan) {
    follow<4>(x, turned, by_row, start, slope, pitch, length, out, slices, (int)rows, (int)cols, angles, bins, parts,
              fan);
}

extern "C" __global__ void backproject_1(const real* y, const coordinate* zero, const coordinate* down,
                                         const coordinate* right, const real* pitch, real* out, int64 slices,
                                         int64 rows, int64 cols, int64 angles, int64 count, int64 taps) {
    gather<1, 4>(y, zero, down, right, pitch, out, slices, rows, cols, angles, (int)count, (int)taps);
}

extern "C" __global__ void backproject_4(const real* y, const coordinate* zero, const coordinate* down,
                                         const coordinate* right, const real* pitch, real* out, int64 slices,
                                         int64 rows, int64 cols, int64 angles, int64 count, int64 taps) {
    gather<4, 2>(y, zero, down, right, pitch, out, slices, rows, cols, angles, (int)count, (int)taps);
}

extern "C" __global__ void backproject_fan_1(const real* y, const coordinate* v, const coordinate* w,
                                             const real* reach, const real* near, real* out, int64 slices, int64 rows,
                                             int64 cols, int64 angles, int64 count) {
    gather_fan<1, 4>(y, v, w, reach, near, out, slices, rows, cols, angles, (int)count);
}

extern "C" __global__ void backproject_fan_4(const real* y, const coordinate* v, const coordinate* w,
                                             const real* reach, const real* near, real* out, int64 slices, int64 rows,
                                             int64 cols, int64 angles, int64 count) {
    gather_fan<4, 2>(y, v, w, reach, near, out, slices, rows, cols, angles, (int)count);
}
