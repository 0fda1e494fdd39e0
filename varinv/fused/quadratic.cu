// (1 - rho) q + rho w (q + step (z - y)) / (w + step); y and w are images, or null and the numbers y0, w0

extern "C" __global__ void quadratic_ascent(const real* __restrict__ q, const real* __restrict__ z,
                                            const real* __restrict__ y, const real* __restrict__ w, real y0, real w0,
                                            real step, real rho, real* __restrict__ out, int64 n) {
    int64 i = column();
    if (i >= n) return;
    real weight = w ? w[i] : w0;
    out[i] = (1 - rho) * q[i] + rho * weight * (q[i] + step * (z[i] - (y ? y[i] : y0))) / (weight + step);
}

// Partial sums of w (z - y)^2 in double, entries i, i + count, ... by thread i
extern "C" __global__ void weighted_square(const real* __restrict__ z, const real* __restrict__ y,
                                           const real* __restrict__ w, double y0, double w0,
                                           double* __restrict__ parts, int64 n, int64 count) {
    int64 t = column();
    if (t >= count) return;
    double total = 0;
    for (int64 i = t; i < n; i += count) {
        double a = (double)z[i] - (y ? (double)y[i] : y0);
        total += (w ? (double)w[i] : w0) * a * a;
    }
    parts[t] = total;
}
