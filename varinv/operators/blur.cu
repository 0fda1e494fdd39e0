// Convolution where the kernel lies inside x: out[i] = sum over j of psf[j] x[i + size - 1 - j], a batch of volumes.
// slices, rows, columns: of `out`; depth, height, width: of `psf`.
extern "C" __global__ void convolve(const real* __restrict__ x, const real* __restrict__ psf, int64 batch,
                                    int64 slices, int64 rows, int64 columns, int64 depth, int64 height, int64 width,
                                    real* __restrict__ out) {
    int64 j = column(), i = row(), m = slice();
    if (m >= batch * slices || i >= rows || j >= columns) return;
    int64 first = m / slices * (slices + depth - 1) + m % slices, taller = rows + height - 1, wider = columns + width - 1;
    real total = 0;
    for (int64 c = 0; c < depth; ++c)
        for (int64 a = 0; a < height; ++a) {
            const real* line = x + ((first + depth - 1 - c) * taller + i + height - 1 - a) * wider + j + width - 1;
            const real* weights = psf + (c * height + a) * width;
            for (int64 e = 0; e < width; ++e) total += weights[e] * line[-e];
        }
    out[(m * rows + i) * columns + j] = total;
}
