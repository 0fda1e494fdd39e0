// Back-projection of filtered rows by linear interpolation; a thread owns R pixels of a column, views in their order.
// Positions are rounded to `real`, as in the other twins: 3e-5 of a bin at 1000, far below the interpolation's error.

const int R = 4;

template <bool fan>
__device__ inline void interpolate(const real* __restrict__ q, const real* __restrict__ cosines,
                                   const real* __restrict__ sines, const real* __restrict__ axes,
                                   real* __restrict__ out, int64 rows, int64 columns, int64 angles, int bins,
                                   real origin_row, real origin_column, real bins_per_pixel, real inverse_source) {
    const int64 j = column(), top = row() * R;
    if (j >= columns || top >= rows) return;
    const real x = real(j) - origin_column, last = real(bins - 1);
    real total[R] = {};
    for (int64 a = 0; a < angles; ++a, q += bins) {
        const real c = cosines[a], s = sines[a], axis = axes[a];
        real weight[R], w[R], left[R], right[R];
        for (int r = 0; r < R; ++r) {
            const real y = origin_row - real(top + r);
            const real inverse = fan ? 1 / (1 + (y * c - x * s) * inverse_source) : real(1);
            const real place = (x * c + y * s) * inverse * bins_per_pixel + axis;
            const real floor_ = floor(min(max(place, real(0)), last));
            const int low = (int)floor_;
            w[r] = place - floor_;
            weight[r] = place >= 0 && place <= last ? inverse * inverse : real(0);
            left[r] = q[low];
            right[r] = q[min(low + 1, bins - 1)];
        }
        for (int r = 0; r < R; ++r) total[r] += weight[r] * (left[r] + w[r] * (right[r] - left[r]));
    }
    for (int r = 0; r < R; ++r)
        if (top + r < rows) out[(top + r) * columns + j] = total[r];
}

extern "C" __global__ void interpolate_back(const real* q, const real* cosines, const real* sines, const real* axes,
                                            real* out, int64 rows, int64 columns, int64 angles, int64 bins,
                                            real origin_row, real origin_column, real bins_per_pixel) {
    interpolate<false>(q, cosines, sines, axes, out, rows, columns, angles, (int)bins, origin_row, origin_column,
                       bins_per_pixel, real(0));
}

extern "C" __global__ void interpolate_back_fan(const real* q, const real* cosines, const real* sines, const real* axes,
                                                real* out, int64 rows, int64 columns, int64 angles, int64 bins,
                                                real origin_row, real origin_column, real bins_per_pixel,
                                                real inverse_source) {
    interpolate<true>(q, cosines, sines, axes, out, rows, columns, angles, (int)bins, origin_row, origin_column,
                      bins_per_pixel, inverse_source);
}
