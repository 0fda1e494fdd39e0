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

// The same for each difference by itself; w has the shape of p.
extern "C" __global__ void tv_dual_ascent_apart(const real* __restrict__ p, const real* __restrict__ x,
                                                const real* __restrict__ w, real w0, real smooth, int64 slices,
                                                int64 rows, int64 columns, int64 place0, int64 place1, int64 place2,
                                                real s0, real s1, real s2, real rho, real* __restrict__ out) {
    int64 j = column(), i = row(), k = slice();
    if (k >= slices || i >= rows || j >= columns) return;
    int64 here = (k * rows + i) * columns + j, all = slices * rows * columns;
    int64 places[3] = {place0, place1, place2}, at[3] = {k, i, j}, n[3] = {slices, rows, columns};
    int64 strides[3] = {rows * columns, columns, 1};
    real rates[3] = {s0, s1, s2};
    for (int axis = 0; axis < 3; ++axis) {
        if (places[axis] < 0) continue;
        int64 entry = places[axis] * all + here;
        real q = p[entry] + rates[axis] * difference(x + here, at[axis], n[axis], strides[axis], 0);
        real weight = w ? w[entry] : w0, longest = max(weight + smooth, abs(q));
        out[entry] = (1 - rho) * p[entry] + rho * (longest > 0 ? weight / longest : real(0)) * q;
    }
}

// What follows is evaluated in double; w: null and the number w0, or an image (groups: of lengths) or a field.

__device__ inline double away(const real* u, int64 i, int64 n, int64 stride) {
    return i + 1 < n ? (double)u[stride] - (double)u[0] : 0.0;
}

__device__ inline double phi(double n, double s) { return n >= s ? n - 0.5 * s : n * n / (2 * s); }

// Partial sums of w phi(n), entries t, t + count, ... by thread t
extern "C" __global__ void tv_value(const real* __restrict__ x, const double* __restrict__ w, double w0, double smooth,
                                    int64 slices, int64 rows, int64 columns, int64 place0, int64 place1, int64 place2,
                                    double r0, double r1, double r2, int64 groups, double* __restrict__ parts,
                                    int64 count) {
    int64 t = column(), all = slices * rows * columns;
    if (t >= count) return;
    double total = 0;
    for (int64 here = t; here < all; here += count) {
        int64 j = here % columns, i = here / columns % rows, k = here / (columns * rows);
        const real* u = x + here;
        double d0 = place0 < 0 ? 0.0 : r0 * away(u, k, slices, rows * columns);
        double d1 = place1 < 0 ? 0.0 : r1 * away(u, i, rows, columns);
        double d2 = place2 < 0 ? 0.0 : r2 * away(u, j, columns, 1);
        if (groups) {
            total += (w ? w[here] : w0) * phi(sqrt(d0 * d0 + d1 * d1 + d2 * d2), smooth);
            continue;
        }
        if (place0 >= 0) total += (w ? w[place0 * all + here] : w0) * phi(abs(d0), smooth);
        if (place1 >= 0) total += (w ? w[place1 * all + here] : w0) * phi(abs(d1), smooth);
        if (place2 >= 0) total += (w ? w[place2 * all + here] : w0) * phi(abs(d2), smooth);
    }
    parts[t] = total;
}

// w/max(w, length) at an entry: of all fields there, or (not groups) of field `place`
__device__ inline double factor(const real* p, const double* w, double w0, int64 all, int64 fields, int64 groups,
                                int64 place, int64 at) {
    double squares = 0, weight = w ? w[groups ? at : place * all + at] : w0;
    int64 first = groups ? 0 : place, last = groups ? fields : place + 1;
    for (int64 f = first; f < last; ++f) squares += (double)p[f * all + at] * (double)p[f * all + at];
    double longest = max(weight, sqrt(squares));
    return longest > 0 ? weight / longest : 0.0;
}

// The adjoint of the neumann differences of the shortened p, each entry's factor found where it is read
extern "C" __global__ void tv_pull(const real* __restrict__ p, const double* __restrict__ w, double w0, int64 slices,
                                   int64 rows, int64 columns, int64 place0, int64 place1, int64 place2, double r0,
                                   double r1, double r2, int64 fields, int64 groups, double* __restrict__ out) {
    int64 j = column(), i = row(), k = slice();
    if (k >= slices || i >= rows || j >= columns) return;
    int64 here = (k * rows + i) * columns + j, all = slices * rows * columns;
    int64 places[3] = {place0, place1, place2}, at[3] = {k, i, j}, n[3] = {slices, rows, columns};
    int64 strides[3] = {rows * columns, columns, 1};
    double rates[3] = {r0, r1, r2}, total = 0;
    for (int axis = 0; axis < 3; ++axis) {
        int64 place = places[axis];
        if (place < 0) continue;
        double here_q = 0, before = 0;
        if (at[axis] + 1 < n[axis])
            here_q = factor(p, w, w0, all, fields, groups, place, here) * (double)p[place * all + here];
        if (at[axis] > 0) {
            int64 there = here - strides[axis];
            before = factor(p, w, w0, all, fields, groups, place, there) * (double)p[place * all + there];
        }
        total += rates[axis] * (before - here_q);
    }
    out[here] = total;
}

// Partial sums of smooth |q|^2 / (2 w) over the entries of the field, q as above
extern "C" __global__ void tv_conjugate(const real* __restrict__ p, const double* __restrict__ w, double w0,
                                        double smooth, int64 all, int64 fields, int64 groups,
                                        double* __restrict__ parts, int64 count) {
    int64 t = column();
    if (t >= count) return;
    double total = 0;
    for (int64 entry = t; entry < fields * all; entry += count) {
        int64 place = entry / all, at = entry % all;
        double weight = w ? w[groups ? at : entry] : w0;
        double q = factor(p, w, w0, all, fields, groups, place, at) * (double)p[entry];
        if (weight > 0) total += smooth * q * q / (2 * weight);
    }
    parts[t] = total;
}
