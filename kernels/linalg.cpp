#include "gradus/kernels/linalg.h"

#include <algorithm>
#include <cmath>
#include <mutex>

#include "gradus/kernels/cpu/lapack.h"
#include "gradus/kernels/cpu/pool.h"

namespace gradus::cpu {
namespace {

using Index = std::int64_t;

// OpenBLAS cuts its work by the number of its threads: it gets one while any of us calls it, so
// that the bits depend on the sizes alone.
class OneThread {
 public:
  OneThread() {
    if (!threads.set || !threads.get) return;
    const std::lock_guard hold(mutex);
    if (users++ == 0 && (before = threads.get()) > 1) threads.set(1);
  }
  ~OneThread() {
    if (!threads.set || !threads.get) return;
    const std::lock_guard hold(mutex);
    if (--users == 0 && before > 1) threads.set(before);
  }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  static inline std::mutex mutex;
  static inline int users = 0, before = 1;
  const BlasThreads& threads = blas_threads();
};

// body(i) for each matrix, in tiles of at least some 1e5 operations.
template <class Body>
void each_matrix(Index batch, Index n, const Body& body) {
  const OneThread one;
  const Index tile = std::max<Index>(1, 100'000 / (n * n * n + 100));
  parallel((batch + tile - 1) / tile, [&](Index t) {
    for (Index i = t * tile; i < std::min(batch, (t + 1) * tile); ++i) body(i);
  });
}

// Cuts memory into arrays that each begin at a multiple of 64 bytes.
class Cutter {
 public:
  explicit Cutter(void* memory) : memory_(static_cast<std::byte*>(memory)) {}
  template <class U>
  U* take(Index count) {
    const Index at = bytes_;
    bytes_ += (count * static_cast<Index>(sizeof(U)) + 63) / 64 * 64;
    return memory_ ? reinterpret_cast<U*>(memory_ + at) : nullptr;
  }
  Index bytes() const { return bytes_; }

 private:
  std::byte* memory_;
  Index bytes_ = 0;
};

template <class T>
struct EighWork {
  Cutter memory;
  int lwork, liwork;
  T *values, *work;
  int* iwork;
  EighWork(void* bytes, Index n)
      : memory(bytes),
        lwork(static_cast<int>(1 + 6 * n + 2 * n * n)),
        liwork(static_cast<int>(3 + 5 * n)),
        values(memory.take<T>(n)),
        work(memory.take<T>(lwork)),
        iwork(memory.take<int>(liwork)) {}
};

template <class T>
struct SvdWork {
  Cutter memory;
  int lwork;
  T *values, *vt, *work;
  int* iwork;
  SvdWork(void* bytes, Index m, Index n)
      : memory(bytes),
        lwork(wanted(static_cast<int>(m), static_cast<int>(n))),
        values(memory.take<T>(n)),
        vt(memory.take<T>(n * n)),
        work(memory.take<T>(lwork)),
        iwork(memory.take<int>(8 * n)) {}

 private:
  static int wanted(int m, int n) {
    const int ask = -1, ldu = m + n + 1;
    int info = 0, none = 0;
    T size = 0, unused = 0;
    lapack<T>().gesdd("S", &m, &n, &unused, &m, &unused, &unused, &ldu, &unused, &n, &size, &ask,
                      &none, &info, 1);
    return static_cast<int>(static_cast<double>(size) * (1 + 1e-6)) + 1;  // it was rounded
  }
};

}  // namespace

template <class T>
void lu(T* a, std::int32_t* pivots, T* sign, T* quality, Index batch, Index n) {
  each_matrix(batch, n, [&](Index i) {
    T* const m = a + i * n * n;
    std::int32_t* const p = pivots + i * n;
    const int size = static_cast<int>(n);
    int info = 0;
    lapack<T>().getrf(&size, &size, m, &size, p, &info);
    sign[i] = 1;
    quality[i] = 1;
    for (Index k = 0; k < n; ++k) {
      if (--p[k] != k) sign[i] = -sign[i];
      const T pivot = std::abs(m[k + k * n]);
      T terms = pivot;
      for (Index j = 0; j < k; ++j) terms += std::abs(m[k + j * n] * m[j + k * n]);
      const T ratio = pivot > 0 ? pivot / terms : 0;
      quality[i] = std::min(quality[i], ratio > pivot_noise<T>(n) ? ratio : 0);
    }
  });
}

template <class T>
void lu_solve(const T* factors, const std::int32_t* pivots, Index stride, T* b, Index batch,
              Index n, Index k) {
  each_matrix(batch, n, [&](Index i) {
    const int size = static_cast<int>(n), columns = static_cast<int>(k);
    int info = 0;
    // Rows are exchanged here: LAPACK counts them from 1.
    T* const x = b + i * n * k;
    const std::int32_t* const p = pivots + (stride ? i * n : 0);
    for (Index c = 0; c < k; ++c)
      for (Index r = 0; r < n; ++r)
        if (p[r] != r) std::swap(x[r + c * n], x[p[r] + c * n]);
    const T* const m = factors + i * stride;
    lapack<T>().trtrs("L", "N", "U", &size, &columns, m, &size, x, &size, &info, 1, 1, 1);
    lapack<T>().trtrs("U", "N", "N", &size, &columns, m, &size, x, &size, &info, 1, 1, 1);
  });
}

template <class T>
void cholesky(T* a, T* quality, Index batch, Index n) {
  each_matrix(batch, n, [&](Index i) {
    T* const m = a + i * n * n;
    const int size = static_cast<int>(n);
    int info = 0;
    lapack<T>().potrf("U", &size, m, &size, &info, 1);
    quality[i] = info == 0;
    for (Index k = 0; k < n; ++k) {
      T terms = 0;
      for (Index j = 0; j <= k; ++j) terms += m[j + k * n] * m[j + k * n];
      const T ratio = m[k + k * n] * m[k + k * n] / terms;
      quality[i] = std::min(quality[i], ratio > pivot_noise<T>(n) ? ratio : 0);
      std::fill(m + k + 1 + k * n, m + (k + 1) * n, T(0));
    }
  });
}

template <class T>
void triangular_solve(const T* a, Index stride, const Triangle& t, T* b, Index batch, Index n,
                      Index k) {
  each_matrix(batch, n, [&](Index i) {
    const int size = static_cast<int>(n), columns = static_cast<int>(k);
    int info = 0;
    lapack<T>().trtrs(t.upper ? "U" : "L", t.transpose ? "T" : "N", t.unit_diagonal ? "U" : "N",
                      &size, &columns, a + i * stride, &size, b + i * n * k, &size, &info, 1, 1, 1);
  });
}

template <class T>
Index eigh_scratch(Index, Index n) {
  return threads() * EighWork<T>(nullptr, n).memory.bytes();
}

template <class T>
void eigh(T* a, T* out, void* scratch, Index batch, Index n) {
  const Index bytes = EighWork<T>(nullptr, n).memory.bytes();
  each_matrix(batch, n, [&](Index i) {
    const EighWork<T> w(static_cast<std::byte*>(scratch) + worker() * bytes, n);
    T *const m = a + i * n * n, *const rows = out + i * n * (n + 1);
    const int size = static_cast<int>(n);
    int info = 0;
    lapack<T>().syevd("V", "U", &size, m, &size, w.values, w.work, &w.lwork, w.iwork, &w.liwork,
                      &info, 1, 1);
    for (Index k = 0; k < n; ++k) {
      T* const row = rows + k * (n + 1);
      std::copy(m + k * n, m + (k + 1) * n, row);
      orient(row, n, n);
      row[n] = w.values[k];
    }
    if (info) std::fill(rows, rows + n * (n + 1), std::numeric_limits<T>::quiet_NaN());
  });
}

template <class T>
Index svd_scratch(Index, Index m, Index n) {
  return threads() * SvdWork<T>(nullptr, m, n).memory.bytes();
}

template <class T>
void svd(T* a, T* out, void* scratch, Index batch, Index m, Index n) {
  const Index bytes = SvdWork<T>(nullptr, m, n).memory.bytes();
  each_matrix(batch, m, [&](Index i) {
    const SvdWork<T> w(static_cast<std::byte*>(scratch) + worker() * bytes, m, n);
    T* const rows = out + i * n * (m + n + 1);
    const int height = static_cast<int>(m), width = static_cast<int>(n), apart = height + width + 1;
    int info = 0;
    lapack<T>().gesdd("S", &height, &width, a + i * m * n, &height, w.values, rows, &apart, w.vt,
                      &width, w.work, &w.lwork, w.iwork, &info, 1);
    for (Index k = 0; k < n; ++k) {
      T* const row = rows + k * (m + n + 1);
      for (Index j = 0; j < n; ++j) row[m + j] = w.vt[k + j * n];
      orient(row, m, m + n);
      row[m + n] = w.values[k];
    }
    if (info) std::fill(rows, rows + n * (m + n + 1), std::numeric_limits<T>::quiet_NaN());
  });
}

#define GRADUS_LINALG(T)                                                                     \
  template void lu(T*, std::int32_t*, T*, T*, Index, Index);                                 \
  template void lu_solve(const T*, const std::int32_t*, Index, T*, Index, Index, Index);     \
  template void cholesky(T*, T*, Index, Index);                                              \
  template void triangular_solve(const T*, Index, const Triangle&, T*, Index, Index, Index); \
  template Index eigh_scratch<T>(Index, Index);                                              \
  template void eigh(T*, T*, void*, Index, Index);                                           \
  template Index svd_scratch<T>(Index, Index, Index);                                        \
  template void svd(T*, T*, void*, Index, Index, Index);
GRADUS_LINALG(float)
GRADUS_LINALG(double)

}  // namespace gradus::cpu
