// Sums in double over a fixed tree: thread t adds entries t, t + count, t + 2 count ... in order, whatever the device.

extern "C" __global__ void products(const real* __restrict__ a, const real* __restrict__ b,
                                    double* __restrict__ parts, int64 n, int64 count) {
    int64 t = column();
    if (t >= count) return;
    double s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    int64 i = t;
    for (; i + 3 * count < n; i += 4 * count) {
        s0 += (double)a[i] * (double)b[i];
        s1 += (double)a[i + count] * (double)b[i + count];
        s2 += (double)a[i + 2 * count] * (double)b[i + 2 * count];
        s3 += (double)a[i + 3 * count] * (double)b[i + 3 * count];
    }
    for (; i < n; i += count) s0 += (double)a[i] * (double)b[i];
    parts[t] = (s0 + s1) + (s2 + s3);
}

extern "C" __global__ void sums(const double* __restrict__ parts, double* __restrict__ fewer, int64 n, int64 count) {
    int64 t = column();
    if (t >= count) return;
    double total = 0;
    for (int64 i = t; i < n; i += count) total += parts[i];
    fewer[t] = total;
}

extern "C" __global__ void add_scaled(const real* __restrict__ a, real t, const real* __restrict__ b,
                                      real* __restrict__ out, int64 n) {
    int64 i = column();
    if (i < n) out[i] = a[i] + t * b[i];
}
