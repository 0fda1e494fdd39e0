// What every kernel sees.  `real` is float or double, set by the launcher; sizes and indices have 64 bits.
// One thread per entry of an array of up to three axes: its place is (slice, row, column), the column fastest.
typedef long long int64;

__device__ inline int64 column() { return (int64)blockIdx.x * blockDim.x + threadIdx.x; }
__device__ inline int64 row() { return (int64)blockIdx.y * blockDim.y + threadIdx.y; }
__device__ inline int64 slice() { return (int64)blockIdx.z * blockDim.z + threadIdx.z; }
