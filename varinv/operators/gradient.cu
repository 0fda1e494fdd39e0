// Forward differences of a volume and their adjoint.  Axis k is written to (read from) field place_k, or left out where
// place_k < 0; r_k = 1/h_k.  boundary: 0 neumann, 1 periodic, 2 dirichlet.

extern "C" __global__ void differences(const real* __restrict__ u, real* __restrict__ out, int64 slices, int64 rows,
                                       int64 columns, int64 place0, int64 place1, int64 place2, real r0, real r1,
                                       real r2, int64 boundary) {
    int64 j = column(), i = row(), k = slice();
    if (k >= slices || i >= rows || j >= columns) return;
    int64 here = (k * rows + i) * columns + j, all = slices * rows * columns;
    int b = (int)boundary;
    if (place0 >= 0) out[place0 * all + here] = r0 * difference(u + here, k, slices, rows * columns, b);
    if (place1 >= 0) out[place1 * all + here] = r1 * difference(u + here, i, rows, columns, b);
    if (place2 >= 0) out[place2 * all + here] = r2 * difference(u + here, j, columns, 1, b);
}

extern "C" __global__ void minus_divergence(const real* __restrict__ p, real* __restrict__ out, int64 slices,
                                            int64 rows, int64 columns, int64 place0, int64 place1, int64 place2,
                                            real r0, real r1, real r2, int64 boundary) {
    int64 j = column(), i = row(), k = slice();
    if (k >= slices || i >= rows || j >= columns) return;
    int64 here = (k * rows + i) * columns + j, all = slices * rows * columns;
    int b = (int)boundary;
    real total = real(0);
    if (place0 >= 0) total += r0 * transposed(p + place0 * all + here, k, slices, rows * columns, b);
    if (place1 >= 0) total += r1 * transposed(p + place1 * all + here, i, rows, columns, b);
    if (place2 >= 0) total += r2 * transposed(p + place2 * all + here, j, columns, 1, b);
    out[here] = total;
}
