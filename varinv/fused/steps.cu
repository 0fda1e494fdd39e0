// The primal step: v = clip((x - tau (g - w y)) shrink, lo, hi) and v + theta (v - x), shrink = 1/(1 + tau w).

__device__ inline void descend(int64 i, real x, real tau, real slope, real shrink, real lo, real hi, real theta,
                               real* __restrict__ fresh, real* __restrict__ ahead) {
    real v = (x - tau * slope) * shrink;
    v = v < lo ? lo : v;
    v = v > hi ? hi : v;
    fresh[i] = v;
    ahead[i] = v + theta * (v - x);
}

// y: an image, or null and the number y0
extern "C" __global__ void square_descent(const real* __restrict__ x, real tau, const real* __restrict__ g,
                                          const real* __restrict__ y, real y0, real w, real shrink, real lo, real hi,
                                          real theta, real* __restrict__ fresh, real* __restrict__ ahead, int64 n) {
    int64 i = column();
    if (i >= n) return;
    descend(i, x[i], tau, g[i] - w * (y ? y[i] : y0), shrink, lo, hi, theta, fresh, ahead);
}

// The same along g + (adjoint of the neumann differences) p; g null: 0; places and rates as in gradient.cu
extern "C" __global__ void tv_descent(const real* __restrict__ x, real tau, const real* __restrict__ g,
                                      const real* __restrict__ p, int64 slices, int64 rows, int64 columns,
                                      int64 place0, int64 place1, int64 place2, real r0, real r1, real r2,
                                      const real* __restrict__ y, real y0, real w, real shrink, real lo, real hi,
                                      real theta, real* __restrict__ fresh, real* __restrict__ ahead) {
    int64 j = column(), i = row(), k = slice();
    if (k >= slices || i >= rows || j >= columns) return;
    int64 here = (k * rows + i) * columns + j, all = slices * rows * columns;
    real slope = (g ? g[here] : real(0)) - w * (y ? y[here] : y0);
    if (place0 >= 0) slope += r0 * transposed(p + place0 * all + here, k, slices, rows * columns, 0);
    if (place1 >= 0) slope += r1 * transposed(p + place1 * all + here, i, rows, columns, 0);
    if (place2 >= 0) slope += r2 * transposed(p + place2 * all + here, j, columns, 1, 0);
    descend(here, x[here], tau, slope, shrink, lo, hi, theta, fresh, ahead);
}

extern "C" __global__ void relaxed(const real* __restrict__ old, const real* __restrict__ fresh, real rho,
                                   real* __restrict__ out, int64 n) {
    int64 i = column();
    if (i < n) out[i] = (1 - rho) * old[i] + rho * fresh[i];
}
