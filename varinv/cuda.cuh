// What every kernel sees.  `real` is float or double, set by the launcher; sizes and indices have 64 bits.
// One thread per entry of an array of up to three axes: its place is (slice, row, column), the column fastest.
typedef long long int64;

__device__ inline int64 column() { return (int64)blockIdx.x * blockDim.x + threadIdx.x; }
__device__ inline int64 row() { return (int64)blockIdx.y * blockDim.y + threadIdx.y; }
__device__ inline int64 slice() { return (int64)blockIdx.z * blockDim.z + threadIdx.z; }

// Along an axis of n entries that are `stride` apart, at entry i; boundary: 0 neumann, 1 periodic, 2 dirichlet.

// u[i + 1] - u[i]
__device__ inline real difference(const real* u, int64 i, int64 n, int64 stride, int boundary) {
    if (i + 1 < n) return u[stride] - u[0];
    if (boundary == 0) return real(0);
    return (boundary == 1 ? u[-i * stride] : real(0)) - u[0];
}

// The adjoint, p[i - 1] - p[i], with the boundary's first and last entries; neumann does not read the last one
__device__ inline real transposed(const real* p, int64 i, int64 n, int64 stride, int boundary) {
    real before = i > 0 ? p[-stride] : boundary == 1 ? p[(n - 1) * stride] : real(0);
    return before - (i + 1 < n || boundary != 0 ? p[0] : real(0));
}
