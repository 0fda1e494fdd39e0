// D x - sum over n of W_n times x moved by offset n (three numbers: slices, rows, columns) - (W_n x) moved by minus it,
// zero beyond the border; W is (slices, rows, count, columns)
extern "C" __global__ void laplacian(const real* __restrict__ x, const real* __restrict__ W,
                                     const real* __restrict__ D, const int64* __restrict__ offsets, int64 count,
                                     int64 slices, int64 rows, int64 columns, real* __restrict__ out) {
    int64 j = column(), i = row(), k = slice();
    if (k >= slices || i >= rows || j >= columns) return;
    int64 here = (k * rows + i) * columns + j;
    real total = D[here] * x[here];
    for (int64 n = 0; n < count; ++n) {
        int64 dk = offsets[3 * n], di = offsets[3 * n + 1], dj = offsets[3 * n + 2];
        int64 c = k + dk, a = i + di, b = j + dj;
        if (c >= 0 && c < slices && a >= 0 && a < rows && b >= 0 && b < columns)
            total -= W[((k * rows + i) * count + n) * columns + j] * x[(c * rows + a) * columns + b];
        c = k - dk, a = i - di, b = j - dj;
        if (c >= 0 && c < slices && a >= 0 && a < rows && b >= 0 && b < columns)
            total -= W[((c * rows + a) * count + n) * columns + b] * x[(c * rows + a) * columns + b];
    }
    out[here] = total;
}
