// The dual step of total variation: q = p + sigma (neumann differences of x), shortened to w/max(w + smooth, |q|); then (1 - rho) p + rho q.
// Places as in gradient.cu; s_k = sigma/h_k; w: an image, or null and the number w0.
extern "C" __global__ void tv_dual_ascent(const real* __restrict__ p, const real* __restrict__ x,
                                          const real* __restrict__ w, real w0, real smooth, int64 slices, int64 rows,
                                          int64 columns, int64 place0, int64 place1, int64 place2, real s0, real s1,
                                          real s2, real rho, real* __restrict__ out) {
    int64 j = column(), i = row(), k = slice();
    if (k >= slices || i >= rows || j >= columns) return;
    int64 here = (k * rows + i) * columns + j, all = slices * rows * columns;
    const real* u = x + here;
    real q0 = 0, q1 = 0, q2 = 0;
    if (place0 >= 0) q0 = p[place0 * all + here] + s0 * difference(u, k, slices, rows * columns, 0);
    if (place1 >= 0) q1 = p[place1 * all + here] + s1 * difference(u, i, rows, columns, 0);
    if (place2 >= 0) q2 = p[place2 * all + here] + s2 * difference(u, j, columns, 1, 0);
    real weight = w ? w[here] : w0;
    real longest = max(weight + smooth, sqrt(q0 * q0 + q1 * q1 + q2 * q2));
    real factor = rho * (longest > 0 ? weight / longest : real(0)), keep = 1 - rho;
    if (place0 >= 0) out[place0 * all + here] = keep * p[place0 * all + here] + factor * q0;
    if (place1 >= 0) out[place1 * all + here] = keep * p[place1 * all + here] + factor * q1;
    if (place2 >= 0) out[place2 * all + here] = keep * p[place2 * all + here] + factor * q2;
}
