// Eigenvectors and singular vectors by rotations of pairs of columns until all are orthogonal
// (Jacobi; one-sided by Hestenes): a block for each matrix. In a sweep every pair meets once, in
// rounds of disjoint pairs, so that the pairs of a round turn at the same time.
#include <cmath>

#include "gradus/kernels/cuda/block.cuh"
#include "gradus/kernels/linalg.h"

namespace gradus::GRADUS_GPU {
namespace {

using Index = std::int64_t;

constexpr int threads = 128, warps_per_block = threads / warp_size;
constexpr int most_sweeps = 40;  // six to ten do, for sizes up to thousands

// The tournament of n players, one more where n is odd, who rests the others.
struct Tournament {
  Index n;
  GRADUS_DEVICE Index even() const { return n + n % 2; }
  GRADUS_DEVICE Index rounds() const { return even() - 1; }
  GRADUS_DEVICE Index pairs() const { return even() / 2; }
  // Pair i of a round, p < q; false where one of them rests.
  GRADUS_DEVICE bool pair(Index round, Index i, Index& p, Index& q) const {
    const Index others = even() - 1;
    const Index a = i == 0 ? others : (round + i) % others;
    const Index b = (round + others - i) % others;
    p = a < b ? a : b;
    q = a < b ? b : a;
    return q < n;
  }
};

template <class T>
struct Rotation {
  T c, s;
  // That which makes the off-diagonal element `b` of ((a, b), (b, d)) zero, by the smaller angle.
  GRADUS_DEVICE static Rotation of(T a, T b, T d) {
    const T tau = (d - a) / (2 * b);
    const T t = (tau >= 0 ? T(1) : T(-1)) / (std::abs(tau) + std::hypot(T(1), tau));
    const T c = 1 / std::sqrt(1 + t * t);
    return {c, t * c};
  }
  GRADUS_DEVICE void turn(T& x, T& y) const {
    const T before = x;
    x = c * before - s * y;
    y = s * before + c * y;
  }
};

template <class T>
GRADUS_DEVICE void set_identity(T* v, Index n) {
  for (Index e = threadIdx.x; e < n * n; e += threads) v[e] = e / n == e % n ? T(1) : T(0);
}

// The place of value i among all in ascending order; equals keep theirs. A NaN counts as infinite:
// rows are written by place, and no two may have one.
template <class T>
GRADUS_DEVICE T or_infinite(T x) {
  return x == x ? x : std::numeric_limits<T>::infinity();
}
template <class Value>
GRADUS_DEVICE Index place_of(Index i, Index n, const Value& value) {
  const auto mine = or_infinite(value(i));
  Index place = 0;
  for (Index j = 0; j < n; ++j) {
    const auto other = or_infinite(value(j));
    place += other < mine || (other == mine && j < i);
  }
  return place;
}

template <class T>
GRADUS_DEVICE T largest_size(const T* x, Index count, T* warps) {
  T largest = 0;
  for (Index e = threadIdx.x; e < count; e += threads) {
    const T size = std::abs(x[e]);
    if (!(size <= largest)) largest = size;  // NaN too
  }
  return fold_threads(largest, threads, warps, Larger());
}

// v: (n, n) and rotations: one for each pair, of each matrix.
template <class T>
__global__ void __launch_bounds__(threads)
    eigh_kernel(T* matrices, T* out, T* vectors, Rotation<T>* all_rotations, Index n) {
  GRADUS_SHARED(T, warps, [warps_per_block]);
  const Tournament t{n};
  T* const a = matrices + blockIdx.x * n * n;
  T* const v = vectors + blockIdx.x * n * n;
  T* const rows = out + blockIdx.x * n * (n + 1);
  Rotation<T>* const rotations = all_rotations + blockIdx.x * t.pairs();
  set_identity(v, n);
  const T least = std::numeric_limits<T>::epsilon() / 4 * largest_size(a, n * n, warps);
  int sweep = 0;
  for (T moved = 1; moved != 0 && sweep < most_sweeps; ++sweep) {
    moved = 0;
    for (Index round = 0; round < t.rounds(); ++round) {
      Index p, q;
      for (Index i = threadIdx.x; i < t.pairs(); i += threads) {
        rotations[i] = {1, 0};
        if (!t.pair(round, i, p, q) || std::abs(a[p + q * n]) <= least) continue;
        rotations[i] = Rotation<T>::of(a[p + p * n], a[p + q * n], a[q + q * n]);
        moved = 1;
      }
      __syncthreads();
      for (Index e = threadIdx.x; e < t.pairs() * n; e += threads) {
        const Index i = e / n, row = e - i * n;
        if (!t.pair(round, i, p, q) || rotations[i].s == 0) continue;
        rotations[i].turn(a[row + p * n], a[row + q * n]);
        rotations[i].turn(v[row + p * n], v[row + q * n]);
      }
      __syncthreads();
      for (Index e = threadIdx.x; e < t.pairs() * n; e += threads) {
        const Index i = e / n, column = e - i * n;
        if (!t.pair(round, i, p, q) || rotations[i].s == 0) continue;
        rotations[i].turn(a[p + column * n], a[q + column * n]);
        if (column == p) a[q + p * n] = 0;
        if (column == q) a[p + q * n] = 0;
      }
      __syncthreads();
    }
    moved = fold_threads(moved, threads, warps, Larger());
  }
  const bool converged = sweep < most_sweeps;
  for (Index i = threadIdx.x; i < n; i += threads) {
    const Index place = place_of(i, n, [&](Index j) { return a[j + j * n]; });
    T* const row = rows + place * (n + 1);
    for (Index j = 0; j < n; ++j) row[j] = v[j + i * n];
    orient(row, n, n);
    row[n] = converged ? a[i + i * n] : std::numeric_limits<T>::quiet_NaN();
  }
}

template <class T>
GRADUS_DEVICE T warp_dot(const T* x, const T* y, Index n) {
  T sum = 0;
  for (Index i = threadIdx.x % warp_size; i < n; i += warp_size) sum += x[i] * y[i];
  return fold_lanes(sum, warp_size, Plus());
}

// u (m numbers) becomes a unit vector at right angles to the k rows before it, which lie `apart`.
template <class T>
GRADUS_DEVICE void complete(T* u, const T* before, Index k, Index apart, Index m, T* warps) {
  // The unit vector that lies least among them.
  double best = 2;
  Index at = 0;
  for (Index r = 0; r < m; ++r) {
    double inside = 0;
    for (Index j = 0; j < k; ++j) {
      const double x = static_cast<double>(before[j * apart + r]);
      inside += x * x;
    }
    if (inside < best) {
      best = inside;
      at = r;
    }
  }
  // Until the end each thread reads of u what it wrote.
  for (Index r = threadIdx.x; r < m; r += threads) u[r] = r == at ? T(1) : T(0);
  const auto dot = [&](const T* x) {
    T sum = 0;
    for (Index r = threadIdx.x; r < m; r += threads) sum += x[r] * u[r];
    return fold_threads(sum, threads, warps, Plus());
  };
  for (int pass = 0; pass < 2; ++pass)
    for (Index j = 0; j < k; ++j) {
      const T inside = dot(before + j * apart);
      for (Index r = threadIdx.x; r < m; r += threads) u[r] -= inside * before[j * apart + r];
    }
  const T norm = std::sqrt(dot(u));
  for (Index r = threadIdx.x; r < m; r += threads) u[r] /= norm;
  __syncthreads();
}

// v: (n, n) of each matrix; norms: n.
template <class T>
__global__ void __launch_bounds__(threads)
    svd_kernel(T* matrices, T* out, T* vectors, T* all_norms, Index m, Index n) {
  GRADUS_SHARED(T, warps, [warps_per_block]);
  const Tournament t{n};
  const Index apart = m + n + 1, lane = threadIdx.x % warp_size;
  T* const a = matrices + blockIdx.x * m * n;
  T* const v = vectors + blockIdx.x * n * n;
  T* const norms = all_norms + blockIdx.x * n;
  T* const rows = out + blockIdx.x * n * apart;
  set_identity(v, n);
  // Squares of tiny or huge elements are out of range.
  const T largest = largest_size(a, m * n, warps), scale = largest > 0 ? largest : T(1);
  for (Index e = threadIdx.x; e < m * n; e += threads) a[e] /= scale;
  __syncthreads();
  int sweep = 0;
  for (T moved = 1; moved != 0 && sweep < most_sweeps; ++sweep) {
    moved = 0;
    for (Index round = 0; round < t.rounds(); ++round) {
      for (Index i = threadIdx.x / warp_size; i < t.pairs(); i += warps_per_block) {
        Index p, q;
        if (!t.pair(round, i, p, q)) continue;
        T *const x = a + p * m, *const y = a + q * m;
        const T xx = warp_dot(x, x, m), xy = warp_dot(x, y, m), yy = warp_dot(y, y, m);
        const T least = 10 * std::numeric_limits<T>::epsilon();
        if (std::abs(xy) <= least * std::sqrt(xx) * std::sqrt(yy)) continue;
        const auto rotation = Rotation<T>::of(xx, xy, yy);
        moved = 1;
        for (Index r = lane; r < m; r += warp_size) rotation.turn(x[r], y[r]);
        for (Index r = lane; r < n; r += warp_size) rotation.turn(v[r + p * n], v[r + q * n]);
      }
      __syncthreads();
    }
    moved = fold_threads(moved, threads, warps, Larger());
  }
  const bool converged = sweep < most_sweeps;
  for (Index i = threadIdx.x / warp_size; i < n; i += warps_per_block) {
    const T norm = std::sqrt(warp_dot(a + i * m, a + i * m, m));
    if (lane == 0) norms[i] = norm;
  }
  __syncthreads();
  for (Index i = threadIdx.x; i < n; i += threads) {
    T* const row = rows + place_of(i, n, [&](Index j) { return -norms[j]; }) * apart;
    for (Index r = 0; r < m; ++r) row[r] = norms[i] > 0 ? a[r + i * m] / norms[i] : T(0);
    for (Index r = 0; r < n; ++r) row[m + r] = v[r + i * n];
    row[m + n] = converged ? norms[i] * scale : std::numeric_limits<T>::quiet_NaN();
  }
  __syncthreads();
  for (Index i = 0; i < n; ++i)
    if (rows[i * apart + m + n] == 0) complete(rows + i * apart, rows, i, apart, m, warps);
  for (Index i = threadIdx.x; i < n; i += threads) orient(rows + i * apart, m, m + n);
}

}  // namespace

template <class T>
Index eigh_scratch(Index batch, Index n) {
  return batch * (n * n + (n + 1) / 2 * 2) * static_cast<Index>(sizeof(T));
}

template <class T>
void eigh(T* a, T* out, void* scratch, Index batch, Index n) {
  auto* const rotations = static_cast<Rotation<T>*>(scratch);
  T* const vectors = static_cast<T*>(scratch) + batch * ((n + 1) / 2 * 2);
  GRADUS_LAUNCH(eigh_kernel<T>, blocks_for(batch, 1), threads, 0, a, out, vectors, rotations, n);
}

template <class T>
Index svd_scratch(Index batch, Index, Index n) {
  return batch * (n * n + n) * static_cast<Index>(sizeof(T));
}

template <class T>
void svd(T* a, T* out, void* scratch, Index batch, Index m, Index n) {
  T* const vectors = static_cast<T*>(scratch);
  GRADUS_LAUNCH(svd_kernel<T>, blocks_for(batch, 1), threads, 0, a, out, vectors,
                vectors + batch * n * n, m, n);
}

#define GRADUS_LINALG(T)                              \
  template Index eigh_scratch<T>(Index, Index);       \
  template void eigh(T*, T*, void*, Index, Index);    \
  template Index svd_scratch<T>(Index, Index, Index); \
  template void svd(T*, T*, void*, Index, Index, Index);
GRADUS_LINALG(float)
GRADUS_LINALG(double)

}  // namespace gradus::GRADUS_GPU
