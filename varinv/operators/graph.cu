// D x - sum over n of W_n times x moved by offset n (three numbers: slices, rows, columns), zero beyond the border
extern "C" __global__ void laplacian(const real* __restrict__ x, const real* __restrict__ W,
                                     const real* __restrict__ D, const int64* __restrict__ offsets, int64 count,
                                     int64 slices, int64 rows, int64 columns, real* __restrict__ out) {
    int64 j = column(), i = row(), k = slice();
    if (k >= slices || i >= rows || j >= columns) return;
    int64 here = (k * rows + i) * columns + j, all = slices * rows * columns;
    real total = D[here] * x[here];
    for (int64 n = 0; n < count; ++n) {
        int64 c = k + offsets[3 * n], a = i + offsets[3 * n + 1], b = j + offsets[3 * n + 2];
        if (c >= 0 && c < slices && a >= 0 && a < rows && b >= 0 && b < columns)
            total -= W[n * all + here] * x[(c * rows + a) * columns + b];
    }
    out[here] = total;
}
