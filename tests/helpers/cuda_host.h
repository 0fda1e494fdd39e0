// CUDA as plain C++: a kernel is a function, a launch a loop over the grid and its blocks.
#include <cmath>
#include <utility>

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)

struct Place {
    unsigned x, y, z;
};
static Place threadIdx, blockIdx, blockDim, gridDim;

using std::abs;
using std::ceil;
using std::cos;
using std::exp;
using std::fabs;
using std::floor;
using std::fma;
using std::fmax;
using std::fmin;
using std::log;
using std::round;
using std::sin;
using std::sqrt;

inline float max(float a, float b) { return fmax(a, b); }
inline float min(float a, float b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline int max(int a, int b) { return a > b ? a : b; }
inline int min(int a, int b) { return a < b ? a : b; }
inline long long max(long long a, long long b) { return a > b ? a : b; }
inline long long min(long long a, long long b) { return a < b ? a : b; }
inline float rsqrt(float a) { return 1 / std::sqrt(a); }
inline double rsqrt(double a) { return 1 / std::sqrt(a); }

template <typename T>
inline T __ldg(const T* p) {
    return *p;
}

template <typename... A, std::size_t... I>
void call(void (*kernel)(A...), void** values, std::index_sequence<I...>) {
    kernel(*(A*)values[I]...);
}

// Every thread of every block, in order or, backwards, in the opposite one: a kernel may not depend on it.
template <typename... A>
void drive(void (*kernel)(A...), const unsigned* grid, const unsigned* block, void** values, int backwards) {
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], block[1], block[2]};
    long long blocks = (long long)grid[0] * grid[1] * grid[2], threads = (long long)block[0] * block[1] * block[2];
    for (long long m = 0; m < blocks * threads; ++m) {
        long long all = backwards ? blocks * threads - 1 - m : m, b = all / threads, t = all % threads;
        blockIdx = {unsigned(b % grid[0]), unsigned(b / grid[0] % grid[1]), unsigned(b / grid[0] / grid[1])};
        threadIdx = {unsigned(t % block[0]), unsigned(t / block[0] % block[1]), unsigned(t / block[0] / block[1])};
        call(kernel, values, std::index_sequence_for<A...>{});
    }
}
