// (1 - rho) q + rho w (q + step (z - y)) / (w + step); y and w are images, or null and the numbers y0, w0

extern "C" __global__ void quadratic_ascent(const real* __restrict__ q, const real* __restrict__ z,
                                            const real* __restrict__ y, const real* __restrict__ w, real y0, real w0,
                                            real step, real rho, real* __restrict__ out, int64 n) {
    int64 i = column();
    if (i >= n) return;
    real weight = w ? w[i] : w0;
    out[i] = (1 - rho) * q[i] + rho * weight * (q[i] + step * (z[i] - (y ? y[i] : y0))) / (weight + step);
}
