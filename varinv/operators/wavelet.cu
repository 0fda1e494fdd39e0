// One level of a periodic filter bank along the middle axis of an array of shape (outer, n, inner): m = n/2 averages
// a, the last entry where n is odd, m details d.  Threads run over the last two axes together, which lie in one line.

extern "C" __global__ void wavelet_analysis(const real* __restrict__ x, const real* __restrict__ low,
                                            const real* __restrict__ high, int64 taps, int64 outer, int64 n,
                                            int64 inner, real* __restrict__ out) {
    int64 e = column(), k = row();
    if (k >= outer || e >= n * inner) return;
    int64 m = n / 2, q = e / inner, here = k * n * inner;
    const real* line = x + here + e % inner;
    if (q >= m && q < n - m) {
        out[here + e] = line[(n - 1) * inner];
        return;
    }
    const real* filter = q < m ? low : high;
    int64 start = 2 * (q < m ? q : q - (n - m)) + taps / 2;
    real total = 0;
    for (int64 j = 0; j < taps; ++j) {
        int64 s = (start - j) % (2 * m);
        total += filter[j] * line[(s < 0 ? s + 2 * m : s) * inner];
    }
    out[here + e] = total;
}

extern "C" __global__ void wavelet_synthesis(const real* __restrict__ y, const real* __restrict__ low,
                                             const real* __restrict__ high, int64 taps, int64 outer, int64 n,
                                             int64 inner, real* __restrict__ out) {
    int64 e = column(), k = row();
    if (k >= outer || e >= n * inner) return;
    int64 m = n / 2, q = e / inner, here = k * n * inner;
    const real* line = y + here + e % inner;
    if (q >= 2 * m) {
        out[here + e] = line[m * inner];
        return;
    }
    real total = 0;
    for (int64 j = (q + taps / 2) % 2; j < taps; j += 2) {  // entry q was read for 2 i = q - taps/2 + j
        int64 i = (q - taps / 2 + j) / 2 % m;
        i = i < 0 ? i + m : i;
        total += low[j] * line[i * inner] + high[j] * line[(n - m + i) * inner];
    }
    out[here + e] = total;
}
